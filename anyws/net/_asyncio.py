"""Sockets of asyncio on Windows, where the loop reads, writes and calls us back; and asyncio's network.

anyio's own socket stream pauses and resumes reading around every receive and lets the loop allocate
256 KiB for each; a ``BufferedProtocol`` does neither.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from os import fspath
from typing import TYPE_CHECKING, Any, cast

import anyio.lowlevel
from anyio.abc import SocketAttribute

from anyws.net import _poller
from anyws.net._happy_eyeballs import connect_socket
from anyws.net._poller import Poller
from anyws.net._reading_waiter import ReadingWaiter
from anyws.net._selector import SelectorListening, SelectorTransport
from anyws.net._socket import prepare_socket
from anyws.net.tls import accept_tls, context_or_default, start_tls
from anyws.net.transport import Transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from os import PathLike

    from anyws.net.network import Listening, TaskStarter

__all__ = ["AsyncioNetwork", "AsyncioTransport"]

#: Below this many bytes several pieces are joined, above it they are given to the loop as they are.
_JOIN_BELOW = 65536
#: Connections accepted in one go.
_BACKLOG = 1024


class AsyncioTransport(Transport, asyncio.BufferedProtocol):
    """A plain socket that a loop reads and writes.

    Args:
        connected: what to call when the connection is there, on a server.
    """

    reads_by_itself = True

    def __init__(self, connected: Callable[[Transport], None] | None = None) -> None:
        super().__init__()
        self._connected = connected
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._reading_waiter = ReadingWaiter(self._loop)
        self._waiters: list[asyncio.Future[None]] | None = None
        self._lost = False

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._connected is not None:
            connected, self._connected = self._connected, None
            connected(self)

    def get_buffer(self, sizehint: int) -> Any:
        return self._receiver.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        new = self._receiver.buffer_updated(nbytes)
        if not self._reading_waiter.waiting and self._receiver.full:
            self.pause_reading()
        if new:
            self._reading_waiter.wake()

    def eof_received(self) -> bool:
        self._receiver.eof_received()
        self._reading_waiter.wake_soon()
        # We still want to write.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.clogged = False
        self._receiver.connection_lost(exc)
        self._reading_waiter.wake_soon()
        self._wake_all()

    def pause_writing(self) -> None:
        self.clogged = True

    def resume_writing(self) -> None:
        self.clogged = False
        self._wake_all()

    def _wake_all(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    # What the connection calls

    def set_high_water(self, size: int) -> None:
        super().set_high_water(size)
        self._transport.set_write_buffer_limits(high=size, low=size // 4)

    def receive_more(self) -> Awaitable[None]:
        if self._lost:
            return anyio.lowlevel.checkpoint()
        # The waiter itself: a coroutine around it would cost something for every message.
        return self._reading_waiter.begin()

    def pause_reading(self) -> None:
        if not self.paused and not self._lost:
            self.paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.paused:
            self.paused = False
            if not self._lost and not self._transport.is_closing():
                self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        # After a failed send asyncio tells us in the next round only, and logs what is written until then.
        if not (self._lost or self._transport.is_closing()):
            self._transport.write(data)

    def writelines(self, chunks: Sequence[bytes]) -> None:
        if sum(map(len, chunks)) < _JOIN_BELOW:
            self.write(b"".join(chunks))
        else:
            # That of asyncio does not say that its buffer is full, in CPython 3.12.1 and 3.13.0.
            super().writelines(chunks)

    @property
    def unsent(self) -> int:
        return 0 if self._lost else self._transport.get_write_buffer_size()

    def write_eof(self, last: bytes = b"") -> None:
        if last:
            self.write(last)
        if self._lost or self._transport.is_closing():
            return
        try:
            self._transport.write_eof()
        except OSError:
            # The peer has reset the connection, and the loop has not told us yet.
            self._transport.abort()

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._loop.call_soon(callback)

    async def drain(self) -> None:
        while self.clogged:
            await self._wait()

    async def aclose(self) -> None:
        """Send what was written, then close; if cancelled, drop the connection at once."""
        if self._lost:
            return
        self._transport.close()
        try:
            while not self._lost:
                await self._wait()
        except BaseException:
            self._transport.abort()
            raise

    def abort(self) -> None:
        if not self._lost:
            self._transport.abort()

    async def _wait(self) -> None:
        waiter = self._loop.create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        await waiter

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        info = self._transport.get_extra_info
        return {
            SocketAttribute.raw_socket: lambda: info("socket"),
            SocketAttribute.family: lambda: info("socket").family,
            SocketAttribute.local_address: lambda: _address(info("sockname")),
            SocketAttribute.remote_address: lambda: _address(info("peername")),
        }


def _address(address: Any) -> Any:
    return address[:2] if isinstance(address, tuple) else address


class _Listening:
    def __init__(self, servers: list[asyncio.Server]) -> None:
        self._servers = servers

    def close(self) -> None:
        for server in self._servers:
            server.close()


class _Tasks:
    """Runs a task for each connection, all of them cancelled and awaited together.

    ``TaskGroup.start_soon`` would do, but takes 2.7 KB for each task (anyio 4.16, 2026-11), a third of an
    idle connection. A cancel scope of its own gives a task the same cancellation: again and
    again until it ends, and stopped by shields.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._scopes: set[anyio.CancelScope] = set()
        self._stopping = False
        self._failure: BaseException | None = None
        self._failed = anyio.Event()
        self._idle = anyio.Event()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run ``coroutine`` in a task."""
        task = asyncio.get_running_loop().create_task(self._run(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            if self._stopping:
                scope.cancel()
            try:
                await coroutine
            finally:
                self._scopes.discard(scope)

    def fail(self, error: BaseException) -> None:
        """Let ``supervise`` raise ``error``."""
        self._failure = error
        self._failed.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
        if not self._tasks:
            self._idle.set()

    async def supervise(self) -> None:
        """Wait for a failure or for cancellation; then cancel the tasks and wait for their end."""
        try:
            await self._failed.wait()
        finally:
            self._stopping = True
            with anyio.CancelScope(shield=True):
                for scope in tuple(self._scopes):
                    scope.cancel()
                while self._tasks:
                    self._idle = anyio.Event()
                    await self._idle.wait()
        if self._failure is not None:
            raise self._failure


def _says_when_ready(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether ``loop`` says when a socket is ready; proactors read and write instead."""
    uvloop = type(loop).__module__.startswith("uvloop")
    return uvloop or isinstance(loop, asyncio.SelectorEventLoop)


def start_loop_task(function: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Run ``function`` in a task of the running loop."""
    return asyncio.get_running_loop().create_task(function())


class AsyncioNetwork:
    """Connects and accepts with the running loop."""

    def __init__(self, task_group: TaskStarter) -> None:
        self._task_group = task_group
        self.clock = asyncio.get_running_loop().time

    async def connect_tcp(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> Transport:
        sock = await connect_socket(host, port)
        name = host if server_hostname is None else server_hostname
        return await self._connected(sock, ssl_context, name)

    async def connect_unix(
        self,
        path: str | PathLike[str],
        *,
        ssl_context: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> Transport:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, fspath(path))
        except BaseException:
            sock.close()
            raise
        return await self._connected(sock, ssl_context, server_hostname)

    async def _connected(
        self,
        sock: socket.socket,
        ssl_context: ssl.SSLContext | bool | None,
        server_hostname: str | None,
    ) -> Transport:
        loop = asyncio.get_running_loop()
        transport: Transport
        if _says_when_ready(loop):
            transport = SelectorTransport(prepare_socket(sock))
        else:
            # The loop closes the socket, whatever happens.
            _, transport = await loop.create_connection(AsyncioTransport, sock=sock)
        if ssl_context is None:
            return transport
        context = context_or_default(ssl_context)
        return await start_tls(transport, context, server_hostname=server_hostname)

    async def listen(
        self,
        sockets: Sequence[socket.socket],
        accepted: Callable[[Transport], Coroutine[Any, Any, None]],
        *,
        ssl_context: ssl.SSLContext | None = None,
        handshake_timeout: float,
    ) -> Listening:
        tasks = _Tasks()
        self._task_group.start_soon(tasks.supervise)
        loop = asyncio.get_running_loop()

        def connected(transport: Transport) -> None:
            tasks.start(accepted(transport) if ssl_context is None else secure(transport))

        async def secure(transport: Transport) -> None:
            assert ssl_context is not None
            secured = await accept_tls(transport, ssl_context, handshake_timeout)
            if secured is not None:
                # In a new task, since this coroutine would be memory of an idle connection.
                tasks.start(accepted(secured))

        if _says_when_ready(loop):
            poller = Poller(loop, _poller.FEW) if _poller.HAS_EPOLL else None

            def accepted_socket(sock: socket.socket) -> None:
                connected(SelectorTransport(prepare_socket(sock), poller))

            return SelectorListening(sockets, accepted_socket, tasks.fail)
        servers = []
        for sock in sockets:
            protocol = partial(AsyncioTransport, connected)
            servers.append(await loop.create_server(protocol, sock=sock, backlog=_BACKLOG))
        return _Listening(servers)
