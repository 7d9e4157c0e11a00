"""Receiving, relaying and closing, cancelled at every point: no message is lost, and closing always ends."""

import random

import anyio
import anyio.lowlevel
import pytest

import anyws

pytestmark = pytest.mark.anyio

#: More than is received at once.
LARGE = random.Random(1).randbytes(5000)
MESSAGES = ["first", LARGE, "é" * 1000, b""]


async def send_all(peer):
    for number, message in enumerate(MESSAGES):
        await peer.send_message(message, fragments=1 + number % 3)


async def prove_all_received(cancelling, cancel, receive_next):
    """Cancel the reception of ``MESSAGES``, and go on with it; each call may take a part of one."""

    async def operation(websocket, received):
        while len(received) < len(MESSAGES):
            await receive_next(websocket, received)

    received = []
    async with cancelling.opened() as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(send_all, peer)
            await cancel(operation(websocket, received))
            await operation(websocket, received)
        assert received == MESSAGES
        assert await cancelling.prove_open(websocket, peer) == []


async def test_receive(cancelling):
    async def receive_next(websocket, received):
        received.append(await websocket.receive())

    await cancelling.sweep(lambda cancel: prove_all_received(cancelling, cancel, receive_next))


async def test_readers(cancelling):
    async def scenario(cancel):
        reader, data = None, b""

        async def receive_next(websocket, received):
            nonlocal reader, data
            if reader is None:
                reader, data = await anext(websocket.readers()), b""
            if len(received) % 2:
                while piece := await reader.read(1000):
                    data += piece
                message = data.decode() if reader.data_type == anyws.DataType.TEXT else data
            else:
                message = await reader.get()
            received.append(message)
            reader = None

        await prove_all_received(cancelling, cancel, receive_next)

    await cancelling.sweep(scenario)


async def test_relay(cancelling):
    """Of the message that was on its way the far end gets nothing, or an error; all others are whole."""

    async def relay(source, target):
        async for reader in source.readers():
            await target.writer.feed(reader, chunksize=2000)
            if target.statistics().messages_sent == len(MESSAGES):
                return

    async def scenario(cancel):
        async with cancelling.opened() as (source, near), cancelling.opened() as (target, far):
            async with anyio.create_task_group() as tg:
                tg.start_soon(send_all, near)
                completed = await cancel(relay(source, target))
                passed = source.statistics().messages_received
                rest = [await source.receive() for _ in MESSAGES[passed:]]
            assert await cancelling.prove_open(source, near) == []
            assert rest == MESSAGES[passed:]
            if target.writer.closed:
                arrived = await cancelling.prove_failed(target, far, 1011)
            else:
                arrived = await cancelling.prove_open(target, far)
            assert arrived == MESSAGES[: len(arrived)]
            assert passed - len(arrived) in ((0,) if completed else (0, 1))

    await cancelling.sweep(scenario)


async def prove_closed(websocket, peer, *, completed):
    """Check that a connection is closed, in good order or at once."""
    assert websocket.state is anyws.State.CLOSED
    with pytest.raises(anyws.ConnectionClosed) as caught:
        await websocket.send("late")
    await peer.until_ended()
    judge = peer.judge
    assert judge.messages == MESSAGES[: len(judge.messages)]
    if completed:
        assert caught.value.cause is anyws.CloseCause.CLOSED_BY_US
        assert (judge.close_code, judge.data, judge.messages) == (1000, b"", MESSAGES)
    else:
        assert caught.value.cause in (
            anyws.CloseCause.CLOSED_BY_US,
            anyws.CloseCause.ABORTED,
        )
        assert judge.close_code in (1000, None)


async def test_close(cancelling):
    """With messages still on their way out."""

    async def scenario(cancel):
        async with cancelling.opened() as (websocket, peer):
            for message in MESSAGES:
                await websocket.send(message)
            completed = await cancel(websocket.close(1000, "bye"))
            await prove_closed(websocket, peer, completed=completed)

    await cancelling.sweep(scenario)


async def test_close_beside_another(cancelling):
    """The second caller waits for the first; cancelled, it drops the connection for both."""

    async def scenario(cancel):
        async with cancelling.opened() as (websocket, peer):
            for message in MESSAGES:
                await websocket.send(message)
            async with anyio.create_task_group() as tg:
                tg.start_soon(websocket.close)
                while not websocket.writer.closed:
                    await anyio.lowlevel.checkpoint()
                completed = await cancel(websocket.close(1000, "bye"))
                assert websocket.state is anyws.State.CLOSED
            await prove_closed(websocket, peer, completed=completed)

    await cancelling.sweep(scenario)


async def test_send_eof(cancelling):
    async def scenario(cancel):
        async with cancelling.opened() as (websocket, peer):
            for message in MESSAGES:
                await websocket.send(message)
            await cancel(websocket.send_eof())
            if websocket.writer.closed:
                with pytest.raises(anyws.ConnectionClosedOK):
                    await websocket.receive()
                await websocket.aclose()
                await prove_closed(websocket, peer, completed=True)
            else:
                assert await cancelling.prove_open(websocket, peer) == MESSAGES

    await cancelling.sweep(scenario)
