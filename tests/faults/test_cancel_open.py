"""Opening a connection, cancelled at every point, in both roles: it is there, or nothing of it is."""

import asyncio
import socket
from contextlib import asynccontextmanager, nullcontext, suppress

import anyio
import anyio.lowlevel
import pytest
import trio

import anyws
from anyws.net import _happy_eyeballs
from anyws.testing import RawPeer, memory_pair

pytestmark = pytest.mark.anyio
ENDED = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


class SlowPeer:
    """Does the opening handshake in small steps, and then sends one message and answers the close frame.

    Attributes:
        head: what the library said, up to the empty line, if that came.
        peer: the ``Peer`` after the handshake, if it came so far.
    """

    def __init__(self, cancelling):
        self.head = self.peer = None
        self.accepted = False
        self._cancelling = cancelling

    async def run(self, stream):
        """Talk to the library until the stream ends."""
        raw = RawPeer(_InSteps(stream))
        client = self._cancelling.role == "server"
        try:
            shake = raw.request if client else raw.answer
            self.head = await shake(*[DEFLATE] * self._cancelling.deflate)
        except ENDED:
            # Nothing else may have come than a part of a head.
            assert b"\r\n\r\n" not in raw._data
            return
        finally:
            with anyio.CancelScope(shield=True):
                if self.head is None:
                    await anyio.aclose_forcefully(stream)
        if client and not self.head.startswith(b"HTTP/1.1 101 "):
            with suppress(*ENDED):
                while True:
                    await stream.receive()
            await stream.aclose()
            return
        peer = self._cancelling.peer_class(stream, client=client, deflate=self._cancelling.deflate)
        async with anyio.create_task_group() as tg:
            tg.start_soon(peer.send_message, "hello")
            self.peer = peer
            await peer.run(bytes(raw._data))


class _InSteps:
    """Sends in three parts, so that the other side waits in the middle of a head."""

    def __init__(self, stream):
        self.receive = stream.receive
        self._stream = stream

    async def send(self, data):
        third = len(data) // 3 + 1
        for start in range(0, len(data), third):
            await self._stream.send(data[start : start + third])
            for _ in range(3):
                await anyio.lowlevel.checkpoint()


async def use(opening, opened=bool):
    async with opening as websocket:
        opened()
        assert await websocket.receive() == "hello"
        await websocket.send("thanks")


def prove_used(slow, *, completed):
    """Check what the peer saw of ``use``."""
    judge = slow.peer.judge if slow.peer is not None else None
    if completed:
        assert (judge.messages, judge.close_code) == (["thanks"], 1000)
    elif judge is not None:
        assert judge.messages in ([], ["thanks"])
        assert judge.close_code in (None, 1000)
        assert not judge.unfinished


@pytest.mark.cancelled_on(
    "tcp-client-plain", "tls-client-deflate", "unix-client-plain", "memory-client-deflate",
    where=lambda kind, role, deflate: role == "client",
)  # fmt: skip
async def test_connect(cancelling):
    """While it connects, does TLS, waits for the 101, is used and closes."""

    async def scenario(cancel):
        slow = SlowPeer(cancelling)
        async with anyio.create_task_group() as tg:
            near = None
            if cancelling.kind == "memory":
                near, far = memory_pair()
                tg.start_soon(slow.run, far)
            else:
                tg.start_soon(accept_one, cancelling, slow)
            completed = await cancel(use(cancelling.connect(near)))
            # asyncio loses a connection, and complains, when accepting it is cancelled as it comes.
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            if not slow.accepted and near is None:
                tg.cancel_scope.cancel()
        if cancelling.kind != "memory":
            cancelling.drop_unaccepted()
        prove_used(slow, completed=completed)

    await cancelling.sweep(scenario)


async def accept_one(cancelling, slow):
    def accepted():
        slow.accepted = True

    # The client may be cancelled in the handshake of TLS.
    with suppress(*ENDED):
        await slow.run(await cancelling.accept(accepted))


@pytest.mark.cancelled_on(
    "memory-server-plain", "tcp-server-deflate",
    where=lambda kind, role, deflate: role == "server" and kind in ("memory", "tcp"),
)  # fmt: skip
async def test_accept(cancelling):
    """A client that is left in its handshake gets a whole answer, or none."""

    @asynccontextmanager
    async def pair():
        if cancelling.kind == "memory":
            yield memory_pair()
            return
        with socket.create_server(("127.0.0.1", 0)) as listener:
            # Not UNIX sockets: anyio's stream of those is at odds with ``Task.cancel`` on uvloop.
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
            make = anyio.abc.SocketStream.from_socket
            yield await make(near), await make(far)

    async def scenario(cancel):
        slow = SlowPeer(cancelling)
        async with pair() as (near, far), anyio.create_task_group() as tg:
            tg.start_soon(slow.run, far)
            opened = anyio.Event()
            accepting = anyws.accept(near, **cancelling.options)
            completed = await cancel(use(accepting, opened.set))
        if slow.head is not None:
            assert slow.head.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 503 "))
        elif cancel.way != "twice":
            # ``Task.cancel`` knows no shields, and an open connection is dropped at once.
            assert opened.is_set(), "no answer, though the client could read one"
        prove_used(slow, completed=completed)

    await cancelling.sweep(scenario, listening=nullcontext())


@pytest.fixture
def silent():
    """An address at which nobody answers: the queue of its listener is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


@pytest.fixture
def resolve(monkeypatch):
    """Give ``resolve(*addresses)``: what the resolver says of every host from now on."""

    def says(loop_name, *addresses):
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", name) for name in addresses
        ]

        async def getaddrinfo(*_arguments, **_options):
            await anyio.lowlevel.checkpoint()
            return found

        if loop_name == "trio":
            resolver = type("Resolver", (trio.abc.HostnameResolver,), {
                "getaddrinfo": staticmethod(getaddrinfo), "getnameinfo": None,
            })()  # fmt: skip
            trio.socket.set_custom_hostname_resolver(resolver)
            return
        loop = asyncio.get_running_loop()
        wrapped = type("Loop", (), {
            "getaddrinfo": staticmethod(getaddrinfo), "sock_connect": loop.sock_connect,
        })()  # fmt: skip
        monkeypatch.setattr(
            _happy_eyeballs, "asyncio",
            type("asyncio", (), {"get_running_loop": staticmethod(lambda: wrapped)}),
        )  # fmt: skip
        monkeypatch.setattr(_happy_eyeballs, "_DELAY", 0.01)

    return says


@pytest.mark.cancelled_on(
    "tcp-client-plain", where=lambda kind, role, _: (kind, role) == ("tcp", "client")
)
async def test_happy_eyeballs(cancelling, resolve, silent):
    """A host with three addresses: one refuses, one is silent, and one is the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = closed.getsockname()

    async def scenario(cancel):
        # On trio the next address has its turn a quarter of a second after a silent one.
        resolve(
            cancelling.loop, refusing, *[silent] * (cancelling.loop != "trio"), cancelling.address
        )
        slow = SlowPeer(cancelling)
        async with anyio.create_task_group() as tg:
            tg.start_soon(accept_one, cancelling, slow)
            completed = await cancel(use(anyws.connect("ws://host.example/")))
            if not slow.accepted:
                tg.cancel_scope.cancel()
        cancelling.drop_unaccepted()
        prove_used(slow, completed=completed)

    await cancelling.sweep(scenario)
