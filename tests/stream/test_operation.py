"""What ``receive`` and ``send`` return: it behaves as a coroutine, whoever drives it.

In the plain build that is a coroutine of Python's; the tests that drive one step by step make the operation itself.
"""

import asyncio
import gc
import inspect
import sys
import warnings
from collections.abc import Coroutine

import anyio
import pytest

from anyws.errors import ConnectionClosedOK
from anyws.stream.message_stream import sending
from anyws.stream.receiver import next_message
from anyws.testing import WebSocketPair

pytestmark = pytest.mark.anyio


class Thrown(BaseException):
    """What no stream takes for an error of its own."""


FRAME = b"\x81\x85\0\0\0\0hello"


def receiving(websocket):
    return next_message(websocket._receiver, False)


def begun(operation):
    """Take the first step, and see it wait."""
    yielded = operation.send(None)
    assert operation.cr_suspended
    assert operation.cr_await is not None
    assert inspect.getcoroutinestate(operation) == inspect.CORO_SUSPENDED
    return yielded


async def test_nothing_happens_before_it_is_awaited():
    async with WebSocketPair() as (client, server):
        first, second = client.send("first"), client.send("second")
        await second
        await first
        third, fourth = server.receive(), server.receive()
        assert await fourth == "second"
        assert await third == "first"


@pytest.mark.parametrize("name", ["receive", "send"])
async def test_it_warns_when_nobody_awaits_it(name):
    async with WebSocketPair() as (client, _):
        arguments = ["lost"] if name == "send" else []
        match = f"coroutine 'WebSocket.{name}' was never awaited"
        with pytest.warns(RuntimeWarning, match=match) as caught:
            getattr(client, name)(*arguments)
        assert caught[0].filename == __file__
        assert client.statistics().messages_sent == 0


async def test_it_does_not_warn_when_it_is_closed():
    async with WebSocketPair() as (client, _):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for operation in (client.send("not sent"), client.receive()):
                operation.close()
                operation.close()
        assert client.statistics().messages_sent == 0


async def test_it_can_be_awaited_once():
    async with WebSocketPair() as (client, server):
        first, second = client.send("once"), server.receive()
        await first
        assert await second == "once"
        for operation in (first, second):
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await operation
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                operation.send(1)
            assert not operation.cr_suspended
            assert operation.cr_await is None
            assert inspect.getcoroutinestate(operation) == inspect.CORO_CLOSED
            operation.close()


async def test_two_tasks_cannot_await_it():
    """The first would never be resumed."""
    got = []
    async with WebSocketPair() as (client, server):
        operation = server.receive()

        async def wait():
            got.append(await operation)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tg:
                tg.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
                    await operation
                await client.send("for the first")
    assert got == ["for the first"]


async def test_one_that_failed_cannot_be_awaited_again():
    async with WebSocketPair() as (client, server):
        await client.aclose()
        operation = server.receive()
        with pytest.raises(ConnectionClosedOK):
            await operation
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await operation


async def test_it_becomes_a_task():
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        tg.start_soon(server.receive)
        tg.start_soon(client.send, "to the task")


async def test_it_becomes_a_task_of_asyncio(anyio_backend):
    if anyio_backend[0] != "asyncio":
        pytest.skip("trio makes tasks of functions")
    async with WebSocketPair() as (client, server):
        receiver = asyncio.create_task(server.receive())
        sender = asyncio.create_task(client.send("to the task"))
        assert "WebSocket.receive" in repr(receiver)
        await sender
        assert await receiver == "to the task"
        assert await asyncio.wait_for(asyncio.gather(client.send("x"), server.receive()), 10) == [
            None,
            "x",
        ]
        receiver = asyncio.create_task(server.receive())
        await asyncio.sleep(0)
        receiver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiver
        await client.send("nothing is lost")
        assert await server.receive() == "nothing is lost"


async def test_it_can_be_driven_by_hand():
    async with WebSocketPair() as (client, server):
        with pytest.raises(StopIteration) as nothing:
            next(iter(sending(client, "by hand")))
        assert nothing.value.value is None
        assert await server.receive() == "by hand"
        await client.send("one")
        await client.send("two")
        assert await server.receive() == "one"
        with pytest.raises(StopIteration) as caught:
            receiving(server).send(None)
        assert caught.value.value == "two"


@pytest.mark.parametrize("leave", ["close", "del"])
async def test_what_is_left_while_it_waits_lets_others_receive(leave):
    async with WebSocketPair() as (client, server):
        operation = receiving(server)
        begun(operation)
        with pytest.raises(anyio.BusyResourceError):
            await server.receive()
        if leave == "close":
            awaited = operation.cr_await
            operation.close()
            with pytest.raises(RuntimeError, match="cannot reuse"):
                awaited.send(None)
        del operation
        gc.collect()
        await client.send("still there")
        assert await server.receive() == "still there"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([Thrown("made")], "made"),
        ([Thrown], ""),
        ([Thrown, "text"], "text"),
        ([Thrown, Thrown("made")], "made"),
    ],
)
@pytest.mark.parametrize("waits", [True, False])
async def test_what_is_thrown_into_it_comes_out(arguments, text, waits):
    async with WebSocketPair() as (client, server):
        operation = receiving(server)
        if waits:
            begun(operation)
        with pytest.raises(Thrown) as caught:
            operation.throw(*arguments)
        assert str(caught.value) == text
        assert not operation.cr_suspended
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await operation
        await client.send("still there")
        assert await server.receive() == "still there"


async def test_what_is_thrown_keeps_the_traceback_that_comes_with_it():
    async with WebSocketPair() as (_, server):
        try:
            raise Thrown
        except Thrown as error:
            traceback = error.__traceback__
        with pytest.raises(Thrown) as caught:
            receiving(server).throw(Thrown, None, traceback)
        assert traceback.tb_frame is sys._getframe()
        places = []
        current = caught.value.__traceback__
        while current is not None:
            places.append(current.tb_lineno)
            current = current.tb_next
        assert traceback.tb_lineno in places


class Catching:
    """A stream whose ``receive`` catches a Thrown, and goes on with what it is given then.

    Args:
        stream: the stream below.
        then: bytes to return; ``None`` to wait again.
    """

    def __init__(self, stream):
        self.stream = stream
        self.then = None

    def __getattr__(self, name):
        return getattr(self.stream, name)

    async def receive(self, max_bytes=65536):
        try:
            return await self.stream.receive(max_bytes)
        except Thrown:
            return self.then or await self.stream.receive(max_bytes)


@pytest.mark.parametrize("then", [FRAME, None])
async def test_what_it_awaits_may_catch_what_is_thrown(then, raw_client):
    streams = []

    def wrap(stream):
        streams.append(Catching(stream))
        return streams[0]

    async with raw_client(wrap=wrap) as (websocket, peer):
        streams[0].then = then
        operation = receiving(websocket)
        begun(operation)
        if then is None:
            operation.throw(Thrown())
            assert operation.cr_suspended
            operation.close()
            await peer.send_frame(0x81, b"hello")
            assert await websocket.receive() == "hello"
        else:
            with pytest.raises(StopIteration) as caught:
                operation.throw(Thrown())
            assert caught.value.value == "hello"
            assert operation.cr_await is None
            await peer.send_frame(0x81, b"again")
            assert await websocket.receive() == "again"


async def test_it_says_nothing_to_trio_or_debuggers_that_it_does_not_know():
    async with WebSocketPair() as (client, _):
        operation = receiving(client)
        assert isinstance(operation, Coroutine)
        assert operation.cr_frame is operation.cr_code is None
        assert not operation.cr_running
        assert operation.__name__ == "WebSocket.receive"
        operation.close()


async def test_a_stream_is_iterated_over_by_an_object_of_its_own():
    async with WebSocketPair() as (client, server):
        await client.send("one")
        await client.send("two")
        iterator = aiter(server)
        assert aiter(iterator) is iterator
        assert await anext(iterator) == "one"
        assert await anext(server) == "two"
        await client.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
        with pytest.raises(StopAsyncIteration):
            await anext(server)
