"""Plain sockets on asyncio and uvloop, read and written without a transport of the loop.

asyncio's own transport joins and copies what the kernel does not take at once, and passes every byte
through several layers of Python; uvloop's writes in its next round only. Here the loop only says when a
socket is ready. The proactor of Windows and TLS have ``anyws.net._asyncio``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import anyio.lowlevel

from anyws.net._reading_waiter import ReadingWaiter
from anyws.net._socket import SocketCore, SocketTransport
from anyws.net.accept_errors import seconds_to_wait
from anyws.net.transport import Transport

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence

    from anyws.net._poller import Poller

__all__ = ["SelectorListening", "SelectorTransport"]

_logger = logging.getLogger("anyws.server")
#: Connections accepted in one go.
_BACKLOG = 1024


class SelectorCore(SocketCore):
    """Reads and writes a socket when the loop says that it is ready.

    Args:
        sock: a connected, non-blocking socket.
        poller: what watches it in place of the loop.
    """

    __slots__ = ("_ended", "_loop", "_number", "_poller", "_reading_waiter", "_writing")

    def __init__(self, sock: socket.socket, poller: Poller | None) -> None:
        super().__init__(sock)
        # Asked for a socket that it does not know, the loop's selector puts its name into an error,
        # and for that the system is asked for both addresses.
        self._number = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._reading_waiter = ReadingWaiter(self._loop)
        self._ended = False
        #: Whether the loop tells when the socket can be written; to ask it costs as much as to end it.
        self._writing = False
        self._poller = poller
        self.paused = True

    def readable(self) -> None:
        """Read what has come."""
        receiver = self._receiver
        waiter = self._reading_waiter
        if not waiter.waiting and receiver.full:
            self.pause_reading()
            return
        try:
            if self._receive():
                waiter.wake()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._lose(error)

    def receive_more(self) -> Awaitable[None]:
        if self._closed:
            return anyio.lowlevel.checkpoint()
        # The waiter itself: a coroutine around it would cost something for every message.
        return self._reading_waiter.begin()

    def _end(self) -> None:
        self.pause_reading()
        self._ended = True
        self._receiver.eof_received()

    def pause_reading(self) -> None:
        if not self.paused:
            self.paused = True
            if self._poller is None:
                self._loop.remove_reader(self._number)
            else:
                self._poller.unwatch(self._number)

    def resume_reading(self) -> None:
        if self.paused and not (self._ended or self._closed):
            self.paused = False
            if self._poller is None:
                self._loop.add_reader(self._number, self.readable)
            else:
                self._poller.watch(self._number, self)

    def _write_when_possible(self) -> None:
        self._writing = True
        self._loop.add_writer(self._number, self._writable)

    def _writable(self) -> None:
        self._write_backlog()
        if not (self._backlog or self._closed):
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._number)

    def _stop_waiting(self) -> None:
        self.pause_reading()
        self._stop_writing()
        self._reading_waiter.wake_soon()


class SelectorTransport(SelectorCore, SocketTransport):
    """A plain socket of a loop that says when sockets are ready.

    Args:
        sock: a connected, non-blocking socket; it is owned from now on.
        poller: what watches it in place of the loop.
    """

    reads_by_itself = True

    def __init__(self, sock: socket.socket, poller: Poller | None = None) -> None:
        SelectorCore.__init__(self, sock, poller)
        Transport.__init__(self)
        self.resume_reading()

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._loop.call_soon(callback)


class SelectorListening:
    """Accepts connections on sockets.

    Args:
        sockets: bound; they are owned from now on.
        connected: what to call with the socket of each connection.
        failed: what to call with an error after which no more can be accepted.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connected: Callable[[socket.socket], object],
        failed: Callable[[OSError], object],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connected = connected
        self._failed = failed
        self._sockets = list(sockets)
        for sock in sockets:
            sock.setblocking(False)
            sock.listen(_BACKLOG)
            self._loop.add_reader(sock, self._accept, sock)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_BACKLOG):
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._accept_failed(listener, error)
                return
            try:
                self._connected(sock)
            except OSError as error:
                _logger.warning("cannot watch one more connection: %s", error)
                sock.close()

    def _accept_failed(self, listener: socket.socket, error: OSError) -> None:
        try:
            seconds = seconds_to_wait(error)
        except OSError:
            self._loop.remove_reader(listener)
            self._failed(error)
            return
        if seconds:
            self._loop.remove_reader(listener)
            self._loop.call_later(seconds, self._accept_again, listener)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener in self._sockets:
            self._loop.add_reader(listener, self._accept, listener)

    def close(self) -> None:
        """Accept no more."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
