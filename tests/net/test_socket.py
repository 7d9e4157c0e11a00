"""What asyncio's and trio's sockets have in common, without a loop: the test says when to write."""

import errno
import socket
from contextlib import contextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute

from anyws.net import _socket
from anyws.net._socket import SocketTransport, prepare_socket

pytestmark = pytest.mark.anyio

#: More than two sockets with small buffers keep between them.
LARGE = bytes(range(256)) * 4096


class ByHand(SocketTransport):
    """Waits for nothing: ``_write_backlog`` is called by the test."""

    def __init__(self, sock):
        super().__init__(sock)
        self.waits = 0
        self.stops = 0

    def _write_when_possible(self):
        self.waits += 1

    def _stop_waiting(self):
        assert self._socket.fileno() != -1, "closed before the loop was told"
        self.stops += 1

    async def receive_more(self):
        raise NotImplementedError

    def call_soon(self, callback):
        raise NotImplementedError


class FailingSocket:
    """A socket of which the next calls fail, or take so many bytes."""

    def __init__(self, sock, *errors):
        self.sock = sock
        self.errors = list(errors)
        self.shutdown_error = None
        self.takes = None

    def _fail(self):
        if self.errors:
            raise self.errors.pop(0)

    def send(self, data, flags=0):
        self._fail()
        return self.sock.send(data, flags)

    def sendmsg(self, pieces):
        self._fail()
        if self.takes is not None:
            return self.sock.send(b"".join(pieces)[: self.takes])
        return self.sock.sendmsg(pieces)

    def shutdown(self, how):
        if self.shutdown_error is not None:
            raise self.shutdown_error
        self.sock.shutdown(how)

    def __getattr__(self, name):
        return getattr(self.sock, name)


@contextmanager
def connected(sink, *errors):
    """Give a transport with a small send buffer, and the socket opposite."""
    one, other = socket.socketpair()
    with one, other:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        other.setblocking(False)
        transport = ByHand(FailingSocket(prepare_socket(one), *errors))
        transport.attach(sink)
        yield transport, other


def take(peer):
    """Return what has come."""
    data = bytearray()
    try:
        while piece := peer.recv(65536):
            data += piece
    except BlockingIOError:
        pass
    return bytes(data)


def exchange(transport, peer):
    """Let the backlog leave, piece by piece; return what came."""
    data = bytearray()
    while transport.unsent:
        data += take(peer)
        transport._write_backlog()
    return bytes(data + take(peer))


@pytest.fixture(params=[True, False], ids=["sendmsg", "without sendmsg"])
def gathers(request, monkeypatch):
    if request.param and not _socket._CAN_GATHER:
        pytest.skip("sockets have no sendmsg here")
    monkeypatch.setattr(_socket, "_CAN_GATHER", request.param)
    return request.param


@pytest.fixture
def sink(sink_class):
    return sink_class()


def test_a_socket_is_made_fit():
    with socket.socket() as sock:
        assert prepare_socket(sock) is sock
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with socket.socket(socket.AF_UNIX) as sock:
        assert not prepare_socket(sock).getblocking()


def test_what_the_kernel_does_not_take_is_kept_in_order(sink, gathers):
    with connected(sink) as (transport, peer):
        transport.write(LARGE)
        assert 0 < transport.unsent < len(LARGE)
        assert (transport.waits, transport.clogged) == (1, True)
        transport.writelines([b"small", b" pieces"])
        transport.writelines([b"first", LARGE, b"last"])
        expected = LARGE + b"small pieces" + b"first" + LARGE + b"last"
        assert transport.waits == 1
        assert exchange(transport, peer) == expected
        assert (transport.unsent, transport.clogged, sink.lost) == (0, False, [])
        transport.write(LARGE)
        assert transport.waits == 2


def test_several_large_pieces_at_once(sink, gathers):
    with connected(sink) as (transport, peer):
        chunks = [b"header", LARGE, b"second header", LARGE]
        transport.writelines(chunks)
        assert transport.waits == 1
        # Without sendmsg the first piece leaves alone.
        assert (transport.unsent == sum(map(len, chunks)) - 6) is not gathers
        assert exchange(transport, peer) == b"".join(chunks)


def test_more_pieces_than_one_system_call_takes(sink, gathers):
    with connected(sink) as (transport, peer):
        transport.write(LARGE)
        for number in range(200):
            transport.write(b"%04d" % number)
        pieces = [b"%05d" % number for number in range(400)]
        transport.writelines(pieces)
        expected = b"".join([LARGE, *(b"%04d" % number for number in range(200)), *pieces])
        assert transport.unsent > 2800
        assert exchange(transport, peer) == expected


def test_a_written_buffer_is_not_copied(sink):
    with connected(sink) as (transport, _):
        transport.write(LARGE)
        transport.write(LARGE)
        assert [view.obj is LARGE for view in transport._backlog] == [True, True]


def test_a_full_socket_keeps_everything(sink, gathers):
    errors = [BlockingIOError(), BlockingIOError()]
    with connected(sink, *errors) as (transport, peer):
        transport.writelines([b"head", bytes(20000)])
        assert transport.unsent == 20004
        transport._write_backlog()
        assert transport.unsent == 20004
        assert exchange(transport, peer) == b"head" + bytes(20000)


@pytest.mark.parametrize("chunks", [[b"small", b"er"], [b"head", bytes(20000)]], ids=len)
def test_an_error_of_the_socket_is_a_loss_and_not_raised(sink, gathers, chunks):
    error = ConnectionResetError(errno.ECONNRESET, "reset")
    with connected(sink, error) as (transport, _):
        transport.writelines(chunks)
        assert sink.lost == [error]
        assert (transport.unsent, transport.waits, transport.stops) == (0, 0, 1)
        transport.writelines(chunks)
        assert sink.lost == [error]


def test_an_error_while_the_backlog_is_written(sink, gathers):
    error = BrokenPipeError(errno.EPIPE, "pipe")
    with connected(sink, BlockingIOError(), error) as (transport, peer):
        transport.write(LARGE)
        assert transport.clogged
        transport._write_backlog()
        assert sink.lost == [error]
        assert (transport.unsent, transport.clogged, transport.stops) == (0, False, 1)
        assert peer.recv(1) == b""


def test_nothing_is_sent_after_abort(sink, gathers):
    with connected(sink) as (transport, peer):
        transport.write(b"before")
        transport.abort()
        transport.write(b"after")
        transport.writelines([b"after"])
        transport.writelines([LARGE, LARGE])
        transport.write_eof()
        transport.abort()
        assert (transport.unsent, transport.clogged, transport.waits) == (0, False, 0)
        assert (sink.lost, transport.stops) == ([None], 1)
        assert take(peer) == b"before"


def test_abort_drops_the_backlog(sink):
    with connected(sink) as (transport, peer):
        transport.write(LARGE)
        transport.write_eof()
        transport.abort()
        assert (transport.unsent, transport.clogged, transport._backlog) == (0, False, [])
        received = take(peer)
        assert 0 < len(received) < len(LARGE)
        assert LARGE.startswith(received)


def test_the_end_of_the_stream_comes_after_the_backlog_and_once(sink):
    with connected(sink) as (transport, peer):
        transport.write(LARGE)
        transport.write_eof()
        transport.write_eof()
        assert len(take(peer)) < len(LARGE)
        transport._write_backlog()
        while transport.unsent:
            take(peer)
            transport._write_backlog()
        take(peer)
        assert peer.recv(1) == b""
        transport.write_eof()
        assert not sink.lost
        peer.send(b"answer")
        assert transport._receive()
        assert sink.data == b"answer"


@pytest.mark.parametrize("before", [b"", b"before", LARGE], ids=len)
def test_the_end_of_the_stream_comes_after_what_is_last(sink, before):
    with connected(sink) as (transport, peer):
        transport.write(before)
        transport.write_eof(b"last")
        transport.write_eof(b"never")
        assert exchange(transport, peer) == before + b"last"
        assert peer.recv(1) == b""
        assert (transport.unsent, sink.lost) == (0, [])


def test_what_is_last_may_take_long(sink):
    with connected(sink) as (transport, peer):
        transport.write_eof(LARGE)
        assert exchange(transport, peer) == LARGE
        assert peer.recv(1) == b""


def test_when_what_is_last_cannot_be_sent_there_is_no_end(sink):
    error = OSError(errno.EPIPE, "broken pipe")
    with connected(sink, error) as (transport, _):
        transport._socket.shutdown_error = OSError(errno.ENOTCONN, "not connected")
        transport.write_eof(b"last")
        assert sink.lost == [error]


@pytest.mark.parametrize("data", [b"x", LARGE], ids=len)
def test_an_end_that_cannot_be_sent_is_a_loss(sink, data):
    with connected(sink) as (transport, peer):
        error = transport._socket.shutdown_error = OSError(errno.ENOTCONN, "not connected")
        transport.write(data)
        transport.write_eof()
        assert sink.lost == ([error] if data == b"x" else [])
        exchange(transport, peer)
        assert sink.lost == [error]


def test_the_marks_of_back_pressure(sink):
    with connected(sink) as (transport, peer):
        transport.set_high_water(1000)
        transport._socket.errors = [BlockingIOError()]
        transport.write(bytes(1000))
        assert not transport.clogged
        transport.write(b"x")
        assert transport.clogged
        # Sizes that the fake kernel takes, and what is clogged after them.
        for size, clogged in [(750, True), (1, False), (250, False)]:
            transport._socket.takes = size
            transport._write_backlog()
            assert transport.clogged is clogged
        assert transport.unsent == 0
        assert take(peer) == bytes(1000) + b"x"


async def test_drain_waits_for_a_quarter(sink):
    with connected(sink) as (transport, peer):
        left = []

        async def drain():
            await transport.drain()
            left.append(transport.unsent)

        transport.set_high_water(4096)
        transport.write(LARGE)
        async with anyio.create_task_group() as tg:
            tg.start_soon(drain)
            tg.start_soon(drain)
            while len(left) < 2:
                await anyio.wait_all_tasks_blocked()
                assert (left == []) is (transport.unsent > 1024)
                take(peer)
                transport._write_backlog()
        assert max(left) <= 1024


async def test_aclose_waits_for_the_backlog(sink):
    with connected(sink) as (transport, peer):
        received = bytearray()
        transport.write(LARGE)
        async with anyio.create_task_group() as tg:
            tg.start_soon(transport.aclose)
            await anyio.wait_all_tasks_blocked()
            assert not sink.lost
            received += exchange(transport, peer)
        assert sink.lost == [None]
        assert received == LARGE
        assert peer.recv(1) == b""
        await transport.aclose()


async def test_a_loss_ends_aclose_and_drain(sink):
    with connected(sink) as (transport, _):
        transport.write(LARGE)
        error = ConnectionResetError()
        transport._socket.errors = [error]
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tg:
                tg.start_soon(transport.aclose)
                tg.start_soon(transport.drain)
                await anyio.wait_all_tasks_blocked()
                transport._write_backlog()
        assert sink.lost == [error]


def test_receiving_says_when_the_stream_ends(sink):
    with connected(sink) as (transport, peer):
        with pytest.raises(BlockingIOError):
            transport._receive()
        peer.send(b"bytes")
        peer.shutdown(socket.SHUT_WR)
        assert transport._receive()
        assert (sink.data, sink.eof) == (b"bytes", 0)
        assert transport._receive()
        assert (sink.data, sink.eof) == (b"bytes", 1)


def test_addresses(sink):
    with connected(sink) as (transport, _):
        assert transport.extra(SocketAttribute.family) == socket.AF_UNIX
        assert transport.extra(SocketAttribute.remote_address) == ""
        transport.abort()


def test_an_address_is_host_and_port_in_ipv6_too():
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        address = listener.getsockname()[:2]
        sock = prepare_socket(socket.create_connection(address))
        transport = ByHand(sock)
        # Without the flow information and the scope.
        assert transport.extra(SocketAttribute.remote_address) == address
        assert transport.extra(SocketAttribute.local_address) == sock.getsockname()[:2]
        transport.abort()
