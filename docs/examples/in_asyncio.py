"""anyws in an asyncio program that knows nothing of anyio.

python in_asyncio.py
"""

import asyncio

import anyws


class Started:
    """Takes the server from ``serve``, which says so when it listens."""

    def __init__(self) -> None:
        self.server: asyncio.Future[anyws.Server] = asyncio.get_running_loop().create_future()

    def started(self, value: anyws.Server | None = None) -> None:
        """Note that the server listens."""
        assert value is not None
        self.server.set_result(value)


async def count_words(client: anyws.WebSocket) -> None:
    """Answer every message with the number of its words."""
    async for message in client:
        await client.send(str(len(message.split())))


async def ask(uri: str, text: str) -> str:
    """Ask one question, with a second for the answer."""
    async with anyws.connect(uri) as websocket, asyncio.timeout(1):
        await websocket.send(text)
        return f"{text!r} has {int(await websocket.receive())} words"


async def main() -> None:
    """Serve, and ask three questions at the same time."""
    async with asyncio.TaskGroup() as tasks:
        status = Started()
        tasks.create_task(anyws.serve(count_words, "127.0.0.1", task_status=status))
        server = await status.server
        uri = f"ws://127.0.0.1:{server.port}"
        texts = ("one", "one two", "one two three")
        for answer in await asyncio.gather(*(ask(uri, text) for text in texts)):
            print(answer)
        await server.aclose()


if __name__ == "__main__":
    asyncio.run(main())
