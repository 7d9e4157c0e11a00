# cython: language_level=3, annotation_typing=False
"""A non-blocking socket: what the loops have in common.

Theory of operation
-------------------
``write`` gives the kernel what it takes at once; the rest is the backlog, which the event loop writes
when the socket takes more, out of reach of every task's cancellation. The pieces of the backlog
are views of what was given to ``write``, and several leave with one system call.

A subclass says how to wait until the socket can be written (``_write_when_possible``), and what to do
before it is closed (``_stop_waiting``).

``SocketCore`` is what runs for every message. It is compiled, and so cannot inherit from ``Transport``;
``SocketTransport`` inherits from both.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import SocketAttribute

import anyws.net._system as system
from anyws.net.transport import HIGH_WATER, Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from anyws.net.receiver import Receiver

__all__ = ["SocketCore", "SocketTransport", "prepare_socket"]

#: Below this many bytes several pieces are joined, above it they are given to the kernel as they are.
_JOIN_BELOW = 16384
#: Pieces in one system call; every kernel takes that many.
_PIECES = 64
_CAN_GATHER = hasattr(socket.socket, "sendmsg")
_IS_DESCRIPTOR = sys.platform != "win32"


def prepare_socket(sock: socket.socket) -> socket.socket:
    """Make ``sock`` fit for a ``SocketTransport``."""
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        # It is no TCP socket, or the peer is gone already, which will be seen.
        pass
    return sock


class SocketCore:
    """Reads and writes a plain, connected, non-blocking socket.

    Args:
        sock: the socket.
    """

    __slots__ = (
        "_backlog",
        "_closed",
        "_descriptor",
        "_drained",
        "_eof_due",
        "_eof_sent",
        "_high_water",
        "_receiver",
        "_socket",
        "clogged",
        "paused",
        "unsent",
    )

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        # What only behaves like a socket is asked itself, and so is one of Windows.
        self._descriptor = sock.fileno() if _IS_DESCRIPTOR and type(sock) is socket.socket else -1
        self._receiver: Receiver
        self._high_water = HIGH_WATER
        self.clogged = False
        self.paused = False
        self._backlog: list[memoryview] = []
        #: Bytes that the kernel has not taken yet.
        self.unsent = 0
        self._eof_due = False
        self._eof_sent = False
        self._closed = False
        self._drained: anyio.Event | None = None

    def _write_when_possible(self) -> None:
        """See to it that ``_write_backlog`` is called whenever the socket can be written."""
        raise NotImplementedError

    def _stop_waiting(self) -> None:
        """Let nobody wait for the socket any more, since it is about to be closed."""
        raise NotImplementedError

    def _receive(self) -> bool:
        """Give what has come to the receiver; return whether who waits should look.

        Raises ``OSError`` as ``recv`` does.
        """
        receiver = self._receiver
        buffer = receiver.get_buffer(-1)
        count = system.receive(self._socket, self._descriptor, buffer)
        if not count:
            self._end()
            return True
        return receiver.buffer_updated(count)

    def receive_more(self) -> Awaitable[None]:
        """Wait until something has come; see ``Transport``."""
        raise NotImplementedError

    def _end(self) -> None:
        """The peer sends no more."""
        self._receiver.eof_received()

    def write(self, data: bytes) -> None:
        """Send ``data`` as soon as the kernel takes it."""
        self._write(data, False)

    def _write(self, data: bytes, more: bool) -> None:
        if self._closed:
            return
        sent = 0
        if not self.unsent:
            try:
                sent = system.send(self._socket, self._descriptor, data, more)
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose(error)
                return
            if sent == len(data):
                return
        self._keep([data], len(data), sent)

    def writelines(self, chunks: Sequence[bytes]) -> None:
        """Write several pieces, with one system call where the platform can."""
        size = 0
        for chunk in chunks:
            size += len(chunk)
        if size < _JOIN_BELOW:
            self.write(b"".join(chunks))
            return
        if self._closed:
            return
        sent = 0
        if not self.unsent:
            try:
                sent = self._send_several(chunks)
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose(error)
                return
            if sent == size:
                return
        self._keep(chunks, size, sent)

    def _send_several(self, chunks: Sequence[bytes | memoryview]) -> int:
        if _CAN_GATHER:
            return self._socket.sendmsg(chunks[:_PIECES])
        return self._socket.send(chunks[0])

    def _keep(self, chunks: Sequence[bytes], size: int, sent: int) -> None:
        """Append what the kernel did not take to the backlog."""
        if not self._backlog:
            self._write_when_possible()
        self.unsent += size - sent
        for chunk in chunks:
            if sent < len(chunk):
                self._backlog.append(memoryview(chunk)[sent:])
            sent = max(0, sent - len(chunk))
        self.clogged = self.clogged or self.unsent > self._high_water

    def _write_backlog(self) -> None:
        """Give the kernel what it takes; the socket can be written."""
        backlog = self._backlog
        try:
            sent = self._send_several(backlog)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        self.unsent -= sent
        done = 0
        while done < len(backlog) and sent >= len(backlog[done]):
            sent -= len(backlog[done])
            done += 1
        del backlog[:done]
        if sent:
            backlog[0] = backlog[0][sent:]
        if self.clogged and self.unsent <= self._high_water // 4:
            self.clogged = False
            self._wake()
        if not backlog:
            if self._eof_due:
                self._shutdown()
            self._wake()

    def write_eof(self, last: bytes = b"") -> None:
        """Send ``last`` and the end of the stream after what was written, in one segment if possible."""
        if self._closed or self._eof_sent or self._eof_due:
            return
        if last:
            self._write(last, True)
            if self._closed:
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
        # The system gives the number to the next socket.
        self._descriptor = -1
        self.clogged = False
        self._backlog.clear()
        self.unsent = 0
        self._stop_waiting()
        self._socket.close()
        self._wake()
        self._receiver.connection_lost(error)


class SocketTransport(SocketCore, Transport):
    """A plain, connected, non-blocking socket, which is owned from now on."""

    closes_at_once = True

    def __init__(self, sock: socket.socket) -> None:
        SocketCore.__init__(self, sock)
        Transport.__init__(self)

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
        await anyio.lowlevel.checkpoint()

    def abort(self) -> None:
        self._close()

    async def _wait(self) -> None:
        if self._drained is None:
            self._drained = anyio.Event()
        await self._drained.wait()

    def peer_address(self) -> Any:
        # The same, without a dictionary of functions for it.
        return _address(self._socket.getpeername())

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {
            SocketAttribute.raw_socket: lambda: self._socket,
            SocketAttribute.family: lambda: self._socket.family,
            SocketAttribute.local_address: lambda: _address(self._socket.getsockname()),
            SocketAttribute.remote_address: self.peer_address,
        }


def _address(address: Any) -> Any:
    return address[:2] if isinstance(address, tuple) else address
