"""websockets in the place of ``peer.py``, to compare with: only a server, only on asyncio."""

import asyncio
import signal
import sys

import websockets
from websockets.asyncio.server import serve


async def echo(websocket):
    try:
        async for message in websocket:
            await websocket.send(message)
    except websockets.ConnectionClosed:
        pass


async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with serve(echo, "127.0.0.1", 0, max_size=2**25, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await ended.wait()


if __name__ == "__main__":
    if sys.argv[1:] != ["server", "asyncio"]:
        sys.exit("websockets is compared as a server on asyncio")
    asyncio.run(main())
