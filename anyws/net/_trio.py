"""Sockets on trio: read by the task that wants a message, written at once, finished by a helper.

``SocketStream`` is not used, since its ``send_all`` stops in the middle when it is cancelled. Here
``write`` gives the kernel what it takes, and a task of the connection's task group, shielded from
every cancellation but ``abort``, writes what is left.
"""

from __future__ import annotations

import errno
import logging
import socket
from typing import TYPE_CHECKING, Any

import anyio
import trio
from anyio.abc import SocketAttribute

from anyws.net.stream import StreamTransport
from anyws.net.tls import context_or_default, wrap_tls
from anyws.net.transport import Transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from os import PathLike

    from anyio.abc import TaskGroup

__all__ = ["TrioNetwork", "TrioTransport"]

_logger = logging.getLogger("anyws.server")
#: Seconds to wait when the process has run out of file descriptors.
_ACCEPT_BACKOFF = 0.1
_ACCEPT_BACKOFF_ERRORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))


class _NextRound:
    """Calls functions in the next scheduling round, from one parked task."""

    def __init__(self, task_group: TaskGroup) -> None:
        self._task_group = task_group
        self._callbacks: list[Callable[[], object]] = []
        self._parked: trio.lowlevel.Task | None = None
        self._started = False

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._callbacks.append(callback)
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)
        elif not self._started:
            self._started = True
            self._task_group.start_soon(self._run)

    async def _run(self) -> None:
        try:
            while True:
                callbacks, self._callbacks = self._callbacks, []
                for callback in callbacks:
                    callback()
                if not self._callbacks:
                    self._parked = trio.lowlevel.current_task()
                    await trio.lowlevel.wait_task_rescheduled(self._abort)
        finally:
            self._started = False

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED


class TrioTransport(Transport):
    """A plain socket of trio.

    Args:
        sock: a connected, non-blocking socket; it is owned from now on.
        task_group: where the task runs that writes what the kernel did not take at once.
        next_round: what ``call_soon`` uses.
    """

    def __init__(self, sock: socket.socket, task_group: TaskGroup, next_round: _NextRound) -> None:
        super().__init__()
        self._socket = sock
        self._task_group = task_group
        self._backlog: list[memoryview] = []
        self._backlog_size = 0
        self._writing = False
        self._reading = False
        self._eof_due = False
        self._eof_sent = False
        self._closed = False
        self._drained: trio.Event | None = None
        self._next_round = next_round

    async def receive_more(self) -> None:
        if self._reading:
            raise anyio.BusyResourceError("receiving from")
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._reading = True
        try:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                try:
                    count = self._socket.recv_into(self._receiver.get_buffer(-1))
                except BlockingIOError:
                    continue
                break
        except trio.ClosedResourceError:
            return
        except OSError as error:
            self._lose(error)
            return
        finally:
            self._reading = False
        if count:
            self._receiver.buffer_updated(count)
        else:
            self._receiver.eof_received()

    def write(self, data: bytes) -> None:
        if self._closed:
            return
        if not self._backlog:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._lose(error)
                return
            if sent == len(data):
                return
        else:
            sent = 0
        rest = memoryview(data)[sent:]
        self._backlog.append(rest)
        self._backlog_size += len(rest)
        self.clogged = self.clogged or self._backlog_size > self._high_water
        if not self._writing:
            self._writing = True
            self._task_group.start_soon(self._write_backlog)

    @property
    def unsent(self) -> int:
        return self._backlog_size

    async def _write_backlog(self) -> None:
        with trio.CancelScope(shield=True):
            try:
                while self._backlog and not self._closed:
                    await trio.lowlevel.wait_writable(self._socket)
                    self._write_once()
            except trio.ClosedResourceError:
                pass
            except OSError as error:
                self._lose(error)
            finally:
                self._writing = False
        if self._eof_due and not self._closed:
            self._shutdown()
        self._wake()

    def _write_once(self) -> None:
        data = self._backlog[0]
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return
        if sent == len(data):
            self._backlog.pop(0)
        else:
            self._backlog[0] = data[sent:]
        self._backlog_size -= sent
        if self.clogged and self._backlog_size <= self._high_water // 4:
            self.clogged = False
            self._wake()

    def write_eof(self) -> None:
        if self._closed or self._eof_sent:
            return
        if self._backlog:
            self._eof_due = True
        else:
            self._shutdown()

    def _shutdown(self) -> None:
        self._eof_sent = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._lose(error)

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._next_round.call_soon(callback)

    async def drain(self) -> None:
        while self.clogged:
            await self._wait()

    async def aclose(self) -> None:
        """Send what was written, then close; if cancelled, drop the connection at once."""
        try:
            while self._backlog and not self._closed:
                await self._wait()
        finally:
            self._close()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        self._close()

    async def _wait(self) -> None:
        if self._drained is None:
            self._drained = trio.Event()
        await self._drained.wait()

    def _wake(self) -> None:
        if self._drained is not None:
            event, self._drained = self._drained, None
            event.set()

    def _lose(self, error: Exception) -> None:
        if not self._closed:
            self._close(error)

    def _close(self, error: Exception | None = None) -> None:
        if self._closed:
            return
        self._closed = True
        self.clogged = False
        self._backlog.clear()
        self._backlog_size = 0
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
        self._wake()
        self._receiver.connection_lost(error)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {
            SocketAttribute.raw_socket: lambda: self._socket,
            SocketAttribute.family: lambda: self._socket.family,
            SocketAttribute.local_address: lambda: _address(self._socket.getsockname()),
            SocketAttribute.remote_address: lambda: _address(self._socket.getpeername()),
        }


def _address(address: Any) -> Any:
    return address[:2] if isinstance(address, tuple) else address


def _prepare(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class _Listening:
    def __init__(self, scope: anyio.CancelScope, sockets: Sequence[socket.socket]) -> None:
        self._scope = scope
        self._sockets = sockets

    def close(self) -> None:
        self._scope.cancel()
        for sock in self._sockets:
            trio.lowlevel.notify_closing(sock)
            sock.close()


class TrioNetwork:
    """Connects and accepts on trio, with helper tasks in ``task_group``."""

    def __init__(self, task_group: TaskGroup) -> None:
        self._task_group = task_group
        self._next_round = _NextRound(task_group)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> Transport:
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as error:
            # The error of the only address says more, and is what asyncio raises.
            cause = error.__cause__
            if isinstance(cause, ExceptionGroup) and len(cause.exceptions) == 1:
                raise cause.exceptions[0] from None
            raise
        return await self._connected(stream, ssl_context, server_hostname)

    async def connect_unix(
        self,
        path: str | PathLike[str],
        *,
        ssl_context: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> Transport:
        stream = await trio.open_unix_socket(path)
        return await self._connected(stream, ssl_context, server_hostname)

    async def _connected(
        self,
        stream: trio.SocketStream,
        ssl_context: ssl.SSLContext | bool | None,
        server_hostname: str | None,
    ) -> Transport:
        sock = _prepare(socket.socket(fileno=stream.socket.detach()))
        transport = TrioTransport(sock, self._task_group, self._next_round)
        if ssl_context is None:
            return transport
        context = context_or_default(ssl_context)
        return await self._start_tls(transport, context, server_hostname, server_side=False)

    async def _start_tls(
        self,
        transport: Transport,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None,
        *,
        server_side: bool,
    ) -> Transport:
        try:
            stream = await wrap_tls(
                transport, ssl_context, server_side=server_side, server_hostname=server_hostname
            )
        except BaseException:
            transport.abort()
            raise
        return StreamTransport(stream, self._task_group)

    async def listen(
        self,
        sockets: Sequence[socket.socket],
        accepted: Callable[[Transport], Coroutine[Any, Any, None]],
        *,
        ssl_context: ssl.SSLContext | None = None,
        handshake_timeout: float,
    ) -> _Listening:
        scope = anyio.CancelScope()

        async def accept(listener: socket.socket) -> None:
            # Straight into the nursery: anyio's wrapper takes 1 KB for each connection's task.
            nursery = trio.lowlevel.current_task().parent_nursery
            assert nursery is not None
            if scope.cancel_called:
                # The sockets were closed before this task had its first turn.
                return
            with scope:
                await self._accept(listener, lambda new: nursery.start_soon(connected, new))

        async def connected(transport: Transport) -> None:
            if ssl_context is not None:
                try:
                    with anyio.fail_after(handshake_timeout):
                        transport = await self._start_tls(
                            transport, ssl_context, None, server_side=True
                        )
                except (
                    OSError,
                    TimeoutError,
                    anyio.BrokenResourceError,
                    anyio.EndOfStream,
                ) as error:
                    _logger.debug("TLS handshake failed: %r", error)
                    return
            await accepted(transport)

        for sock in sockets:
            sock.setblocking(False)
            self._task_group.start_soon(accept, sock)
        return _Listening(scope, sockets)

    async def _accept(
        self, listener: socket.socket, connected: Callable[[TrioTransport], object]
    ) -> None:
        while True:
            try:
                await trio.lowlevel.wait_readable(listener)
                while True:
                    sock, _ = listener.accept()
                    connected(TrioTransport(_prepare(sock), self._task_group, self._next_round))
            except (BlockingIOError, ConnectionAbortedError):
                continue
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno not in _ACCEPT_BACKOFF_ERRORS:
                    raise
                _logger.warning("cannot accept a connection: %s", error)
                await trio.sleep(_ACCEPT_BACKOFF)
