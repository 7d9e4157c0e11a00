"""The block in which a connection is open."""

import asyncio
import contextlib
import gc

import anyio
import anyio.lowlevel
import pytest

from anyws.client import client_over
from anyws.enums import State
from anyws.errors import ConnectionClosedError
from anyws.server import accept
from anyws.testing import RawPeer, WebSocketPair, memory_pair

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def answering():
    """Give a client's stream, and a list of what the peer sees in the end."""
    ours, theirs = memory_pair()
    peer = RawPeer(theirs)
    seen = []

    async def serve():
        await peer.answer()
        try:
            while (frame := await peer.receive_frame()).opcode != 8:
                seen.append(frame.payload)
            seen.append(int.from_bytes(frame.payload[:2], "big"))
            # By now we may have dropped the stream.
            with contextlib.suppress(anyio.BrokenResourceError):
                await peer.send_frame(0x88, frame.payload)
        except anyio.EndOfStream:
            seen.append("lost")
        await theirs.aclose()

    async with anyio.create_task_group() as tg:
        tg.start_soon(serve)
        yield ours, seen


async def test_left_normally():
    async with answering() as (stream, seen):
        async with client_over(stream, "ws://memory/") as websocket:
            await websocket.send("x")
        assert websocket.state is State.CLOSED
        assert websocket.close_code == 1000
    assert seen == [b"x", 1000]


@pytest.mark.parametrize("kind", [ValueError, ExceptionGroup])
async def test_exceptions_come_out_as_they_went_in(kind):
    context = KeyError("context")
    cause = OSError("cause")
    error = ValueError("mine") if kind is ValueError else ExceptionGroup("mine", [ValueError()])
    async with answering() as (stream, seen):
        with pytest.raises(kind) as caught:
            async with client_over(stream, "ws://memory/"):
                try:
                    raise context
                except KeyError:
                    raise error from cause
        assert caught.value is error
        assert error.__context__ is context
        assert error.__cause__ is cause
    assert seen == [1011]


async def test_context_that_was_none_stays_none():
    error = ValueError("mine")
    async with answering() as (stream, _):
        with pytest.raises(ValueError, match="mine"):
            async with client_over(stream, "ws://memory/"):
                raise error
        assert error.__context__ is None
        assert error.__cause__ is None


async def test_the_exception_is_not_hidden_by_a_lost_connection():
    ours, theirs = memory_pair()
    peer = RawPeer(theirs)
    error = ValueError("mine")

    async def answer():
        await peer.answer()

    async with anyio.create_task_group() as tg:
        tg.start_soon(answer)
        with pytest.raises(ValueError, match="mine") as caught:
            async with client_over(ours, "ws://memory/"):
                theirs.reset()
                raise error
    assert caught.value is error


async def test_the_exception_is_not_hidden_by_a_cancellation():
    """Closing is cut short, and the stream is closed all the same."""
    async with answering() as (stream, seen):
        with anyio.CancelScope() as scope, pytest.raises(LookupError):
            async with client_over(stream, "ws://memory/"):
                scope.cancel()
                raise LookupError
        assert not scope.cancelled_caught
        assert stream.closed
    # Our close frame was sent; whether the peer read it first is a matter of luck.
    assert seen[-1] in {"lost", 1011}


async def test_cancelled():
    async with answering() as (stream, seen):
        with anyio.CancelScope() as scope:
            async with client_over(stream, "ws://memory/") as websocket:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert websocket.state is State.CLOSED
    assert seen == ["lost"]


async def test_cancelled_by_a_timeout_is_a_timeout():
    async with answering() as (stream, seen):
        with pytest.raises(TimeoutError):
            with anyio.fail_after(60) as scope:
                async with client_over(stream, "ws://memory/"):
                    scope.deadline = anyio.current_time()
                    await anyio.sleep_forever()
    assert seen == ["lost"]


async def test_a_scope_inside_the_block_is_nobody_elses():
    async with WebSocketPair() as (client, server):
        with anyio.move_on_after(0.01) as scope:
            await client.receive()
        assert scope.cancelled_caught
        await server.send("open")
        assert await client.receive() == "open"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_the_process_ends(error):
    """The connection is dropped: nobody waits for a peer then."""
    ours, theirs = memory_pair()
    lifetime = accept(ours)
    await theirs.send(
        b"GET / HTTP/1.1\r\nHost: memory\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    raised = error()
    with anyio.fail_after(10):
        websocket = await lifetime.__aenter__()
        assert not await lifetime.__aexit__(error, raised, None)
    assert websocket.state is State.CLOSED
    await theirs.aclose()


async def test_opened_once():
    async with answering() as (stream, _):
        lifetime = client_over(stream, "ws://memory/")
        async with lifetime:
            with pytest.raises(RuntimeError, match="once"):
                await lifetime.__aenter__()
        with pytest.raises(RuntimeError, match="once"):
            await lifetime.__aenter__()


async def test_left_without_being_opened():
    one, other = memory_pair()
    with pytest.raises(RuntimeError, match="not opened"):
        await client_over(one, "ws://memory/").__aexit__(None, None, None)
    await one.aclose()
    await other.aclose()


async def test_opening_fails_as_one_exception():
    one, other = memory_pair()
    await other.send(b"nonsense\r\n\r\n")
    with pytest.raises(Exception, match=r".") as caught:  # noqa: PT011
        async with client_over(one, "ws://memory/"):
            pytest.fail("it was opened")
    assert not isinstance(caught.value, BaseExceptionGroup)
    assert one.closed
    await other.aclose()


async def test_opening_is_cancelled():
    one, other = memory_pair()
    with anyio.move_on_after(0.01) as scope:
        async with client_over(one, "ws://memory/"):
            pytest.fail("it was opened")
    assert scope.cancelled_caught
    assert one.closed
    await other.aclose()


async def test_closed_within_the_block():
    async with answering() as (stream, seen):
        async with client_over(stream, "ws://memory/") as websocket:
            await websocket.close(1001)
        assert websocket.close_code == 1001
    assert seen == [1001]


async def test_many_connections_leave_in_any_order():
    """Connections kept in an exit stack, as a pool would."""
    async with contextlib.AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(WebSocketPair()) for _ in range(5)]
        for client, server in pairs:
            await client.send("x")
            assert await server.receive() == "x"


async def test_left_in_another_task():
    """As a fixture is whose halves run in tasks of their own; who has opened it is left alone."""
    done = []
    leave, left = anyio.Event(), anyio.Event()

    async def enter(lifetime):
        websocket = await lifetime.__aenter__()
        done.append(websocket)
        leave.set()
        await left.wait()
        await anyio.lowlevel.checkpoint()
        done.append("went on")

    async with answering() as (stream, seen), anyio.create_task_group() as tg:
        lifetime = client_over(stream, "ws://memory/")
        tg.start_soon(enter, lifetime)
        await leave.wait()
        await done[0].send("x")
        await lifetime.__aexit__(None, None, None)
        left.set()
    assert (seen, done[1:]) == ([b"x", 1000], ["went on"])


async def test_an_async_generator_that_is_closed_has_come_to_a_good_end():
    async def numbers(stream):
        async with client_over(stream, "ws://memory/") as websocket:
            await websocket.send("x")
            yield 1
            yield 2

    async with answering() as (stream, seen):
        async with contextlib.aclosing(numbers(stream)) as found:
            async for number in found:
                assert number == 1
                break
    assert seen == [b"x", 1000]


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
async def test_an_async_generator_that_is_left_alone_harms_nobody():
    """Python has it finalised in another task; on trio in one that is cancelled."""

    async def numbers(stream):
        async with client_over(stream, "ws://memory/"):
            yield 1

    async def first(stream):
        async for _ in numbers(stream):
            break

    with anyio.fail_after(10):
        async with answering() as (stream, seen):
            await first(stream)
            gc.collect()
            await anyio.wait_all_tasks_blocked()
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
    assert seen in ([1000], ["lost"])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_time_limit_of_asyncio_is_not_lost_while_it_closes():
    """Its cancellation comes once, and would be forgotten for the sake of the block's exception."""
    ours, theirs = memory_pair()

    async def fail():
        async with client_over(ours, "ws://memory/", close_timeout=60):
            raise LookupError

    async with anyio.create_task_group() as tg:
        tg.start_soon(RawPeer(theirs).answer)
        with pytest.raises(asyncio.CancelledError):
            task = asyncio.create_task(fail())
            await anyio.wait_all_tasks_blocked()
            task.cancel()
            await task
    assert ours.closed
    await theirs.aclose()


async def test_a_helper_that_fails_ends_the_connection():
    async def fail():
        raise ValueError("helper")

    async with answering() as (stream, seen):
        with pytest.raises(ValueError, match="helper"):
            async with client_over(stream, "ws://memory/") as websocket:
                websocket._ticker.task_group.start_soon(fail)
                with anyio.fail_after(5), pytest.raises(ConnectionClosedError):
                    await websocket.receive()
    assert seen == ["lost"]
