"""A message that is passed on while it arrives takes no more memory than a small one.

ANYWS_RELAY_MIB sets how much goes through; 64 unless set.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
from functools import partial

import anyio
import psutil
import pytest

import anyws

pytestmark = pytest.mark.anyio

MIB = int(os.environ.get("ANYWS_RELAY_MIB", "64"))
UNLIMITED = anyws.Limits(message_size=None)
PROGRAM = pathlib.Path(__file__).parent / "programs" / "relay.py"


@contextlib.contextmanager
def relay_process(loop, port):
    command = [sys.executable, str(PROGRAM), loop, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield psutil.Process(process.pid), int(process.stdout.readline())
        finally:
            process.terminate()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_memory_is_bounded(loop):
    block = os.urandom(2**20)
    received = 0
    done = anyio.Event()

    async def sink(client):
        nonlocal received
        async for reader in client.readers():
            async for piece in reader:
                received += len(piece)
            if received > 10:
                done.set()

    async def blocks():
        for _ in range(MIB):
            yield block

    async with anyio.create_task_group() as tg:
        serve = partial(anyws.serve, sink, "127.0.0.1", 0, limits=UNLIMITED, compression=None)
        server = await tg.start(serve)
        with relay_process(loop, server.port) as (process, port):
            async with anyws.connect(
                f"ws://127.0.0.1:{port}/", limits=UNLIMITED, compression=None
            ) as client:
                await client.send(b"warm up")
                before = process.memory_info().rss
                most = 0
                async with anyio.create_task_group() as watching:

                    async def watch():
                        nonlocal most
                        while True:
                            most = max(most, process.memory_info().rss)
                            await anyio.sleep(0.05)

                    watching.start_soon(watch)
                    await client.writer.feed(blocks(), chunksize=2**20)
                    await done.wait()
                    watching.cancel_scope.cancel()
        await server.aclose()
    assert received == MIB * 2**20 + len(b"warm up")
    assert most - before < 20 * 2**20


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_slow_reader_holds_up_the_sender(loop):
    """What the far end does not read stays with the near end, not in the relay."""
    reading = anyio.Event()
    block = bytes(2**16)
    sent = 0

    async def sink(client):
        async for reader in client.readers():
            await reading.wait()
            assert len(await reader.read()) % len(block) == 0
            return

    async def blocks():
        nonlocal sent
        for _ in range(800):
            yield block
            sent += len(block)

    async with anyio.create_task_group() as tg:
        serve = partial(anyws.serve, sink, "127.0.0.1", 0, limits=UNLIMITED, compression=None)
        server = await tg.start(serve)
        with relay_process(loop, server.port) as (process, port):
            async with anyws.connect(
                f"ws://127.0.0.1:{port}/", limits=UNLIMITED, compression=None
            ) as client:
                before = process.memory_info().rss
                async with anyio.create_task_group() as feeding:
                    feeding.start_soon(partial(client.writer.feed, blocks(), chunksize=2**16))
                    stalled = -1
                    while stalled != sent:
                        stalled = sent
                        await anyio.sleep(0.3)
                    assert sent < 800 * len(block), "nothing held up the sender"
                    assert process.memory_info().rss - before < 20 * 2**20
                    reading.set()
        await server.aclose()
