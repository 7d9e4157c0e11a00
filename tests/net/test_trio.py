"""What only trio's sockets do: the helper that finishes writes, accepting, and the parked task."""

import errno
import logging
import socket

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import SocketAttribute

from anyws.net import _socket, _trio
from anyws.net._trio import TrioNetwork, TrioTransport
from anyws.net.network import current_network

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "trio", {"strict_exception_groups": True}


class FakeSocket:
    """A socket that takes what it is told to take."""

    def __init__(self, sock):
        self.sock = sock
        self.takes = []
        self.calls = []

    def send(self, data):
        take = self.takes.pop(0) if self.takes else len(data)
        self.calls.append((bytes(data), take))
        if isinstance(take, Exception):
            raise take
        return self.sock.send(data[:take])

    def sendmsg(self, pieces):
        return self.send(b"".join(pieces))

    def __getattr__(self, name):
        return getattr(self.sock, name)


@pytest.fixture
async def pair(socket_peer):
    """Give a transport over one end of a socket pair, the fake around it, and the peer."""
    one, other = socket.socketpair()
    one.setblocking(False)
    fake = FakeSocket(one)
    async with anyio.create_task_group() as tg:
        yield TrioTransport(fake, tg, _trio._NextRound(tg)), fake, socket_peer(other)
        tg.cancel_scope.cancel()
    other.close()
    one.close()


async def test_the_network_of_this_loop(pair):
    async with anyio.create_task_group() as tg:
        assert isinstance(current_network(tg), TrioNetwork)
    transport, _, _ = pair
    assert not transport.reads_by_itself
    assert transport.extra(SocketAttribute.family) == socket.AF_UNIX
    transport.pause_reading()
    transport.resume_reading()


async def test_a_partial_write_is_finished_by_the_helper(pair):
    transport, fake, peer = pair
    fake.takes = [2, BlockingIOError(), 1]
    transport.write(b"abcdef")
    assert transport.unsent == 4
    transport.write(b"gh")
    assert transport.unsent == 6
    assert await peer.receive_exactly(8) == b"abcdefgh"
    assert transport.unsent == 0
    assert [call[0] for call in fake.calls[:3]] == [b"abcdef", b"cdefgh", b"cdefgh"]


async def test_a_write_that_the_kernel_refuses_at_first(pair):
    transport, fake, peer = pair
    fake.takes = [BlockingIOError()]
    transport.write(b"abc")
    assert transport.unsent == 3
    assert await peer.receive_exactly(3) == b"abc"


async def test_readable_and_yet_nothing_to_read(pair, sink_class):
    """As after a checksum that was wrong; see BUGS in select(2)."""
    transport, fake, peer = pair
    sink = sink_class()
    transport.attach(sink)
    errors = [BlockingIOError()]

    def recv_into(buffer):
        if errors:
            raise errors.pop()
        return fake.sock.recv_into(buffer)

    fake.recv_into = recv_into
    await peer.send(b"abc")
    await transport.receive_more()
    assert (bytes(sink.data), errors) == (b"abc", [])


async def test_closed_as_bytes_come(pair, sink_class):
    """The task that reads was woken already; that its socket is gone is no second loss."""
    transport, fake, peer = pair
    sink = sink_class()
    transport.attach(sink)

    def recv_into(buffer):
        transport.abort()
        return fake.sock.recv_into(buffer)

    fake.recv_into = recv_into
    await peer.send(b"abc")
    await transport.receive_more()
    assert (sink.lost, bytes(sink.data), sink.eof) == ([None], b"", 0)


async def test_the_helper_starts_again_after_its_end(pair):
    transport, fake, peer = pair
    for _ in range(3):
        fake.takes = [1]
        transport.write(b"abc")
        assert await peer.receive_exactly(3) == b"abc"
        await anyio.wait_all_tasks_blocked()


async def test_an_error_of_send_is_a_loss_and_not_raised(pair, sink_class):
    transport, fake, _ = pair
    sink = sink_class()
    transport.attach(sink)
    fake.takes = [ConnectionResetError(errno.ECONNRESET, "reset")]
    transport.write(b"abc")
    assert [type(error) for error in sink.lost] == [ConnectionResetError]
    assert fake.fileno() == -1


async def test_an_error_in_the_helper_is_a_loss(pair, sink_class):
    transport, fake, _ = pair
    sink = sink_class()
    transport.attach(sink)
    fake.takes = [1, BrokenPipeError(errno.EPIPE, "pipe")]
    transport.write(b"abc")
    await sink.gone.wait()
    assert [type(error) for error in sink.lost] == [BrokenPipeError]
    assert transport.unsent == 0


async def test_the_helper_is_out_of_reach_of_a_cancellation(socket_peer):
    one, other = socket.socketpair()
    one.setblocking(False)
    peer = socket_peer(other)
    received = []

    async def receive():
        with anyio.CancelScope(shield=True):
            received.append(await peer.receive_exactly(2**22))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            transport = TrioTransport(one, tg, _trio._NextRound(tg))
            transport.write(bytes(2**22))
            tg.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
    assert received == [bytes(2**22)]
    transport.abort()
    peer.close()


class AbortAtStep(trio.abc.Instrument):
    """Drops a transport just before a step of the task that finishes its writes."""

    def __init__(self, transport, step):
        self.transport = transport
        self.left = step

    def before_task_step(self, task):
        if task.name.endswith("._write_while_needed"):
            self.left -= 1
            if self.left == 0:
                self.transport.abort()


@pytest.mark.parametrize("gathers", [True, False], ids=["sendmsg", "without sendmsg"])
@pytest.mark.parametrize("step", [1, 2], ids=["before it began", "after the socket was ready"])
async def test_abort_before_the_helper_has_its_turn(pair, sink_class, step, gathers, monkeypatch):
    """It was scheduled already, and finds a closed socket and nothing to write."""
    monkeypatch.setattr(_socket, "_CAN_GATHER", gathers)
    transport, fake, _ = pair
    sink = sink_class()
    transport.attach(sink)
    fake.takes = [1]
    instrument = AbortAtStep(transport, step)
    trio.lowlevel.add_instrument(instrument)
    try:
        transport.write(b"abc")
        await sink.gone.wait()
        await anyio.wait_all_tasks_blocked()
    finally:
        trio.lowlevel.remove_instrument(instrument)
    assert (instrument.left, sink.lost) == (0, [None])
    assert fake.calls == [(b"abc", 1)]


async def test_the_parked_task_ends_with_its_task_group():
    calls = []
    async with anyio.create_task_group() as tg:
        next_round = _trio._NextRound(tg)
        next_round.call_soon(lambda: calls.append(1))
        await anyio.wait_all_tasks_blocked()
        next_round.call_soon(lambda: calls.append(2))
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert calls == [1, 2]


async def test_what_is_asked_for_while_the_parked_task_ends_is_called_all_the_same():
    calls = []
    async with anyio.create_task_group() as tg:
        next_round = _trio._NextRound(tg)
        next_round.call_soon(lambda: calls.append(1))
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
        # It has been told, and has not run yet.
        next_round.call_soon(lambda: calls.append(2))
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            assert calls == [1, 2]
            next_round.call_soon(lambda: calls.append(3))
            await anyio.wait_all_tasks_blocked()
    assert calls == [1, 2, 3]


class ScriptedListener:
    """A listening socket of which some calls to ``accept`` fail."""

    def __init__(self, sock, *errors):
        self.sock = sock
        self.errors = list(errors)

    def accept(self):
        if self.errors:
            raise self.errors.pop(0)
        return self.sock.accept()

    def __getattr__(self, name):
        return getattr(self.sock, name)


async def accept_one(listener):
    here, there = anyio.create_memory_object_stream(1)
    async with anyio.create_task_group() as tg:
        listening = await TrioNetwork(tg).listen([listener], here.send, handshake_timeout=5)
        with here, there, socket.create_connection(listener.getsockname()), anyio.fail_after(5):
            transport = await there.receive()
        transport.abort()
        listening.close()
        tg.cancel_scope.cancel()
    assert listener.fileno() == -1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
async def test_accepting_goes_on_after_running_out(number, monkeypatch, caplog):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(_trio.trio, "sleep", sleep)
    sock = socket.create_server(("127.0.0.1", 0))
    await accept_one(ScriptedListener(sock, OSError(number, "out of it"), OSError(number, "again")))
    assert slept == [0.1, 0.1]
    messages = [record for record in caplog.records if record.name == "anyws.server"]
    assert [record.levelno for record in messages] == [logging.WARNING] * 2


async def test_a_client_that_gave_up_is_no_error():
    sock = socket.create_server(("127.0.0.1", 0))
    gave_up = ConnectionAbortedError(errno.ECONNABORTED, "gave up")
    failed = OSError(errno.EPROTO, "failed")
    await accept_one(ScriptedListener(sock, gave_up, failed, BlockingIOError()))


async def test_a_connection_that_cannot_be_watched(monkeypatch, caplog):
    """As when the system watches as many sockets as it may; the next one is served."""
    transport = TrioNetwork._transport

    def refusing(network, *arguments):
        if not caplog.records:
            raise OSError(errno.ENOSPC, "no room")
        return transport(network, *arguments)

    monkeypatch.setattr(TrioNetwork, "_transport", refusing)
    sock = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(sock.getsockname()) as refused:
        await accept_one(sock)
        assert refused.recv(1) == b""
    assert ("no room" in caplog.text, len(caplog.records)) == (True, 1)


async def test_a_listener_that_is_closed_as_a_client_comes():
    class Closing(ScriptedListener):
        def accept(self):
            connection = super().accept()
            self.sock.close()
            self.errors.append(OSError(errno.EBADF, "closed"))
            return connection

    await accept_one(Closing(socket.create_server(("127.0.0.1", 0))))


async def test_another_error_of_accept_ends_the_server():
    sock = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(ExceptionGroup) as caught:
        await accept_one(ScriptedListener(sock, OSError(errno.EINVAL, "no listener")))
    assert caught.group_contains(OSError, match="no listener")
    sock.close()


async def test_tcp_sockets_send_small_frames_at_once():
    async with anyio.create_task_group() as tg:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            transport = await TrioNetwork(tg).connect_tcp(*listener.getsockname())
            sock = transport.extra(SocketAttribute.raw_socket)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not sock.getblocking()
            transport.abort()


async def test_listening_that_ends_before_its_task_began():
    async with anyio.create_task_group() as tg:
        listener = socket.create_server(("127.0.0.1", 0))
        listening = await TrioNetwork(tg).listen([listener], None, handshake_timeout=5)
        listening.close()
    assert listener.fileno() == -1
