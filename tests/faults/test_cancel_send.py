"""Sending, cancelled at every point: a message is delivered whole or not at all, or the connection fails and says so."""

import random
from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest

pytestmark = pytest.mark.anyio

#: More than all buffers on the way hold, and hard to compress.
LARGE = random.Random(1).randbytes(12000)
MESSAGES = ["text " * 20, LARGE, "text " * 20, bytearray(LARGE), b"", LARGE.hex()]


async def test_send(cancelling):
    async def scenario(cancel):
        returned = 0

        async def operation():
            nonlocal returned
            for message in MESSAGES:
                await websocket.send(message)
                returned += 1

        async with cancelling.opened() as (websocket, peer):
            completed = await cancel(operation())
            arrived = await cancelling.prove_open(websocket, peer)
        assert arrived == MESSAGES[: len(arrived)]
        assert len(arrived) >= returned
        assert completed == (returned == len(MESSAGES))

    await cancelling.sweep(scenario)


async def test_send_in_a_queue(cancelling):
    """While another task sends message after message in fragments: the lock is handed on whole."""

    async def other(websocket, sending):
        for number in range(4):
            async with websocket.writer.fragment() as stream:
                await stream.send(f"<{number} ")
                sending.set()
                await anyio.lowlevel.checkpoint()
                await stream.send(LARGE.hex()[:3000])

    async def scenario(cancel):
        async def operation():
            for message in MESSAGES[:3]:
                await websocket.send(message)

        async with cancelling.opened() as (websocket, peer):
            async with anyio.create_task_group() as tg:
                sending = anyio.Event()
                tg.start_soon(other, websocket, sending)
                await sending.wait()
                await cancel(operation())
            arrived = await cancelling.prove_open(websocket, peer)
        fragmented = [message for message in arrived if message[:1] == "<"]
        assert fragmented == [f"<{number} {LARGE.hex()[:3000]}" for number in range(4)]
        whole = [message for message in arrived if message[:1] != "<"]
        assert whole == MESSAGES[: len(whole)]

    await cancelling.sweep(scenario)


async def prove_one_message(cancelling, websocket, peer, message, *, completed):
    """Check that ``message`` arrived whole, or never began, or that the connection failed in it."""
    if websocket.writer.closed:
        assert not completed
        assert await cancelling.prove_failed(websocket, peer, 1011) == []
    else:
        arrived = await cancelling.prove_open(websocket, peer)
        # The last point is the checkpoint after the final frame.
        assert arrived in ([message], [] if not completed else [message])


async def chunks():
    for start in range(0, len(LARGE), 2500):
        await anyio.lowlevel.checkpoint()
        yield LARGE[start : start + 2500]


async def test_feed(cancelling):
    async def scenario(cancel):
        async with cancelling.opened() as (websocket, peer):
            completed = await cancel(
                websocket.writer.feed(chunks(), chunksize=2000, drain_every=4000)
            )
            await prove_one_message(cancelling, websocket, peer, LARGE, completed=completed)

    await cancelling.sweep(scenario)


async def test_fragment(cancelling):
    async def operation(websocket):
        async with websocket.writer.fragment() as stream:
            async with aclosing(chunks()) as pieces:
                async for piece in pieces:
                    await stream.send(piece)

    async def scenario(cancel):
        async with cancelling.opened() as (websocket, peer):
            completed = await cancel(operation(websocket))
            await prove_one_message(cancelling, websocket, peer, LARGE, completed=completed)

    await cancelling.sweep(scenario)


async def test_a_piece_of_a_fragment(cancelling):
    """The piece alone is cancelled, so the message goes on without it, or with all of it."""

    async def scenario(cancel):
        sent = []
        async with cancelling.opened() as (websocket, peer):
            async with websocket.writer.fragment() as stream:
                async for piece in chunks():
                    if await cancel(stream.send(piece)):
                        sent.append(piece)
            arrived = await cancelling.prove_open(websocket, peer)
        assert arrived == [b"".join(sent)]

    await cancelling.sweep(scenario)


async def test_ping(cancelling):
    async def operation(websocket):
        for _ in range(3):
            assert await websocket.ping() >= 0

    async def receive(websocket):
        async for _ in websocket:
            pass

    async def scenario(cancel):
        async with cancelling.opened() as (websocket, peer):
            async with anyio.create_task_group() as tg:
                # So that the pong is seen at once, on transports that do not read by themselves.
                tg.start_soon(receive, websocket)
                await cancel(operation(websocket))
                assert not websocket._pings._waiting
                tg.cancel_scope.cancel()
            assert await cancelling.prove_open(websocket, peer) == []

    await cancelling.sweep(scenario)


async def test_control_frames(cancelling):
    async def operation(websocket):
        for number in range(4):
            await websocket.writer.ping(bytes([number]))
            await websocket.writer.pong(1, bytes([number]))

    async def scenario(cancel):
        async with cancelling.opened() as (websocket, peer):
            await cancel(operation(websocket))
            assert await cancelling.prove_open(websocket, peer) == []
        frames = [(opcode, bytes([number])) for number in range(4) for opcode in (9, 10)]
        controls = peer.judge.controls
        assert controls == frames[: len(controls)]

    await cancelling.sweep(scenario)
