"""A relay: every connection goes on to another server, messages pass through while they arrive.

    python relay.py ws://127.0.0.1:8765

What it holds is bound, however large a message is and however slow its reader: when one side does not
take what comes, the other side has to wait.
"""

import sys
from functools import partial

import anyio

import anyws

#: Messages are never held whole, so their size needs no bound.
UNBOUND = anyws.Limits(message_size=None)


async def forward(source: anyws.WebSocket, sink: anyws.WebSocket) -> None:
    """Pass messages on until one side closes; then close the other with the same code."""
    try:
        async for reader in source.readers():
            await sink.writer.feed(reader, chunksize=65536)
    except anyws.ConnectionClosed:
        pass
    if source.close_code in (None, 1005, 1006, 1015):
        await sink.close()
    else:
        await sink.close(source.close_code or 1000, source.close_reason or "")


async def relay(uri: str, client: anyws.WebSocket) -> None:
    """Connect onward and pass messages both ways."""
    headers = {"X-Forwarded-For": str(client.remote_address[0])}
    offered = [client.subprotocol] if client.subprotocol else []
    try:
        async with anyws.connect(
            uri, headers=headers, subprotocols=offered, limits=UNBOUND
        ) as onward:
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(forward, client, onward)
                task_group.start_soon(forward, onward, client)
    except (OSError, TimeoutError, anyws.HandshakeError):
        await client.close(1014, "the server behind does not answer")


async def main(uri: str) -> None:
    """Serve on port 8766 until stopped."""
    await anyws.serve(partial(relay, uri), "127.0.0.1", 8766, limits=UNBOUND)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
