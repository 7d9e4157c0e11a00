"""Plain sockets on asyncio's selector loop: real sockets, and a fake kernel where none would do it."""

import asyncio
import errno
import logging
import socket
from contextlib import asynccontextmanager

import anyio
import pytest

from anyws.net import accept_errors
from anyws.net._asyncio import AsyncioNetwork
from anyws.net._selector import SelectorListening, SelectorTransport
from anyws.net._socket import prepare_socket

pytestmark = pytest.mark.anyio

#: More than two sockets keep between them.
LARGE = bytes(range(256)) * 8192


@pytest.fixture
def anyio_backend():
    return "asyncio", {"debug": True}


@pytest.fixture
def sink(sink_class):
    return sink_class()


@pytest.fixture
def failures():
    """What the loop's exception handler is told; nothing, at the end."""
    contexts = []
    yield contexts
    assert contexts == []


@pytest.fixture
def connected(sink, socket_peer, failures):
    """Give a transport with a small send buffer that feeds ``sink``, and its peer."""

    @asynccontextmanager
    async def opened(*, tcp=False):
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context)
        )
        if tcp:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                sock = socket.create_connection(listener.getsockname())
                other = listener.accept()[0]
        else:
            sock, other = socket.socketpair()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setblocking(False)
        transport = SelectorTransport(sock)
        transport.attach(sink)
        with other, anyio.fail_after(10):
            yield transport, socket_peer(other)
            transport.abort()
            await anyio.wait_all_tasks_blocked()
        assert not watched(sock)

    return opened


def watched(sock):
    """Return whether the loop waits for ``sock``, as ``r``, ``w`` or both."""
    selector = asyncio.get_running_loop()._selector
    key = selector.get_map().get(sock) if sock.fileno() >= 0 else None
    if key is None:
        return ""
    reader, writer = key.data
    return ("r" if reader is not None else "") + ("w" if writer is not None else "")


async def until(condition):
    while not condition():
        await anyio.lowlevel.checkpoint()


async def test_a_partial_write_is_finished_by_the_loop(connected):
    async with connected() as (transport, peer):
        transport.set_high_water(4096)
        transport.writelines([b"head", LARGE])
        assert (transport.clogged, watched(transport._socket)) == (True, "rw")
        left = transport.unsent
        assert 0 < left < len(LARGE)
        transport.write(b"end")
        assert transport.unsent == left + 3
        assert await peer.receive_exactly(len(LARGE) + 7) == b"head" + LARGE + b"end"
        await transport.drain()
        await until(lambda: not transport.unsent)
        # The loop would spin over a socket that can be written and has nothing to write.
        assert watched(transport._socket) == "r"
        transport.write(LARGE)
        assert watched(transport._socket) == "rw"


async def test_reading_pauses_while_the_receiver_is_full(connected, sink):
    async with connected() as (transport, peer):
        sink.full = True
        await peer.send(b"bytes")
        await until(lambda: transport.paused)
        assert (watched(transport._socket), sink.data) == ("", b"")
        transport.resume_reading()
        await until(lambda: transport.paused)
        assert not sink.data
        sink.full = False
        transport.resume_reading()
        transport.resume_reading()
        await until(lambda: sink.data)
        assert (watched(transport._socket), sink.data) == ("r", b"bytes")


async def test_a_full_receiver_gets_what_a_task_waits_for(connected, sink):
    async with connected() as (transport, peer):
        sink.full = True
        waiting = transport.receive_more()
        await peer.send(b"bytes")
        await waiting
        assert (transport.paused, sink.data) == (False, b"bytes")


async def test_the_end_of_the_stream_comes_after_the_backlog(connected, sink):
    async with connected() as (transport, peer):
        transport.write(LARGE)
        transport.write_eof()
        assert await peer.receive_all() == LARGE
        assert watched(transport._socket) == "r"
        # The peer's half is still open.
        await peer.send(b"answer")
        await transport.receive_more()
        assert (sink.data, sink.eof, sink.lost) == (b"answer", 0, [])


async def test_the_end_is_told_once_and_reading_does_not_begin_again(connected, sink):
    async with connected() as (transport, peer):
        waiting = transport.receive_more()
        await peer.send_eof()
        await waiting
        assert (sink.eof, transport.paused, watched(transport._socket)) == (1, True, "")
        transport.resume_reading()
        assert watched(transport._socket) == ""
        transport.write(LARGE)
        assert await peer.receive_exactly(len(LARGE)) == LARGE
        assert sink.eof == 1


async def test_a_reset_is_a_loss_and_wakes_everybody(connected, sink):
    async with connected(tcp=True) as (transport, peer):
        transport.set_high_water(1024)
        transport.write(LARGE)
        waiting = transport.receive_more()
        async with anyio.create_task_group() as tg:
            tg.start_soon(transport.drain)
            await anyio.wait_all_tasks_blocked()
            peer.reset()
            await waiting
        assert [type(error) for error in sink.lost] == [ConnectionResetError]
        assert (transport.unsent, transport.clogged, sink.eof) == (0, False, 0)
        transport.write(b"late")
        await transport.receive_more()
        await transport.drain()


async def test_abort_wakes_the_reader(connected, sink):
    async with connected() as (transport, _):
        waiting = transport.receive_more()
        with pytest.raises(anyio.BusyResourceError):
            transport.receive_more()
        transport.abort()
        await waiting
        assert sink.lost == [None]
        await transport.receive_more()
        transport.resume_reading()


async def test_abort_after_the_reader_was_cancelled(connected, sink):
    async with connected() as (transport, peer):
        with anyio.move_on_after(0):
            await transport.receive_more()
        await peer.send(b"bytes")
        await until(lambda: sink.data)
        with anyio.move_on_after(0):
            await transport.receive_more()
        transport.abort()
        assert (sink.data, sink.lost) == (b"bytes", [None])


async def test_abort_in_the_round_in_which_the_socket_is_ready(connected, sink, failures):
    """The loop has queued both calls already when the transport is dropped."""
    async with connected() as (transport, peer):
        sock = transport._socket
        transport.write(LARGE)
        loop = asyncio.get_running_loop()
        await peer.send(b"bytes")
        received = 0
        select = loop._selector.select

        def select_and_abort(timeout):
            # What is called here runs before the callbacks of the sockets that are ready.
            events = select(timeout)
            if any(key.fd == sock.fileno() for key, _ in events):
                loop.call_soon(transport.abort)
            return events

        loop._selector.select = select_and_abort
        try:
            received += len(await peer.receive())
            await sink.gone.wait()
        finally:
            del loop._selector.select
        assert sink.lost == [None]
        assert received < len(LARGE)


async def test_dropped_by_what_came(connected, sink):
    """A receiver may drop the transport at once, over a violation."""
    async with connected() as (transport, peer):
        sink.buffer_updated = lambda count: transport.abort()
        waiting = transport.receive_more()
        await peer.send(b"violation")
        await waiting
        assert (sink.lost, sink.eof) == ([None], 0)


async def test_readable_and_yet_nothing_to_read(connected, sink):
    """As after a checksum that was wrong; see BUGS in select(2)."""
    async with connected() as (transport, peer):
        waiting = transport.receive_more()
        transport.readable()
        assert not waiting.done()
        await peer.send(b"bytes")
        await waiting
        assert (sink.data, sink.lost) == (b"bytes", [])


async def test_callbacks_come_in_the_next_round(connected):
    async with connected() as (transport, _):
        calls = []
        transport.call_soon(lambda: calls.append(1))
        assert not calls
        await anyio.lowlevel.checkpoint()
        assert calls == [1]


class ScriptedListener:
    """A listening socket of which the first calls to ``accept`` fail."""

    def __init__(self, *errors):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.errors = list(errors)

    def accept(self):
        if self.errors:
            raise self.errors.pop(0)
        return self.sock.accept()

    def __getattr__(self, name):
        return getattr(self.sock, name)


@asynccontextmanager
async def listening_on(*listeners):
    """Give the listening, the transports that came and the errors; close all of them."""
    transports, errors = [], []

    def accepted(sock):
        transports.append(SelectorTransport(prepare_socket(sock)))

    listening = SelectorListening(listeners, accepted, errors.append)
    try:
        with anyio.fail_after(10):
            yield listening, transports, errors
    finally:
        listening.close()
        for transport in transports:
            transport.abort()


async def test_several_connections_in_one_round():
    one, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    async with listening_on(one, other) as (listening, transports, errors):
        assert not one.getblocking()
        with (
            socket.create_connection(one.getsockname()),
            socket.create_connection(one.getsockname()),
            socket.create_connection(other.getsockname()),
        ):
            await until(lambda: len(transports) == 3)
            assert all(type(transport) is SelectorTransport for transport in transports)
            assert not any(transport._socket.getblocking() for transport in transports)
            listening.close()
            listening.close()
            assert (watched(one), one.fileno(), other.fileno(), errors) == ("", -1, -1, [])


@pytest.mark.parametrize(
    "error",
    [
        ConnectionAbortedError(errno.ECONNABORTED, "gave up"),
        OSError(errno.EPROTO, "failed"),
        InterruptedError(),
        BlockingIOError(),
    ],
    ids=repr,
)
async def test_an_error_of_one_connection_is_none_of_the_server(error, caplog):
    listener = ScriptedListener(error)
    async with listening_on(listener) as (_, transports, errors):
        with socket.create_connection(listener.getsockname()):
            await until(lambda: transports)
            assert (listener.errors, errors, caplog.records) == ([], [], [])


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
async def test_accepting_goes_on_after_running_out(number, monkeypatch, caplog):
    monkeypatch.setattr(accept_errors, "_BACKOFF", 0.01)
    listener = ScriptedListener(OSError(number, "out of it"), OSError(number, "again"))
    async with listening_on(listener) as (_, transports, errors):
        with socket.create_connection(listener.getsockname()):
            await until(lambda: len(listener.errors) == 1)
            # The socket stays readable: the loop would spin over it.
            assert watched(listener) == ""
            await until(lambda: transports)
            assert (watched(listener), errors) == ("r", [])
    records = [record for record in caplog.records if record.name == "anyws.server"]
    assert [record.levelno for record in records] == [logging.WARNING] * 2
    assert "out of it" in records[0].getMessage()


async def test_a_connection_that_cannot_be_watched(caplog):
    """As when the system watches as many sockets as it may; the others go on."""
    transports = []

    def accepted(sock):
        if not caplog.records:
            raise OSError(errno.ENOSPC, "no room")
        transports.append(SelectorTransport(prepare_socket(sock)))

    listener = socket.create_server(("127.0.0.1", 0))
    errors = []
    listening = SelectorListening([listener], accepted, errors.append)
    with socket.create_connection(listener.getsockname()) as client, anyio.fail_after(10):
        await until(lambda: caplog.records)
        assert client.recv(1) == b""
        with socket.create_connection(listener.getsockname()):
            await until(lambda: transports)
    listening.close()
    transports[0].abort()
    assert ("no room" in caplog.text, len(caplog.records), errors) == (True, 1, [])


async def test_closed_while_it_waits_for_descriptors(monkeypatch, failures):
    monkeypatch.setattr(accept_errors, "_BACKOFF", 0.01)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    listener = ScriptedListener(OSError(errno.EMFILE, "out of it"))
    async with listening_on(listener) as (listening, transports, errors):
        with socket.create_connection(listener.getsockname()):
            await until(lambda: not listener.errors)
            listening.close()
            later = asyncio.Event()
            loop.call_later(0.02, later.set)
            await later.wait()
            assert (transports, errors, listener.fileno()) == ([], [], -1)


async def test_another_error_is_told_once_and_other_sockets_go_on():
    error = OSError(errno.EINVAL, "no listener")
    listener = ScriptedListener(error)
    other = socket.create_server(("127.0.0.1", 0))
    async with listening_on(listener, other) as (_, transports, errors):
        with (
            socket.create_connection(listener.getsockname()),
            socket.create_connection(other.getsockname()),
        ):
            await until(lambda: transports)
            await until(lambda: errors)
            assert (errors, watched(listener), watched(other)) == ([error], "", "r")


async def test_another_error_ends_the_server_with_its_clients():
    error = OSError(errno.EINVAL, "no listener")
    listener = ScriptedListener()
    ended = []
    came = anyio.Event()

    async def accepted(transport):
        came.set()
        try:
            await anyio.sleep_forever()
        finally:
            transport.abort()
            ended.append(transport)

    with anyio.fail_after(10), pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as tg:
            listening = await AsyncioNetwork(tg).listen([listener], accepted, handshake_timeout=5)
            with socket.create_connection(listener.getsockname()):
                await came.wait()
                listener.errors.append(error)
                with socket.create_connection(listener.getsockname()):
                    try:
                        await anyio.sleep_forever()
                    finally:
                        listening.close()
    assert caught.value.exceptions == (error,)
    assert len(ended) == 1
