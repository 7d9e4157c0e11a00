"""The stream below a connection, and the source of a message, that fail in ways of their own."""

import gc
import itertools
import random
import ssl
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio.streams.tls import TLSStream

import anyws
from anyws import CloseCause, State
from anyws.testing import FaultyStream, WebSocketPair, memory_pair

pytestmark = pytest.mark.anyio

#: What a stream may raise: what it should, what it should not, and what says nothing.
ERRORS = {
    "broken": anyio.BrokenResourceError(),
    "closed": anyio.ClosedResourceError(),
    "os": OSError(5, "input or output"),
    "ssl": ssl.SSLError(1, "bad record"),
    "odd": LookupError("odd"),
    "busy": anyio.BusyResourceError("using"),
    "mute": ValueError(),
}


@pytest.fixture(params=["client", "server"])
def role(request):
    return request.param


@asynccontextmanager
async def pair_on_a_faulty_stream(role, **options):
    """Give a connection, the one opposite, and the ``FaultyStream`` below the first."""
    near, far = memory_pair()
    faulty = FaultyStream(near)
    streams = (faulty, far) if role == "client" else (far, faulty)
    with anyio.fail_after(10):
        async with WebSocketPair(streams, close_timeout=5, **options) as (client, server):
            websockets = (client, server) if role == "client" else (server, client)
            yield *websockets, faulty


async def met_by(websocket):
    """Return what each call of a lost connection raises, which must be the same."""
    met = []
    for call in (websocket.receive, lambda: websocket.send("x"), websocket.ping, websocket.receive):
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await call()
        met.append(caught.value)
    assert len({error.args for error in met}) == 1
    return met[0]


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("way", ["receive", "send"])
async def test_an_error_of_the_stream_is_a_lost_connection(way, error, role):
    """Whatever it is, it is chained; it used to end the block by a cancellation that nobody asked for."""
    async with pair_on_a_faulty_stream(role) as (websocket, other, faulty):
        if way == "receive":
            faulty.receive_limit, faulty.receive_fault = faulty.received, error
            await other.send("never read")
        else:
            faulty.send_limit, faulty.send_fault = faulty.sent + 1, error
            await websocket.send("in a frame that is cut")
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.cause is CloseCause.CONNECTION_LOST
        assert caught.value.__cause__ is error
        assert caught.value.detail == (str(error) or type(error).__name__)
        assert caught.value.args == (await met_by(websocket)).args
        assert (await met_by(other)).cause is CloseCause.CONNECTION_LOST


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
async def test_an_error_wakes_senders_that_wait(error):
    async with pair_on_a_faulty_stream("client", compression=None) as (websocket, _, faulty):
        faulty.send_limit, faulty.send_fault = faulty.sent + 50_000, error
        met = []

        async def send():
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await websocket.send(bytes(100_000))
            met.append(caught.value)

        async with anyio.create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(send)
        assert [closed.cause for closed in met] == [CloseCause.CONNECTION_LOST] * 3
        assert all(closed.__cause__ is error for closed in met)


@pytest.mark.parametrize("error", [*ERRORS.values(), "reset"], ids=[*ERRORS, "reset"])
@pytest.mark.parametrize("way", ["eof_fault", "close_fault"])
async def test_an_error_at_the_end_of_the_stream(way, error, role):
    """After both close frames it changes nothing: the first outcome stays."""
    async with pair_on_a_faulty_stream(role) as (websocket, other, faulty):
        setattr(faulty, way, error)
        async with anyio.create_task_group() as tg:
            tg.start_soon(other.close, 1000, "bye")
            with pytest.raises(anyws.ConnectionClosedOK) as caught:
                await websocket.receive()
            assert caught.value.cause is CloseCause.CLOSED_BY_PEER
            assert caught.value.reason == "bye"
            await websocket.aclose()
        assert faulty.stream.closed


@pytest.mark.parametrize("way", ["eof_fault", "close_fault"])
async def test_a_stream_that_hangs_as_it_ends(way, role):
    """Closing is bounded: what hangs is cut off, and the outcome is the one of the close frames."""
    async with pair_on_a_faulty_stream(role) as (websocket, other, faulty):
        websocket._closing.timeout = 0.05
        setattr(faulty, way, "stall")
        async with anyio.create_task_group() as tg:
            tg.start_soon(other.close)
            with pytest.raises(anyws.ConnectionClosedOK):
                await websocket.receive()
            await websocket.aclose()
        assert websocket.state is State.CLOSED
    assert faulty.stream.closed


async def test_a_stream_that_gives_nothing_at_its_end(role):
    """Many streams return ``b""`` where anyio's raise; asking again and again would spin."""

    class Ended(FaultyStream):
        async def receive(self, max_bytes=65536):
            try:
                return await super().receive(max_bytes)
            except anyio.EndOfStream:
                return b""

    near, far = memory_pair()
    streams = (Ended(near), far) if role == "client" else (far, Ended(near))
    with anyio.fail_after(10):
        async with WebSocketPair(streams, close_timeout=0.1) as pair:
            websocket = pair[role == "server"]
            await far.send_eof()
            assert (await met_by(websocket)).cause is CloseCause.CONNECTION_LOST


@pytest.mark.parametrize("error", [*ERRORS.values(), "reset"], ids=[*ERRORS, "reset"])
@pytest.mark.parametrize("way", ["receive", "send"])
async def test_an_error_during_the_opening(way, error, role):
    """One exception, no group; the stream is closed, and the error that it met is told or chained."""
    near, far = memory_pair()
    faulty = FaultyStream(near)
    setattr(faulty, f"{way}_limit", 0)
    setattr(faulty, f"{way}_fault", error)
    if role == "client":
        opening, expected = anyws.client_over(faulty, "ws://h/"), anyws.InvalidHandshake
    else:
        opening, expected = anyws.accept(faulty, close_timeout=1), anyio.BrokenResourceError
        if way == "send":
            # The request is bad, and so an answer is sent; nobody is there to be told.
            expected = anyws.HandshakeError
        await far.send(b"GET / HTTP/1.0\r\n\r\n")
        await far.send_eof()
    with anyio.fail_after(10), pytest.raises(expected) as caught:
        async with opening:
            pytest.fail("it did not open")
    chain = set()
    link = caught.value
    while link is not None:
        chain.add(link)
        link = link.__cause__
    if error != "reset" and way == "receive":
        assert error in chain
    assert near.closed


async def test_a_lost_stream_is_seen_by_who_only_sends(contexts, serving):
    """TLS on trio is a stream on a transport, whose ``send`` kept the loss to itself."""

    async def handler(websocket):
        sock = websocket.extra(anyio.abc.SocketAttribute.raw_socket)
        assert sock is not None
        await websocket.receive()
        websocket.drop(CloseCause.ABORTED)

    server_context, client_context = contexts
    async with serving(handler, ssl_context=server_context) as server:
        uri = f"wss://localhost:{server.server.port}/"
        async with anyws.connect(uri, ssl_context=client_context) as websocket:
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                while True:
                    await websocket.send(bytes(10_000))
            assert caught.value.cause is CloseCause.CONNECTION_LOST


@pytest.mark.parametrize("end", ["truncated", "clean"])
async def test_tls_that_ends_without_a_close_frame(end, contexts):
    """With or without TLS's own farewell, it is a lost connection, after what came before it."""
    near, far = memory_pair()
    server_context, client_context = contexts
    async with anyio.create_task_group() as tg:
        ready = anyio.Event()

        async def serve():
            stream = await TLSStream.wrap(far, server_side=True, ssl_context=server_context)
            async with anyws.accept(stream, close_timeout=0.1) as websocket:
                await websocket.send("last")
                await ready.wait()
                await (stream.aclose() if end == "clean" else far.aclose())

        tg.start_soon(serve)
        stream = await TLSStream.wrap(near, hostname="localhost", ssl_context=client_context)
        async with anyws.client_over(stream, "ws://h/", close_timeout=0.1) as websocket:
            ready.set()
            assert await websocket.receive() == "last"
            error = await met_by(websocket)
    assert (error.cause, error.code) == (CloseCause.CONNECTION_LOST, 1006)


# Sources.


def raises_after(count):
    """Give a generator of each kind that raises after some pieces, and the error."""
    error = LookupError("the source")

    def sync():
        yield from itertools.repeat(b"x" * 2000, count)
        raise error

    async def later():
        for _ in range(count):
            await anyio.lowlevel.checkpoint()
            yield b"x" * 2000
        raise error

    buffer = anyws.Buffer()
    for _ in range(count):
        buffer.write_nowait(b"x" * 2000)
    buffer.fail(error)
    return error, {"sync": sync(), "async": later(), "buffer": buffer}


@pytest.mark.parametrize("kind", ["sync", "async", "buffer"])
@pytest.mark.parametrize("deflate", [None, "deflate"])
async def test_a_source_raises(kind, deflate):
    """Before the first fragment nothing has happened; after it the connection fails with 1011."""
    async with WebSocketPair(compression=deflate) as (client, server):
        error, sources = raises_after(0)
        with pytest.raises(LookupError) as caught:
            await client.writer.feed(sources[kind])
        assert caught.value is error
        await client.send("fine")
        assert await server.receive() == "fine"
        error, sources = raises_after(2)
        with pytest.raises(LookupError) as caught:
            await client.writer.feed(sources[kind])
        assert caught.value is error
        with pytest.raises(anyws.ConnectionClosedError) as closed:
            await server.receive()
        assert closed.value.received.code == 1011
        assert closed.value.cause is CloseCause.CLOSED_BY_PEER
        met = await met_by(client)
        assert met.cause is CloseCause.MESSAGE_ABANDONED
        assert repr(error) in met.detail


async def test_a_generator_is_closed_in_the_task_that_feeds_it():
    """trio finalizes no generator in another task; nothing is left to the garbage collector."""
    tasks = []

    async def source():
        try:
            while True:
                yield b"piece"
        finally:
            await anyio.lowlevel.checkpoint()
            tasks.append(anyio.get_current_task().id)

    async with WebSocketPair() as (client, server):
        server.drop(CloseCause.ABORTED)
        with pytest.raises(anyws.ConnectionClosedError):
            await client.writer.feed(source())
    assert tasks == [anyio.get_current_task().id]


# Long messages.


LONG = random.Random(5).randbytes(300_000).hex()


@pytest.mark.parametrize("role", ["client", "server"])
async def test_others_run_while_a_long_message_is_compressed(role):
    """Whole or as a piece: compressed 64 KiB at a time, with a checkpoint between; in order with the rest."""
    async with WebSocketPair() as pair, anyio.create_task_group() as tg:
        sender, receiver = pair if role == "client" else pair[::-1]
        turns = 0
        done = False

        async def count():
            nonlocal turns
            while not done:
                turns += 1
                await anyio.lowlevel.checkpoint()

        received = []

        async def receive():
            async for message in receiver:
                received.append(message)
                if message == "last":
                    return

        tg.start_soon(count)
        tg.start_soon(receive)
        await anyio.lowlevel.checkpoint()
        before = turns
        async with anyio.create_task_group() as senders:
            senders.start_soon(sender.send, LONG)
            while not sender.writer._lock.locked:
                await anyio.lowlevel.checkpoint()
            senders.start_soon(sender.send, "behind")
            senders.start_soon(sender.writer.ping, b"between")
        assert turns - before > len(LONG) // 65536 // 2
        async with sender.writer.fragment(compress=True) as stream:
            await stream.send("first ")
            before = turns
            await stream.send(LONG)
            assert turns - before > len(LONG) // 65536 // 2
        await sender.send("last")
        with anyio.fail_after(10):
            while "last" not in received:
                await anyio.lowlevel.checkpoint()
        done = True
    assert received == [LONG, "behind", "first " + LONG, "last"]


@pytest.mark.parametrize("kind", ["message", "first piece", "later piece"])
async def test_a_long_message_is_cancelled_while_it_is_compressed(kind):
    """At every checkpoint: nothing of it is sent, and the peer reads what comes after it."""
    for point in range(1, 6):
        async with WebSocketPair() as (client, server):
            await client.send(LONG[:1000])
            assert await server.receive() == LONG[:1000]
            async with anyio.create_task_group() as tg:
                started = anyio.Event()

                async def cancel_later(started=started, tg=tg, point=point):
                    await started.wait()
                    for _ in range(point):
                        await anyio.lowlevel.checkpoint()
                    tg.cancel_scope.cancel()

                async def send(started=started, client=client):
                    if kind == "message":
                        started.set()
                        await client.send(LONG)
                        return
                    async with client.writer.fragment() as stream:
                        if kind == "later piece":
                            await stream.send("first " * 100)
                        started.set()
                        with anyio.CancelScope():
                            await stream.send(LONG)

                tg.start_soon(cancel_later)
                tg.start_soon(send)
            if kind == "later piece":
                with pytest.raises(anyws.ConnectionClosedError):
                    await server.receive()
                assert (await met_by(client)).cause is CloseCause.MESSAGE_ABANDONED
                continue
            assert not client.writer._lock.locked
            await client.send("after " * 100)
            assert await server.receive() == "after " * 100


async def test_a_connection_ends_while_a_long_message_is_compressed():
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:

        async def send():
            with pytest.raises(anyws.ConnectionClosed) as caught:
                await client.send(LONG * 4)
            assert caught.value.cause is CloseCause.CLOSED_BY_US

        tg.start_soon(send)
        await anyio.lowlevel.checkpoint()
        tg.start_soon(client.close)
        with pytest.raises(anyws.ConnectionClosedOK):
            await server.receive()


async def test_the_memory_of_a_dead_connection():
    """What a lost connection held, and a task that met the loss, are not kept by an exception's traceback."""
    near, far = memory_pair()
    with anyio.fail_after(10):
        async with WebSocketPair((near, far)) as (client, _):
            far.reset()
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await client.receive()
            assert caught.value.__cause__.__traceback__ is None
    del client, caught
    gc.collect()
