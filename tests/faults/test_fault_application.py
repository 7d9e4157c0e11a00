"""Handlers and other functions of the application that fail: the others, and the listener, live on."""

import logging
from contextlib import asynccontextmanager

import anyio
import pytest

import anyws
from anyws import CloseCause, Response, State
from anyws.testing import WebSocketPair

pytestmark = pytest.mark.anyio


def errors(caplog):
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


async def refused(server, **options):
    """Return the status that a new client is answered with."""
    with pytest.raises(anyws.RejectedHandshake) as caught:
        async with anyws.connect(server.url, **options):
            pass
    assert b"private" not in caught.value.body
    return caught.value.status


def select_subprotocol_raises(_request, _names):
    raise LookupError("a private detail")


class Broken(Response):
    def serialize(self, **_options):
        raise LookupError("a private detail")


OPENING_FAILURES = {
    "select_subprotocol raises": {"select_subprotocol": select_subprotocol_raises},
    "it chooses what was not offered": {"select_subprotocol": lambda _request, _names: "other"},
    "it chooses what is no name": {"select_subprotocol": lambda _request, _names: 5},
    "process_request answers 100": {"process_request": lambda _request: Response(100)},
    "it answers 101": {"process_request": lambda _request: Response(101)},
    "it answers in pieces": {
        "process_request": lambda _request: Response(200, [("Transfer-Encoding", "chunked")])
    },
    "its answer raises": {"process_request": lambda _request: Broken(200)},
}


@pytest.mark.parametrize("options", OPENING_FAILURES.values(), ids=OPENING_FAILURES)
async def test_a_function_of_the_opening_fails(caplog, options, serving):
    """Each client is answered 500; the server, which such a failure used to end, goes on."""
    async with serving(**options) as server:
        for count in (1, 2):
            assert await refused(server, subprotocols=["a"]) == 500
            assert len(errors(caplog)) == count


def recurse():
    return recurse()


async def out_of_memory(_websocket):
    raise MemoryError


async def too_deep(_websocket):
    recurse()


async def several(_websocket):
    raise ExceptionGroup("several", [ValueError("a private detail"), MemoryError()])


async def wraps_its_own_end(websocket):
    try:
        await websocket.close(4000)
        await websocket.send("late")
    except anyws.ConnectionClosed:
        raise ValueError("a private detail") from None


def not_async(_websocket):
    return 5


FAILING = [out_of_memory, too_deep, several, wraps_its_own_end, not_async]


@pytest.mark.parametrize("failing", FAILING, ids=lambda failing: failing.__name__)
async def test_a_handler_raises(caplog, failing, serving):
    """It is logged once, its client sees 1011 and no details, and the other clients notice nothing."""

    async def handler(websocket):
        if websocket.request.path == "/fail":
            await failing(websocket)
        async for message in websocket:
            await websocket.send(message)

    async with serving(handler) as server, anyws.connect(server.url) as other:
        async with anyws.connect(server.url + "fail") as websocket:
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await websocket.receive()
        expected = 4000 if failing is wraps_its_own_end else 1011
        assert caught.value.received == (expected, "")
        assert caught.value.cause is CloseCause.CLOSED_BY_PEER
        await other.send("alive")
        assert await other.receive() == "alive"
        await server.echoes()
    assert len(errors(caplog)) == 1
    assert errors(caplog)[0].exc_info is not None


async def test_a_handler_meets_the_end_of_another_connection(caplog, serving):
    """The end of a connection that it made is an error of the handler; that of its own is none."""
    failed = []

    async def backend(websocket):
        await websocket.close(4001, "backend")

    async with serving(backend) as server:

        async def relay(websocket):
            async with anyws.connect(server.url) as upstream:
                failed.append(websocket)
                await websocket.send(await upstream.receive())

        async with serving(relay) as front, anyws.connect(front.url) as client:
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await client.receive()
    assert caught.value.received == (1011, "")
    with pytest.raises(anyws.ConnectionClosedError) as caught:
        await failed[0].receive()
    assert caught.value.cause is CloseCause.HANDLER_FAILED
    assert len(errors(caplog)) == 1


@asynccontextmanager
async def watched(serving, handler, **options):
    """Serve ``handler``; give the server, and an event that is set when the handler has ended."""
    ended = anyio.Event()

    async def watched_handler(websocket):
        try:
            await handler(websocket)
        finally:
            ended.set()

    async with serving(watched_handler, **options) as server:
        yield server, ended


async def test_a_handler_returns_early(serving):
    """What it has sent arrives, what its client sends is dropped, and the code is 1000."""

    async def handler(websocket):
        await websocket.send("first")

    async with watched(serving, handler) as (server, ended), server.peer() as peer:
        assert (await peer.receive_frame()).payload == b"first"
        await ended.wait()
        await peer.send_frame(0x82, bytes(100_000))
        assert await peer.receive_close() == (1000, "")
        await peer.send_close()
        await peer.receive_eof()


async def test_a_handler_ignores_its_client(serving):
    """It waits for something else; the client's close is answered, and the handler hears of it when it asks."""
    go_on = anyio.Event()
    met = []

    async def handler(websocket):
        await go_on.wait()
        for call in (websocket.receive, lambda: websocket.send("x"), websocket.ping):
            with pytest.raises(anyws.ConnectionClosedOK) as caught:
                await call()
            met.append(caught.value.cause)

    async with watched(serving, handler, ping_timeout=0.2) as (server, ended):
        async with server.peer() as peer:
            await peer.send_close()
            assert await peer.receive_close() == (1000, "")
            await peer.receive_eof()
        assert not ended.is_set()
        go_on.set()
        await ended.wait()
    assert met == [CloseCause.CLOSED_BY_PEER] * 3


async def test_a_handler_never_receives(serving):
    """It only sends: pings are answered all the same, and the client's close ends the sending."""
    met = []

    async def handler(websocket):
        try:
            while True:
                await websocket.send(bytes(1000))
        except anyws.ConnectionClosed as closed:
            met.append(closed)

    watching = watched(serving, handler, ping_timeout=0.2)
    async with watching as (server, ended), server.peer() as peer:
        await peer.send_frame(0x89, b"are you there")
        while (frame := await peer.receive_frame()).opcode != 0xA:
            assert frame == (0x82, bytes(1000), False)
        assert frame.payload == b"are you there"
        await peer.send_close(4000)
        while (frame := await peer.receive_frame()).opcode != 0x8:
            assert frame == (0x82, bytes(1000), False)
        assert frame.payload == (4000).to_bytes(2, "big")
        await ended.wait()
    assert [closed.cause for closed in met] == [CloseCause.CLOSED_BY_PEER]


async def test_a_handler_only_receives(serving):
    received = []

    async def handler(websocket):
        received.extend([message async for message in websocket])

    async with watched(serving, handler) as (server, ended), server.peer() as peer:
        for number in range(300):
            await peer.send_frame(0x81, b"%d" % number)
        await peer.send_frame(0x89, b"ping")
        await peer.send_close()
        assert (await peer.receive_frame()).opcode == 0xA
        assert await peer.receive_close() == (1000, "")
        await ended.wait()
    assert received == [str(number) for number in range(300)]


async def test_an_iteration_is_abandoned():
    """``break`` holds nothing up: the next call goes on with the next message."""
    async with WebSocketPair() as (client, server):
        for number in range(4):
            await server.send(str(number))
        async for message in client:
            assert message == "0"
            break
        async for reader in client.readers():
            assert await reader.get() == "1"
            break
        assert await client.receive() == "2"
        assert await client.receive() == "3"


async def test_a_poll_loses_nothing(serving):
    """``move_on_after(0)`` gives a message that has come, or none; a task that does nothing else is read for."""
    numbers = [str(number) for number in range(200)]

    async def handler(websocket):
        for number in numbers:
            await websocket.send(number)
        await websocket.receive()

    received = []
    async with serving(handler) as server, anyws.connect(server.url, ping_interval=0.02) as client:
        while len(received) < 200:
            with anyio.move_on_after(0):
                received.append(await client.receive())
            await anyio.lowlevel.checkpoint()
        await client.send("done")
    assert received == numbers


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in a group"])
async def test_the_exception_of_a_sibling(wrapped):
    """What a task beside the connection raises comes out as it was, and the connection ends at once."""
    entered = anyio.Event()

    async def fail():
        await entered.wait()
        raise ExceptionGroup("mine", [LookupError()]) if wrapped else LookupError("mine")

    with pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as tg:
            tg.start_soon(fail)
            async with WebSocketPair() as (client, server):
                entered.set()
                await client.receive()
    (error,) = caught.value.exceptions
    if wrapped:
        assert error.message == "mine"
        (error,) = error.exceptions
    assert type(error) is LookupError
    assert [websocket.state for websocket in (client, server)] == [State.CLOSED] * 2


async def test_a_hundred_senders_and_a_failure(serving):
    """One connection, 100 tasks that send: when it is lost each is told so, by the same facts."""
    met = []

    async def send(websocket):
        try:
            while True:
                await websocket.send(bytes(1000))
        except anyws.ConnectionClosedError as closed:
            met.append(closed.args)

    async def handler(websocket):
        async with anyio.create_task_group() as tg:
            for _ in range(100):
                tg.start_soon(send, websocket)

    async with watched(serving, handler) as (server, ended):
        async with server.peer() as peer:
            for _ in range(200):
                await peer.receive_frame()
        await ended.wait()
    assert len(met) == 100
    assert len(set(met)) == 1
    assert met[0][2] is CloseCause.CONNECTION_LOST
