"""A server that sends every message back, and a client.

python echo.py                  serves on port 8765
python echo.py hello world      sends each word, and prints what comes back
"""

import sys

import anyio

import anyws


async def echo(client: anyws.WebSocket) -> None:
    """Send every message back."""
    async for message in client:
        await client.send(message)


async def talk(uri: str, *words: str) -> None:
    """Send each word, and print what comes back."""
    async with anyws.connect(uri) as websocket:
        for word in words:
            await websocket.send(word)
            print(await websocket.receive())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        anyio.run(talk, "ws://127.0.0.1:8765", *sys.argv[1:])
    else:
        anyio.run(anyws.serve, echo, "127.0.0.1", 8765)
