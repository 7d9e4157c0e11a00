"""A relay in a process of its own: every message goes on to another server while it arrives.

Usage: relay.py asyncio|uvloop|trio PORT; prints its own port.
"""

import sys
from functools import partial

import anyio

import anyws

UNLIMITED = anyws.Limits(message_size=None)


async def relay(port, client):
    uri = f"ws://127.0.0.1:{port}/"
    async with anyws.connect(uri, limits=UNLIMITED, compression=None) as onward:
        async for reader in client.readers():
            await onward.writer.feed(reader, chunksize=65536, drain_every=65536)


async def main(port):
    async with anyio.create_task_group() as tg:
        serve = partial(
            anyws.serve, partial(relay, port), "127.0.0.1", 0, limits=UNLIMITED, compression=None
        )
        server = await tg.start(serve)
        print(server.port, flush=True)


if __name__ == "__main__":
    loop, target = sys.argv[1], int(sys.argv[2])
    options = (
        {"backend": "trio"}
        if loop == "trio"
        else {"backend_options": {"use_uvloop": loop == "uvloop"}}
    )
    anyio.run(main, target, **options)
