"""From the transport into the core: where received bytes go, and how a task waits for more.

Theory of operation
-------------------
The transport calls ``get_buffer`` and ``buffer_updated`` with nothing in between, so one scratch buffer
serves every connection of a thread. ``buffer_updated`` parses at once and answers pings. A transport that
reads by itself pauses while the core is ``full``.

One task at a time waits in ``more``. On a transport that does not read by itself this task is the one
that reads. A connection whose application is elsewhere must still see pings and the close
frame: the ticker starts ``read_in_background`` for it then, and whoever calls ``more`` meanwhile
waits for the helper's next read and takes over after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from anyws.enums import Opcode
from anyws.net.transport import scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyws.core.connection import Connection
    from anyws.net.transport import Transport
    from anyws.stream.write_buffer import WriteBuffer

__all__ = ["Receiver"]


class Receiver:
    """The receiving side of one open connection.

    Args:
        connection: the core to feed.
        transport: where bytes come from.
        write_buffer: where answers to pings go.
        pongs_received: what to call with the payloads of pongs.
        on_lost: what to call when the stream is gone.
    """

    __slots__ = (
        "_background",
        "_changed",
        "_connection",
        "_on_lost",
        "_pongs_received",
        "_scratch",
        "_transport",
        "_waiting",
        "_write_buffer",
        "attended",
        "bytes_received",
        "eof",
        "error",
        "heard",
        "lost",
    )

    def __init__(
        self,
        connection: Connection,
        transport: Transport,
        write_buffer: WriteBuffer,
        pongs_received: Callable[[list[bytes]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._write_buffer = write_buffer
        self._pongs_received = pongs_received
        self._on_lost = on_lost
        self._scratch = scratch.buffer
        self._waiting = False
        self._background = False
        self._changed: anyio.Event | None = None
        #: Whether the application has asked for a message since the ticker last looked.
        self.attended = True
        #: Bytes that have come since the opening handshake.
        self.bytes_received = 0
        #: Whether a byte has come since the ticker last looked.
        self.heard = True
        #: Whether the peer's end of the stream has come.
        self.eof = False
        #: Whether the stream is gone, and the error that took it.
        self.lost = False
        self.error: Exception | None = None

    # What the transport calls

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the transport's signature
        """Return where the next bytes go."""
        return scratch.large_view if self._connection.inbound.expects_much else scratch.view

    def buffer_updated(self, count: int) -> None:
        """Parse the bytes that have come."""
        inbound = self._connection.inbound
        inbound.receive_data(self._scratch, count)
        self.heard = True
        self.bytes_received += count
        if inbound.pings or inbound.pongs:
            self.answer_control_frames()

    @property
    def full(self) -> bool:
        """Whether the core can hold no more."""
        return self._connection.inbound.full

    def eof_received(self) -> None:
        """Note that the peer sends no more."""
        self.eof = True

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the stream is gone."""
        self.lost = True
        if self.error is None:
            self.error = error
        self._on_lost()
        self.notify()

    def feed(self, data: bytes) -> None:
        """Parse ``data`` that came behind the opening handshake."""
        view = memoryview(data)
        while view:
            count = min(len(view), len(self._scratch))
            self._scratch[:count] = view[:count]
            self.buffer_updated(count)
            view = view[count:]

    def answer_control_frames(self) -> None:
        """Answer pings and hand on pongs; while the output is clogged, pings wait."""
        inbound = self._connection.inbound
        if inbound.pongs:
            pongs, inbound.pongs = inbound.pongs, []
            self._pongs_received(pongs)
        if inbound.pings and not self._transport.clogged and self._connection.sent is None:
            pings, inbound.pings = inbound.pings, []
            outbound = self._connection.outbound
            self._write_buffer.write_control(
                [outbound.control(Opcode.PONG, ping) for ping in pings]
            )

    # What the connection's tasks call

    @property
    def finished(self) -> bool:
        """Whether nothing can come any more."""
        return self.eof or self.lost or self._connection.inbound.ended

    @property
    def claimed(self) -> bool:
        """Whether a task of the application is in ``more``."""
        return self._waiting

    @property
    def waiting(self) -> bool:
        """Whether a task, or the helper, waits for bytes."""
        return self._waiting or self._background

    async def more(self, *, hungry: bool = False) -> None:
        """Wait until something has come, or nothing can any more (``finished``).

        Args:
            hungry: whether the unfinished message is wanted whole, and so may grow beyond what a
                connection holds otherwise.

        Raises:
            anyio.BusyResourceError: another task waits here.

        If cancelled: nothing is lost.
        """
        if self._waiting:
            raise anyio.BusyResourceError("receiving from")
        self._waiting = self.attended = True
        inbound = self._connection.inbound
        inbound.hungry = hungry
        try:
            self._write_buffer.before_waiting()
            if inbound.stopped and not inbound.full:
                await self._resume()
            elif self.finished:
                await anyio.lowlevel.checkpoint()
            elif self._background:
                await self.changed()
            else:
                self._transport.resume_reading()
                await self._transport.receive_more()
        finally:
            self._waiting = inbound.hungry = False
            if self._changed is not None:
                self.notify()

    async def end(self) -> None:
        """Wait until the peer has ended the stream, dropping what comes before."""
        while not (self.eof or self.lost):
            self._transport.resume_reading()
            if self.waiting:
                await self.changed()
            else:
                await self._transport.receive_more()

    async def read_in_background(self) -> None:
        """Read for an application that is elsewhere, until it comes or the core is full."""
        while not (self.waiting or self.finished or self._connection.inbound.full):
            await self.more_in_background()

    async def more_in_background(self) -> None:
        """Wait until something has come; only while nobody else waits.

        Unlike ``more`` this is no claim: a task that calls ``more`` meanwhile waits along, and takes
        over after this read.
        """
        inbound = self._connection.inbound
        self._background = True
        try:
            if inbound.stopped and not inbound.full:
                await self._resume()
            else:
                self._transport.resume_reading()
                await self._transport.receive_more()
        finally:
            self._background = False
            self.notify()

    async def _resume(self) -> None:
        """Parse what was left when the core became full."""
        self._connection.inbound.resume()
        self.answer_control_frames()
        self._write_buffer.flush()
        await anyio.lowlevel.checkpoint()

    async def changed(self) -> None:
        """Wait until whoever reads has read something or stopped reading."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def notify(self) -> None:
        """Wake whoever is in ``changed``."""
        if self._changed is not None:
            event, self._changed = self._changed, None
            event.set()
