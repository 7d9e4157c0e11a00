"""How a task waits for more bytes.

Theory of operation
-------------------
One task at a time waits in ``more``. On a transport that does not read by itself this task is the one
that reads. A connection whose application is elsewhere must still see pings and the close
frame: the ticker starts ``read_in_background`` for it then, and whoever calls ``more`` meanwhile
waits for the helper's next read and takes over after it. What comes goes to the ``TransportReceiver``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from anyws.core.inbound import Inbound
    from anyws.net.transport import Transport
    from anyws.stream.transport_receiver import TransportReceiver
    from anyws.stream.write_buffer import WriteBuffer

__all__ = ["Receiver"]


class Receiver:
    """The tasks that wait on the receiving side of one open connection.

    Args:
        source: what the transport gives its bytes to.
        inbound: what parses them.
        transport: where bytes come from.
        write_buffer: what is flushed before waiting.
    """

    __slots__ = (
        "_background",
        "_changed",
        "_inbound",
        "_source",
        "_transport",
        "_waiting",
        "_write_buffer",
        "attended",
    )

    def __init__(
        self,
        source: TransportReceiver,
        inbound: Inbound,
        transport: Transport,
        write_buffer: WriteBuffer,
    ) -> None:
        self._source = source
        self._inbound = inbound
        self._transport = transport
        self._write_buffer = write_buffer
        self._waiting = False
        self._background = False
        self._changed: anyio.Event | None = None
        #: Whether the application has waited for a message since the ticker last looked.
        self.attended = True

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
        inbound = self._inbound
        inbound.hungry = hungry
        try:
            self._write_buffer.before_waiting()
            if inbound.stopped and not inbound.full:
                await self._resume()
            elif self._source.finished:
                await anyio.lowlevel.checkpoint()
            elif self._background:
                await self.changed()
            else:
                transport = self._transport
                if transport.paused:
                    transport.resume_reading()
                await transport.receive_more()
        finally:
            self._waiting = inbound.hungry = False
            if self._changed is not None:
                self.notify()

    async def end(self) -> None:
        """Wait until the peer has ended the stream, dropping what comes before."""
        source = self._source
        while not (source.eof or source.lost):
            self._transport.resume_reading()
            if self.waiting:
                await self.changed()
            else:
                await self._transport.receive_more()

    async def read_in_background(self) -> None:
        """Read for an application that is elsewhere, until it comes or the core is full."""
        while not (self.waiting or self._source.finished or self._inbound.full):
            await self.more_in_background()

    async def more_in_background(self) -> None:
        """Wait until something has come; only while nobody else waits.

        Unlike ``more`` this is no claim: a task that calls ``more`` meanwhile waits along, and takes
        over after this read.
        """
        inbound = self._inbound
        self._background = True
        try:
            if inbound.stopped and not inbound.full:
                await self._resume()
            else:
                transport = self._transport
                if transport.paused:
                    transport.resume_reading()
                await transport.receive_more()
        finally:
            self._background = False
            self.notify()

    async def _resume(self) -> None:
        """Parse what was left when the core became full."""
        self._inbound.resume()
        self._source.note_growth()
        self._source.answer_control_frames()
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
