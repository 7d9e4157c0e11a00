"""anyws in a trio program that knows nothing of anyio.

python in_trio.py
"""

import trio

import anyws


async def count_words(client: anyws.WebSocket) -> None:
    """Answer every message with the number of its words."""
    async for message in client:
        await client.send(str(len(message.split())))


async def ask(uri: str, text: str, answers: trio.MemorySendChannel[str]) -> None:
    """Ask one question, with a second for the answer."""
    async with answers, anyws.connect(uri) as websocket:
        with trio.fail_after(1):
            await websocket.send(text)
            await answers.send(f"{text!r} has {int(await websocket.receive())} words")


async def main() -> None:
    """Serve, and ask three questions at the same time."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(anyws.serve, count_words, "127.0.0.1")
        uri = f"ws://127.0.0.1:{server.port}"
        sender, receiver = trio.open_memory_channel[str](0)
        async with trio.open_nursery() as questions:
            async with sender:
                for text in ("one", "one two", "one two three"):
                    questions.start_soon(ask, uri, text, sender.clone())
            async for answer in receiver:
                print(answer)
        await server.aclose()


if __name__ == "__main__":
    trio.run(main)
