"""Broadcasting, leaving a loop over messages, closing in a cancelled scope: cancelled at every point."""

import random

import anyio
import anyio.lowlevel
import pytest

import anyws

pytestmark = pytest.mark.anyio

LARGE = random.Random(1).randbytes(3000)
MESSAGES = ["first", LARGE, "é" * 1000, b""]


async def test_broadcast(cancelling):
    """Who does not take a message at once is sent it; each connection gets whole messages, in order."""

    async def operation(websockets):
        for message in MESSAGES:
            left = anyws.broadcast(websockets, message)
            await anyio.lowlevel.checkpoint()
            for websocket in left:
                await websocket.send(message)

    async def scenario(cancel):
        async with cancelling.opened() as (one, near), cancelling.opened() as (other, far):
            completed = await cancel(operation([one, other]))
            arrived = [
                await cancelling.prove_open(one, near), await cancelling.prove_open(other, far)
            ]  # fmt: skip
        for messages in arrived:
            assert messages == MESSAGES[: len(messages)]
            assert len(messages) == len(MESSAGES) or not completed
        assert abs(len(arrived[0]) - len(arrived[1])) <= 1

    await cancelling.sweep(scenario)


async def test_iteration(cancelling):
    """A loop over messages, or over readers, that is left and entered again."""

    async def operation(websocket, received):
        while len(received) < len(MESSAGES):
            async for message in websocket:
                received.append(message)
                break
            async for reader in websocket.readers():
                message = await reader.get()
                received.append(message)
                break

    async def send_all(peer):
        for message in MESSAGES:
            await peer.send_message(message, fragments=2)

    async def scenario(cancel):
        received = []
        async with cancelling.opened() as (websocket, peer):
            async with anyio.create_task_group() as tg:
                tg.start_soon(send_all, peer)
                completed = await cancel(operation(websocket, received))
                if not completed:
                    # The message of a reader that was cancelled is lost with its reader.
                    while MESSAGES[-1] not in received:
                        received.append(await websocket.receive())
            assert await cancelling.prove_open(websocket, peer) == []
        missing = [message for message in MESSAGES if message not in received]
        assert received == [message for message in MESSAGES if message in received]
        assert len(missing) <= (not completed)

    await cancelling.sweep(scenario)


async def test_aclose_in_a_cancelled_scope(cancelling):
    """The connection is dropped at once, whatever is still on its way."""

    async def operation(websocket):
        try:
            for message in MESSAGES:
                await websocket.send(message)
        finally:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await websocket.aclose()

    async def scenario(cancel):
        async with cancelling.opened() as (websocket, peer):
            await cancel(operation(websocket))
            assert websocket.state is anyws.State.CLOSED
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await websocket.send("late")
            assert caught.value.cause in (anyws.CloseCause.ABORTED, anyws.CloseCause.CLOSED_BY_US)
            await peer.until_ended()
        judge = peer.judge
        assert judge.messages == MESSAGES[: len(judge.messages)]
        assert judge.close_code in (None, 1000)

    await cancelling.sweep(scenario)
