"""A connection of either role, in memory or over TCP, and the raw peer at its other end."""

import socket
import struct
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import SocketAttribute

import anyws
from anyws.testing import FaultyStream, RawPeer, memory_pair


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
        #: Whether the connection is one of a running server.
        self.serves = kind == "tcp" and role == "server"

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
        elif self.serves:
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

    async def met(self, peer):
        """Return the ``Peer`` that ``stream`` gave, once the connection has come."""
        return await peer.stream() if isinstance(peer, _Accepted) else peer

    @asynccontextmanager
    async def opened(self, **options):
        """Give an open connection and its ``Peer``."""
        options = {"close_timeout": 0.1, **options}
        with anyio.fail_after(20):
            async with self.stream(**options) as (opening, peer), anyio.create_task_group() as tg:
                met = anyio.Event()

                async def meet():
                    nonlocal peer
                    peer = await self.met(peer)
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
