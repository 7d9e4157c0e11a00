"""Sockets on trio: read by the task that wants a message, written at once, finished by a helper.

``SocketStream`` is not used, since its ``send_all`` stops in the middle when it is cancelled. Here
``write`` gives the kernel what it takes, and a task of the connection's task group, shielded from
every cancellation but ``abort``, writes what is left.
"""

from __future__ import annotations

import logging
import socket
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio
import trio

from anyws.net import _poller
from anyws.net._poller import Poller
from anyws.net._socket import SocketTransport, prepare_socket
from anyws.net.accept_errors import seconds_to_wait
from anyws.net.tls import accept_tls, context_or_default, start_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Sequence
    from os import PathLike

    from anyws.net.network import TaskStarter
    from anyws.net.transport import Transport

__all__ = ["TrioNetwork", "TrioTransport"]

_logger = logging.getLogger("anyws.server")


class _NextRound:
    """Calls functions in the next scheduling round, from one parked task."""

    def __init__(self, task_group: TaskStarter) -> None:
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
            self._start()

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
            if self._callbacks:
                # They came after this task was cancelled, and before it ran.
                self._start()

    def _start(self) -> None:
        self._started = True
        self._task_group.start_soon(self._run)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED


class TrioTransport(SocketTransport):
    """A plain socket of trio.

    Args:
        sock: a connected, non-blocking socket; it is owned from now on.
        task_group: where the task runs that writes what the kernel did not take at once.
        next_round: what ``call_soon`` uses.
    """

    def __init__(
        self, sock: socket.socket, task_group: TaskStarter, next_round: _NextRound
    ) -> None:
        super().__init__(sock)
        self._task_group = task_group
        self._writing = False
        self._reading = False
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
                    if self._receive():
                        return
                except BlockingIOError:
                    continue
        except trio.ClosedResourceError:
            return
        except OSError as error:
            self._lose(error)
        finally:
            self._reading = False

    def _write_when_possible(self) -> None:
        if not self._writing:
            self._writing = True
            self._task_group.start_soon(self._write_while_needed)

    async def _write_while_needed(self) -> None:
        with trio.CancelScope(shield=True):
            try:
                while self._backlog and not self._closed:
                    await trio.lowlevel.wait_writable(self._socket)
                    if not self._closed:
                        self._write_backlog()
            except trio.ClosedResourceError:
                pass
            finally:
                self._writing = False

    def _stop_waiting(self) -> None:
        trio.lowlevel.notify_closing(self._socket)

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._next_round.call_soon(callback)


class PolledTransport(TrioTransport):
    """A plain socket of a busy server: a ``Poller`` tells when it can be read, and it reads by itself.

    Args:
        sock: a connected, non-blocking socket; it is owned from now on.
        task_group: as for ``TrioTransport``.
        next_round: as for ``TrioTransport``.
        poller: what watches the socket.
    """

    reads_by_itself = True

    def __init__(
        self, sock: socket.socket, task_group: TaskStarter, next_round: _NextRound, poller: Poller
    ) -> None:
        super().__init__(sock, task_group, next_round)
        self._poller = poller
        self._number = sock.fileno()
        self._ended = False
        self._waiting: trio.lowlevel.Task | None = None
        self.paused = True
        self.resume_reading()

    def readable(self) -> None:
        """Read what has come."""
        if self._waiting is None and self._receiver.full:
            self.pause_reading()
            return
        try:
            if self._receive():
                self._wake_reader()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._lose(error)

    async def receive_more(self) -> None:
        if self._waiting is not None:
            raise anyio.BusyResourceError("receiving from")
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._waiting = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake_reader(self) -> None:
        if self._waiting is not None:
            task, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(task)

    def pause_reading(self) -> None:
        if not self.paused:
            self.paused = True
            self._poller.unwatch(self._number)

    def resume_reading(self) -> None:
        if self.paused and not (self._ended or self._closed):
            self.paused = False
            self._poller.watch(self._number, self)

    def _end(self) -> None:
        self.pause_reading()
        self._ended = True
        super()._end()

    def _stop_waiting(self) -> None:
        self.pause_reading()
        self._wake_reader()
        super()._stop_waiting()


class _PollerTask:
    """Runs a ``Poller`` in a task, which is there while there is something to watch.

    It is shielded, since connections are read to their end when their tasks are cancelled.
    """

    def __init__(self, task_group: TaskStarter) -> None:
        self._task_group = task_group
        self._needed = self._running = False
        self._scope = trio.CancelScope()

    def add_reader(self, descriptor: int, poll: Callable[[], object], /) -> None:
        self._needed = True
        if not self._running:
            self._running = True
            self._task_group.start_soon(self._run, descriptor, poll)

    def remove_reader(self, _descriptor: int, /) -> None:
        self._needed = False
        self._scope.cancel()

    async def _run(self, descriptor: int, poll: Callable[[], object]) -> None:
        while self._needed:
            with trio.CancelScope(shield=True) as self._scope:
                while True:
                    await trio.lowlevel.wait_readable(descriptor)
                    poll()
        self._running = False


class _Listening:
    def __init__(self, scope: anyio.CancelScope, sockets: Sequence[socket.socket]) -> None:
        self._scope = scope
        self._sockets = sockets

    def close(self) -> None:
        self._scope.cancel()
        for sock in self._sockets:
            trio.lowlevel.notify_closing(sock)
            sock.close()


def start_system_task(function: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Run ``function`` beside all other tasks, in the caller's context."""
    return trio.lowlevel.spawn_system_task(function, context=copy_context())


class TrioNetwork:
    """Connects and accepts on trio, with helper tasks in ``task_group``."""

    def __init__(self, task_group: TaskStarter) -> None:
        self._task_group = task_group
        self._next_round = _NextRound(task_group)
        self.clock = trio.current_time

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
        sock = prepare_socket(socket.socket(fileno=stream.socket.detach()))
        transport = TrioTransport(sock, self._task_group, self._next_round)
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
    ) -> _Listening:
        scope = anyio.CancelScope()
        poller: Poller | None = None
        if _poller.HAS_EPOLL:
            poller = Poller(_PollerTask(self._task_group), few=0)
        connections = 0

        async def accept(listener: socket.socket) -> None:
            # Straight into the nursery: anyio's wrapper takes 1 KB for each connection's task.
            nursery = trio.lowlevel.current_task().parent_nursery
            assert nursery is not None
            if scope.cancel_called:
                # The sockets were closed before this task had its first turn.
                return

            def started(sock: socket.socket) -> None:
                nonlocal connections
                many = poller is not None and connections >= _poller.FEW
                try:
                    transport = self._transport(sock, poller if many else None)
                except OSError as error:
                    _logger.warning("cannot watch one more connection: %s", error)
                    sock.close()
                    return
                connections += 1
                nursery.start_soon(connected, transport)

            with scope:
                await self._accept(listener, started)

        async def connected(transport: Transport) -> None:
            nonlocal connections
            try:
                if ssl_context is not None:
                    secured = await accept_tls(transport, ssl_context, handshake_timeout)
                    if secured is None:
                        return
                    transport = secured
                await accepted(transport)
            finally:
                connections -= 1

        for sock in sockets:
            sock.setblocking(False)
            self._task_group.start_soon(accept, sock)
        return _Listening(scope, sockets)

    def _transport(self, sock: socket.socket, poller: Poller | None) -> TrioTransport:
        prepare_socket(sock)
        if poller is None:
            return TrioTransport(sock, self._task_group, self._next_round)
        return PolledTransport(sock, self._task_group, self._next_round, poller)

    async def _accept(
        self, listener: socket.socket, started: Callable[[socket.socket], object]
    ) -> None:
        while True:
            try:
                await trio.lowlevel.wait_readable(listener)
                while True:
                    sock, _ = listener.accept()
                    started(sock)
            except (BlockingIOError, InterruptedError):
                continue
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if listener.fileno() < 0:
                    # It was closed in this scheduling round.
                    return
                await trio.sleep(seconds_to_wait(error))
