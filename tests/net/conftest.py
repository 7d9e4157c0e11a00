"""Transports of every kind, each with a peer that is a plain socket or one end of a memory pair."""

import contextlib
import functools
import socket
import ssl
import struct
from contextlib import asynccontextmanager
from unittest import mock

import anyio
import pytest
import trio
import trustme

from anyws.net import _poller
from anyws.net._asyncio import AsyncioTransport
from anyws.net.network import current_network
from anyws.net.receiver import Receiver
from anyws.net.stream import StreamTransport
from anyws.net.tls import start_tls
from anyws.testing import memory_pair


def current_backend():
    return "trio" if trio.lowlevel.in_trio_task() else "asyncio"


class Sink(Receiver):
    """A receiver that keeps what it is told."""

    full = False
    #: What is new to whoever waits.
    new = True

    def __init__(self, size=65536):
        self.buffer = bytearray(size)
        self.data = bytearray()
        self.eof = 0
        self.lost = []
        self.gone = anyio.Event()
        self.ended = anyio.Event()

    def get_buffer(self, sizehint):
        return memoryview(self.buffer)

    def buffer_updated(self, count):
        self.data += self.buffer[:count]
        return self.new

    def eof_received(self):
        self.eof += 1
        self.ended.set()

    def connection_lost(self, error):
        self.lost.append(error)
        self.gone.set()


class SocketPeer:
    """The other end: a socket of the standard library."""

    def __init__(self, sock):
        self.sock = sock
        sock.setblocking(False)

    async def receive(self, size=65536):
        while True:
            try:
                return self.sock.recv(size)
            except BlockingIOError:
                await anyio.wait_readable(self.sock)

    async def receive_exactly(self, count):
        data = bytearray()
        while len(data) < count:
            piece = await self.receive(min(count - len(data), 65536))
            assert piece, f"the stream ended after {len(data)} bytes"
            data += piece
        return bytes(data)

    async def receive_all(self):
        data = bytearray()
        while piece := await self.receive():
            data += piece
        return bytes(data)

    async def send(self, data):
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self.sock)

    async def send_eof(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


class MemoryPeer(SocketPeer):
    """The other end of a memory pair."""

    def __init__(self, stream):
        self.stream = stream
        self.send = stream.send
        self.send_eof = stream.send_eof
        self.reset = stream.reset
        self.close = stream.close

    async def receive(self, size=65536):
        try:
            return await self.stream.receive(size)
        except anyio.EndOfStream:
            return b""


class TlsPeer(SocketPeer):
    """The other end of TLS, a server, over another peer."""

    def __init__(self, below, context):
        self.below = below
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.reset = below.reset
        self.close = below.close

    async def shake_hands(self, first=None):
        """Do the handshake; ``first`` leaves together with its end."""
        while True:
            try:
                self.ssl_object.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                self.incoming.write(await self.below.receive())
            else:
                break
        if first:
            self.ssl_object.write(first)
        await self.flush()

    async def flush(self):
        await self.below.send(self.outgoing.read())

    async def receive(self, size=65536):
        while True:
            try:
                return self.ssl_object.read(size)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                data = await self.below.receive()
                if not data:
                    raise anyio.BrokenResourceError("the stream ended without the farewell of TLS")
                self.incoming.write(data)

    async def send(self, data):
        self.ssl_object.write(data)
        await self.flush()

    async def send_eof(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.ssl_object.unwrap()
        await self.flush()
        await self.below.send_eof()


@functools.cache
def _tls_contexts():
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def secured(transport, peer):
    """Return both ends with TLS between them."""
    server, client = _tls_contexts()
    # They come when the handshake is over, and a socket that is closed before it was read is reset.
    server.num_tickets = 0
    peer = TlsPeer(peer, server)
    async with anyio.create_task_group() as tg:
        tg.start_soon(peer.shake_hands)
        transport = await start_tls(transport, client, server_hostname="localhost")
    return transport, peer


@asynccontextmanager
async def _tcp(tmp_path):
    async with anyio.create_task_group() as tg:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            transport = await current_network(tg).connect_tcp("127.0.0.1", port)
            yield transport, SocketPeer(listener.accept()[0])
        tg.cancel_scope.cancel()


@asynccontextmanager
async def _unix(tmp_path):
    path = str(tmp_path / "socket")
    async with anyio.create_task_group() as tg:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            transport = await current_network(tg).connect_unix(path)
            yield transport, SocketPeer(listener.accept()[0])
        tg.cancel_scope.cancel()


@asynccontextmanager
async def _accepted(tmp_path):
    async with anyio.create_task_group() as tg:
        here, there = anyio.create_memory_object_stream(1)
        with here, there:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                address = listener.getsockname()
                listening = await current_network(tg).listen(
                    [listener.dup()], here.send, handshake_timeout=5
                )
                peer = SocketPeer(socket.create_connection(address))
                transport = await there.receive()
                listening.close()
                yield transport, peer
        tg.cancel_scope.cancel()


@asynccontextmanager
async def _accepted_among_many(tmp_path):
    with mock.patch.object(_poller, "FEW", 0):
        async with _accepted(tmp_path) as (transport, peer):
            yield transport, peer


@asynccontextmanager
async def _accepted_and_busy(tmp_path):
    """One that the poller has handed to the loop, on asyncio."""
    async with _accepted(tmp_path) as (transport, peer):
        for _ in range(70):
            await peer.send(b"x")
            assert await transport.receive() == b"x"
        yield transport, peer


@asynccontextmanager
async def _memory(tmp_path):
    one, other = memory_pair()
    async with anyio.create_task_group() as tg:
        yield StreamTransport(one, tg), MemoryPeer(other)
        tg.cancel_scope.cancel()


@asynccontextmanager
async def _tls(tmp_path):
    async with _tcp(tmp_path) as (transport, peer):
        yield await secured(transport, peer)


@asynccontextmanager
async def _of_the_loop(tmp_path):
    """As on Windows, where the loop does not say when a socket is ready."""
    if current_backend() == "trio":
        pytest.skip("trio has one kind of transport")
    with mock.patch("anyws.net._asyncio._says_when_ready", return_value=False):
        async with _tcp(tmp_path) as (transport, peer):
            assert isinstance(transport, AsyncioTransport)
            yield transport, peer


@asynccontextmanager
async def _accepted_by_the_loop(tmp_path):
    if current_backend() == "trio":
        pytest.skip("trio has one kind of transport")
    with mock.patch("anyws.net._asyncio._says_when_ready", return_value=False):
        async with _accepted(tmp_path) as (transport, peer):
            yield transport, peer


@asynccontextmanager
async def _tls_of_the_loop(tmp_path):
    async with _of_the_loop(tmp_path) as (transport, peer):
        yield await secured(transport, peer)


@asynccontextmanager
async def _tls_over_memory(tmp_path):
    async with _memory(tmp_path) as (transport, peer):
        yield await secured(transport, peer)


@asynccontextmanager
async def _tls_over_tls(tmp_path):
    async with _tls(tmp_path) as (transport, peer):
        yield await secured(transport, peer)


KINDS = {
    "tcp": _tcp,
    "unix": _unix,
    "accepted": _accepted,
    "accepted among many": _accepted_among_many,
    "accepted and busy": _accepted_and_busy,
    "memory": _memory,
    "of the loop": _of_the_loop,
    "accepted by the loop": _accepted_by_the_loop,
    "tls": _tls,
    "tls of the loop": _tls_of_the_loop,
    "tls over memory": _tls_over_memory,
    "tls over tls": _tls_over_tls,
}


@pytest.fixture
def sink_class():
    return Sink


@pytest.fixture
def tls_contexts():
    """A server's context and a client's that trusts it."""
    return _tls_contexts()


@pytest.fixture
def tls_peer():
    return TlsPeer


@pytest.fixture
def socket_peer():
    return SocketPeer


@pytest.fixture(params=KINDS)
def connected(request, tmp_path):
    """Give ``async with connected() as (transport, peer)``, for each kind of transport."""

    @asynccontextmanager
    async def connect():
        with anyio.fail_after(10):
            async with KINDS[request.param](tmp_path) as (transport, peer):
                try:
                    yield transport, peer
                finally:
                    peer.close()
                    with anyio.CancelScope() as scope:
                        scope.cancel()
                        await transport.aclose()
                    with anyio.CancelScope(shield=True):
                        await anyio.wait_all_tasks_blocked()

    return connect
