"""A peer that vanishes, resets, ends, stalls, or delivers in its own way, at each phase of a connection, in both roles.

In memory, and over TCP, where each loop has a transport of its own.
"""

import logging
import random
import socket
import struct
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute

import anyws
from anyws import CloseCause
from anyws.testing import FaultyStream, RawPeer, memory_pair

pytestmark = pytest.mark.anyio

KEEPALIVE = {"ping_interval": 0.02, "ping_timeout": 0.05}
NO_KEEPALIVE = {"ping_interval": None}


class Peer(RawPeer):
    """A peer of either role, which masks its frames as its role asks, and can break its stream."""

    def __init__(self, stream, *, client):
        super().__init__(stream)
        self.client = client

    def make(self, first, payload=b""):
        return self.frame(first, payload, mask=b"mask" if self.client else None)

    async def reset(self):
        if hasattr(self.stream, "reset"):
            self.stream.reset()
            return
        sock = self.stream.extra(SocketAttribute.raw_socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.stream.aclose()

    async def read_all(self, into):
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                into += await self.stream.receive()


class Link:
    """Makes connections of one role over one kind of stream."""

    def __init__(self, role, kind, serving):
        self.role = role
        self.kind = kind
        self._serving = serving

    @asynccontextmanager
    async def stream(self, capacity=65536, chunk=None, **options):
        """Give what opens a connection, an async context manager, and a ``Peer`` before its handshake."""
        if self.kind == "memory":
            near, far = memory_pair(capacity)
            near = near if chunk is None else FaultyStream(near, chunk=chunk)
            peer = Peer(far, client=self.role == "server")
            if self.role == "server":
                yield anyws.accept(near, **options), peer
            else:
                yield anyws.client_over(near, "ws://memory/", **options), peer
        elif self.role == "server":
            given = _Given()
            async with self._serving(given.handler, **options) as server:
                async with server.stream() as stream:
                    yield given, Peer(stream, client=True)
        else:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            port = listener.extra(SocketAttribute.local_port)
            async with listener:
                accepted = _Accepted(listener.listeners[0])
                try:
                    yield anyws.connect(f"ws://127.0.0.1:{port}/", **options), accepted
                finally:
                    await accepted.aclose()

    @asynccontextmanager
    async def opened(self, **options):
        """Give an open connection and its ``Peer``."""
        options = {"close_timeout": 0.1, **options}
        with anyio.fail_after(20):
            async with self.stream(**options) as (opening, peer), anyio.create_task_group() as tg:
                met = anyio.Event()

                async def meet():
                    nonlocal peer
                    if isinstance(peer, _Accepted):
                        peer = await peer.stream()
                    await (peer.request() if peer.client else peer.answer())
                    met.set()

                tg.start_soon(meet)
                async with opening as websocket:
                    await met.wait()
                    yield websocket, peer
                tg.cancel_scope.cancel()


class _Given:
    """A handler, and the connection that it is given as an async context manager."""

    def __init__(self):
        self._given = anyio.Event()
        self._left = anyio.Event()

    async def handler(self, websocket):
        self._websocket = websocket
        self._given.set()
        await self._left.wait()

    async def __aenter__(self):
        await self._given.wait()
        return self._websocket

    async def __aexit__(self, *_):
        self._left.set()


class _Accepted:
    """A server's side of TCP: its ``Peer`` is there once it has accepted."""

    def __init__(self, listener):
        self._listener = listener
        self._stream = None

    async def stream(self):
        self._stream = await self._listener.accept()
        return Peer(self._stream, client=False)

    async def aclose(self):
        if self._stream is not None:
            await anyio.aclose_forcefully(self._stream)


@pytest.fixture(params=["memory", "tcp"])
def kind(request):
    return request.param


@pytest.fixture(params=["server", "client"])
def link(request, kind, serving):
    return Link(request.param, kind, serving)


@pytest.fixture(params=["server", "client"])
def memory_link(request, serving):
    return Link(request.param, "memory", serving)


async def met_by(websocket):
    """Return what each call of a lost connection raises, which must be the same."""
    met = []
    for call in (websocket.receive, lambda: websocket.send("x"), websocket.ping, websocket.receive):
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await call()
        met.append(caught.value)
    assert len({error.args for error in met}) == 1
    return met[0]


async def fails(peer, way, task_group, received):
    """Let the peer fail; what it still reads goes to ``received``."""
    if way == "resets":
        await peer.reset()
    elif way == "half-closes":
        await peer.stream.send_eof()
    elif way == "stops sending":
        task_group.start_soon(peer.read_all, received)


WAYS = {
    "vanishes": CloseCause.PING_TIMEOUT,
    "stops sending": CloseCause.PING_TIMEOUT,
    "resets": CloseCause.CONNECTION_LOST,
    "half-closes": CloseCause.CONNECTION_LOST,
}


@pytest.mark.parametrize("phase", ["idle", "mid-header", "mid-frame", "mid-message", "mid-close"])
@pytest.mark.parametrize("way", WAYS)
async def test_while_open(way, phase, link):
    """What came whole is delivered, what did not is not, and each call names the cause."""
    cause = WAYS[way]
    keepalive = KEEPALIVE if cause is CloseCause.PING_TIMEOUT else NO_KEEPALIVE
    async with link.opened(**keepalive) as (websocket, peer), anyio.create_task_group() as tg:
        half = {
            "idle": b"",
            "mid-header": peer.make(0x82, bytes(70000))[:5],
            "mid-frame": peer.make(0x81, b"half")[:-2],
            "mid-message": peer.make(0x01, b"half"),
            "mid-close": peer.make(0x88, b"\x03\xe8")[:-1],
        }
        await peer.send(peer.make(0x81, b"before") + half[phase])
        assert await websocket.receive() == "before"
        received = bytearray()
        await fails(peer, way, tg, received)
        error = await met_by(websocket)
        assert (error.cause, error.code, error.received) == (cause, 1006, None)
        assert websocket.close_code == 1006
        if cause is CloseCause.PING_TIMEOUT:
            assert error.sent.code == 1011
        else:
            assert (error.sent, error.began_by_us) == (None, None)
            assert (error.__cause__ is not None) == (way == "resets")
        if way == "stops sending":
            await websocket.aclose()
            tg.cancel_scope.cancel()
            mask = 0 if peer.client else 0x80
            assert received.startswith(bytes((0x89, mask | 4)))


@pytest.mark.parametrize("way", WAYS)
async def test_while_it_is_read_as_a_stream(way, link):
    """A reader of an unfinished message gives what has come, and then meets the end; never a whole message."""
    cause = WAYS[way]
    keepalive = KEEPALIVE if cause is CloseCause.PING_TIMEOUT else NO_KEEPALIVE
    async with link.opened(**keepalive) as (websocket, peer), anyio.create_task_group() as tg:
        await peer.send(peer.make(0x01, b"half") + peer.make(0x80, b"rest")[:-2])
        async for reader in websocket.readers():
            text = b""
            while len(text) < 6:
                text += await reader.read(100)
            assert text == b"halfre"
            await fails(peer, way, tg, bytearray())
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await reader.read()
            assert caught.value.cause is cause
            break
        await websocket.aclose()
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("what", ["frame", "fragments", "feed"])
@pytest.mark.parametrize("way", ["resets", "half-closes"])
async def test_while_we_send(what, way, link):
    """Who waits in the middle of a message is told; what began it is closed; nobody waits for ever."""
    closed = []

    async def source():
        try:
            while True:
                yield bytes(100_000)
        finally:
            closed.append("source")

    async def send(websocket):
        if what == "feed":
            await websocket.writer.feed(source(), chunksize=100_000)
        elif what == "fragments":
            async with websocket.writer.fragment() as stream:
                while True:
                    await stream.send(bytes(100_000))
        while True:
            await websocket.send(bytes(1_000_000))

    # Half of its timeout is how soon a connection is looked at that nobody receives from.
    options = {"compression": None, "ping_timeout": 0.1}
    async with link.opened(**options) as (websocket, peer), anyio.create_task_group() as tg:

        async def sender():
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await send(websocket)
            closed.append(caught.value)

        async def fail():
            await peer.receive_exactly(150_000)
            await fails(peer, way, tg, bytearray())

        tg.start_soon(sender)
        tg.start_soon(fail)
        with anyio.fail_after(15):
            while not any(isinstance(error, Exception) for error in closed):
                await anyio.sleep(0.005)
        assert closed[:-1] == ["source"] * (what == "feed")
        assert closed[-1].cause is CloseCause.CONNECTION_LOST
        assert (closed[-1].__cause__ is not None) == (way == "resets")
        assert closed[-1].args == (await met_by(websocket)).args


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads nothing"])
async def test_breaks_a_rule_while_nobody_receives(reads, link):
    """It gets 1002 and the end of the stream; who waits in ``send`` is told the rule."""
    options = {"compression": None, "ping_timeout": 0.1}
    async with link.opened(**options) as (websocket, peer), anyio.create_task_group() as tg:
        met = []
        told = anyio.Event()

        async def send():
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                while True:
                    await websocket.send(bytes(1_000_000))
            met.append(caught.value)
            told.set()

        if not reads:
            tg.start_soon(send)
        await peer.send(peer.make(0x81, b"before") + peer.make(0x83, b"bad"))
        if reads:
            assert (await peer.receive_close())[0] == 1002
            await peer.receive_eof()
        else:
            with anyio.fail_after(15):
                await told.wait()
            assert met[0].cause is CloseCause.PROTOCOL_ERROR
        assert await websocket.receive() == "before"
        error = await met_by(websocket)
        assert (error.cause, error.sent.code) == (CloseCause.PROTOCOL_ERROR, 1002)
        assert isinstance(error.__cause__, anyws.ProtocolError)


CLOSING = {
    "vanishes": CloseCause.CLOSE_TIMEOUT,
    "stops sending": CloseCause.CLOSE_TIMEOUT,
    "resets": CloseCause.CLOSED_BY_US,
    "half-closes": CloseCause.CLOSED_BY_US,
}


@pytest.mark.parametrize("way", CLOSING)
async def test_while_we_close(way, link):
    """``close`` returns, it does not raise; what came before stays for ``receive``; the code is 1006."""
    async with link.opened() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.close, 4000, "enough")
        assert await peer.receive_close() == (4000, "enough")
        await peer.send(peer.make(0x81, b"before") + peer.make(0x88, b"\x03\xe8")[:-1])
        with anyio.fail_after(10):
            assert await websocket.receive() == "before"
        await fails(peer, way, tg, bytearray())
        error = await met_by(websocket)
        assert (error.cause, error.code) == (CLOSING[way], 1006)
        assert error.sent == (4000, "enough")
        assert error.began_by_us is True
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("way", WAYS)
async def test_after_its_close_frame(way, link):
    """Both close frames make the end; how TCP ends after them is nobody's error."""
    async with link.opened() as (websocket, peer), anyio.create_task_group() as tg:
        await peer.send(peer.make(0x81, b"before") + peer.make(0x88, b"\x03\xe8bye"))
        assert await websocket.receive() == "before"
        with pytest.raises(anyws.ConnectionClosedOK) as caught:
            await websocket.receive()
        await fails(peer, way, tg, bytearray())
        await websocket.aclose()
        with pytest.raises(anyws.ConnectionClosedOK) as again:
            await websocket.send("late")
        assert caught.value.args == again.value.args
        assert caught.value.cause is CloseCause.CLOSED_BY_PEER
        assert caught.value.reason == "bye"
        assert caught.value.__cause__ is None
        tg.cancel_scope.cancel()


HALF_REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\nUpgr"
HALF_RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\nUpgr"


@pytest.mark.parametrize("way", WAYS)
async def test_while_we_open(caplog, way, link):
    """One exception for a client, of the same type on each loop; a server goes on, and logs nothing."""
    silent = WAYS[way] is CloseCause.PING_TIMEOUT
    expected = {"server": anyio.BrokenResourceError, "client": anyws.InvalidHandshake}[link.role]
    options = {"open_timeout": 0.05 if silent else 10}
    with anyio.fail_after(20):
        async with link.stream(**options) as (opening, peer), anyio.create_task_group() as tg:

            async def play():
                far = await peer.stream() if isinstance(peer, _Accepted) else peer
                await far.send(HALF_REQUEST if far.client else HALF_RESPONSE)
                await fails(far, way, tg, bytearray())

            if isinstance(opening, _Given):
                await play()
                if way == "vanishes":
                    await peer.read_all(bytearray())
            else:
                tg.start_soon(play)
                with pytest.raises(TimeoutError if silent else expected):
                    async with opening:
                        pytest.fail("it did not open")
                tg.cancel_scope.cancel()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Delivery in its own way.


def everything(peer):
    """Return a stream of frames of all kinds, and the messages in it."""
    frames = [
        peer.make(0x81, b"text"),
        peer.make(0x02, b"first "),
        peer.make(0x89, b"ping"),
        peer.make(0x00, b"second "),
        peer.make(0x8A, b"a pong that nobody asked for"),
        peer.make(0x80, b"third"),
        peer.make(0x81),
        peer.make(0x82, bytes(300)),
        peer.make(0x81, "\U0001f40d".encode()),
    ]
    return b"".join(frames), ["text", b"first second third", "", bytes(300), "\U0001f40d"]


async def take(websocket, peer, data, expected, *, send):
    """Send ``data`` and a close frame by ``send``; check what comes of it on both sides."""
    async with anyio.create_task_group() as tg:
        answers = bytearray()
        tg.start_soon(peer.read_all, answers)
        tg.start_soon(send, data + peer.make(0x88, b"\x03\xe8"))
        assert [message async for message in websocket] == expected
        await websocket.aclose()
        tg.cancel_scope.cancel()
    mask = 0 if peer.client else 0x80
    assert answers.startswith(bytes((0x8A, mask | 4)))
    assert bytes((0x88, mask | 2)) in answers
    assert (websocket.close_code, websocket.close_reason) == (1000, "")


async def test_byte_by_byte(link):
    """Header, payload, characters and close frame in pieces of one byte give what they give at once."""
    chunk = {"chunk": 1} if link.kind == "memory" else {}
    async with link.opened(**chunk) as (websocket, peer):

        async def send(data):
            for byte in data:
                await peer.send(bytes((byte,)))

        await take(websocket, peer, *everything(peer), send=send)


async def test_a_megabyte_at_once(link):
    """Thousands of frames in one piece; all that stands before the close frame is delivered, and others run."""
    async with link.opened() as (websocket, peer):
        data, expected = everything(peer)
        count = 2**20 // len(data)
        await take(websocket, peer, data * count, expected * count, send=peer.send)


@pytest.mark.parametrize("seed", range(3))
async def test_cut_anywhere(seed, memory_link):
    print(f"seed {seed}")
    cuts = random.Random(seed)
    async with memory_link.opened() as (websocket, peer):

        async def send(data):
            while data:
                size = cuts.choice((1, 2, 3, 5, 8, 100, 1000))
                await peer.send(data[:size])
                data = data[size:]
                if cuts.random() < 0.5:
                    await anyio.wait_all_tasks_blocked()

        await take(websocket, peer, *everything(peer), send=send)


async def test_messages_together_with_the_handshake(memory_link):
    """In the same piece of the stream as the handshake, and with the close frame."""
    with anyio.fail_after(10):
        async with memory_link.stream() as (opening, peer), anyio.create_task_group() as tg:
            data, expected = everything(peer)
            send = peer.stream.send

            async def send_together(head):
                await send(head + data + peer.make(0x88, b"\x03\xe8"))

            async def meet():
                await (peer.request() if peer.client else peer.answer())
                if not peer.client:
                    await peer.stream.send_eof()
                await peer.read_all(bytearray())
                await peer.stream.aclose()

            peer.stream.send = send_together
            tg.start_soon(meet)
            async with opening as websocket:
                assert [message async for message in websocket] == expected
            assert websocket.close_code == 1000
            tg.cancel_scope.cancel()


# A peer that takes nothing.


async def test_stops_reading(memory_link):
    """``send`` waits and can be cancelled; when the peer reads on, it gets whole frames, each once."""
    async with memory_link.opened(compression=None) as (websocket, peer):
        websocket._transport._stream._outgoing.capacity = 100
        await websocket.send(bytes(60_000))
        for message in ("went over the mark " * 500, "not admitted"):
            with anyio.move_on_after(0.01) as scope:
                await websocket.send(message)
            assert scope.cancelled_caught
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.send, "admitted")
            assert (await peer.receive_frame()).payload == bytes(60_000)
            assert (await peer.receive_frame()).payload == b"went over the mark " * 500
            assert (await peer.receive_frame()).payload == b"admitted"
        peer.stream.reset()


@pytest.mark.parametrize("phase", ["idle", "mid-frame"])
async def test_stops_reading_and_is_closed(phase, memory_link):
    """Closing does not wait for what the peer never takes; who sends is told."""
    async with memory_link.opened(compression=None) as (websocket, peer):
        websocket._transport._stream._outgoing.capacity = 100
        causes = []

        async def send():
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                while True:
                    await websocket.send(bytes(70_000))
            causes.append(caught.value.cause)

        async with anyio.create_task_group() as tg:
            if phase == "mid-frame":
                tg.start_soon(send)
            else:
                await websocket.send(bytes(1000))
            await peer.receive_exactly(50)
            await websocket.close()
        error = await met_by(websocket)
        assert error.cause is CloseCause.CLOSE_TIMEOUT
        assert causes == [CloseCause.CLOSE_TIMEOUT] * (phase == "mid-frame")


async def test_stops_reading_in_the_opening(memory_link):
    """A server has nothing to wait for; a client waits for the answer, as long as it may."""
    open_timeout = 0.05 if memory_link.role == "client" else 10
    options = {"capacity": 10, "open_timeout": open_timeout, "close_timeout": 0.05}
    async with memory_link.stream(**options) as (opening, peer), anyio.create_task_group() as tg:
        if memory_link.role == "client":
            with pytest.raises(TimeoutError):
                async with opening:
                    pytest.fail("it did not open")
            return

        async def ask():
            # The connection may be over before it has read the answer.
            with suppress(anyio.EndOfStream):
                await peer.request(target="/" + "x" * 100)

        tg.start_soon(ask)
        with anyio.fail_after(10):
            async with opening as websocket:
                await websocket.send("x")
        assert websocket.close_code == 1006
        tg.cancel_scope.cancel()
