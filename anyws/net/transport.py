"""The interface between a connection and whatever carries its bytes.

Theory of operation
-------------------
A ``Transport`` is an ``anyio.abc.ByteStream`` that can do three things more:

* *Receive into a sink.* A ``Receiver`` says where the next bytes go and is told how many came, so
  that one buffer per thread serves all connections and is parsed in place. Some transports read by
  themselves (asyncio calls them back), others read while a task is in ``receive_more``. Callers need
  not care: ``receive_more`` returns after the receiver was told something.
* *Write without waiting.* ``write`` either hands the bytes to the kernel or keeps them, and never
  awaits. What is kept is written where no user's cancel scope reaches, so that a cancellation
  cannot cut a frame in two. ``clogged`` and ``drain`` are the back-pressure.
* *Call soon*: run something in the next scheduling round, to send what was left lying.

Until a receiver is attached, the transport collects what comes and is an ordinary byte stream;
the opening handshake uses it so.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import ByteStream, SocketAttribute

from anyws.net.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["HIGH_WATER", "NOBODY", "Transport", "scratch"]

#: Bytes of unsent output above which a transport is clogged, unless set.
HIGH_WATER = 65536
#: Bytes received at once; those in the middle of a large frame; those of a peer whose bytes cost much time.
_RECEIVE_SIZE = 65536
_SCRATCH_SIZE = 262144
_SMALL_SIZE = 2048


class _Scratch(threading.local):
    """One receive buffer per thread: it is filled and emptied without a context switch between."""

    def __init__(self) -> None:
        self.buffer = bytearray(_SCRATCH_SIZE)
        #: What transports are given: TLS fills the rest of a buffer through slices of it.
        self.view = memoryview(self.buffer)[:_RECEIVE_SIZE]
        #: The same, for the middle of a large frame.
        self.large_view = memoryview(self.buffer)
        #: The same, for a peer whose bytes cost much time, so that others have their turn.
        self.small_view = self.view[:_SMALL_SIZE]


scratch = _Scratch()


class _Collector(Receiver):
    """The receiver until the opening handshake is over: keeps bytes for ``receive``."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.eof = False
        self.lost = False
        self.error: Exception | None = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's signature
        return scratch.view

    def buffer_updated(self, count: int) -> bool:
        self.data += scratch.view[:count]
        return True

    @property
    def full(self) -> bool:
        return len(self.data) >= HIGH_WATER

    def eof_received(self) -> None:
        self.eof = True

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.error = error


#: The receiver of transports that are closed: whoever held them until then need not be kept by them.
NOBODY = _Collector()
NOBODY.lost = True


class Transport(ByteStream):
    """A byte stream below one connection.

    Attributes:
        reads_by_itself: whether bytes come without a task in ``receive_more``.
        clogged: whether more than the high-water mark waits to be sent.
        paused: whether nothing is received until ``resume_reading``.
        closes_at_once: whether ``aclose`` does the same as ``abort`` while nothing is ``unsent``.
    """

    reads_by_itself = False
    closes_at_once = False
    clogged = False
    paused = False
    _high_water = HIGH_WATER

    def __init__(self) -> None:
        self._receiver: Receiver = _Collector()

    def attach(self, receiver: Receiver) -> bytes:
        """Give everything received from now on to ``receiver``; return what came before."""
        collector, self._receiver = self._receiver, receiver
        if not isinstance(collector, _Collector):
            return b""
        if collector.eof:
            receiver.eof_received()
        if collector.lost:
            receiver.connection_lost(collector.error)
        return bytes(collector.data)

    def set_high_water(self, size: int) -> None:
        """Set the number of unsent bytes above which the transport is clogged."""
        self._high_water = size

    @abstractmethod
    def receive_more(self) -> Awaitable[None]:
        """Wait, in the task that awaits this at once, until the receiver has been told something new to it.

        If cancelled: nothing is lost; what came is with the receiver.

        Raises:
            anyio.BusyResourceError: another task is here already.
        """

    def pause_reading(self) -> None:
        """Receive no more for now."""

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send ``data`` as soon as the stream takes it; never waits and never raises."""

    def writelines(self, chunks: Sequence[bytes]) -> None:
        """Write several pieces, with one system call where the stream can."""
        for chunk in chunks:
            self.write(chunk)

    @property
    @abstractmethod
    def unsent(self) -> int:
        """Bytes that were written and that the stream below has not taken yet."""

    @abstractmethod
    def write_eof(self, last: bytes = b"") -> None:
        """Send ``last`` and the end of the stream after what was written; where it cannot, close it."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait while ``clogged``; returns as well when the connection is lost."""

    @abstractmethod
    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` in the next scheduling round."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the stream at once, and what was not sent with it."""

    def peer_address(self) -> Any:
        """Return the peer's address, ``None`` where there is none; raises ``OSError`` when it is gone."""
        return self.extra(SocketAttribute.remote_address, None)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what has come, waiting for the first byte; only before ``attach``."""
        collector = self._receiver
        if not isinstance(collector, _Collector):
            raise anyio.BusyResourceError("receiving from")
        while not collector.data:
            if collector.lost:
                raise anyio.BrokenResourceError(
                    f"the connection was lost: {collector.error or 'it was dropped'}"
                ) from collector.error
            if collector.eof:
                raise anyio.EndOfStream
            await self.receive_more()
        data = bytes(collector.data[:max_bytes])
        del collector.data[:max_bytes]
        self.resume_reading()
        return data

    async def send(self, item: bytes) -> None:
        """Write ``item`` and wait while the transport is clogged; only before ``attach``."""
        self.write(item)
        await self.drain()
        collector = self._receiver
        if isinstance(collector, _Collector) and collector.lost:
            raise anyio.BrokenResourceError from collector.error

    async def send_eof(self) -> None:
        """Send the end of the stream."""
        self.write_eof()
