# cython: language_level=3, annotation_typing=False
"""What a transport calls when bytes come: they are parsed at once, and pings answered.

The transport calls ``get_buffer`` and ``buffer_updated`` with nothing in between, so one scratch buffer
serves every connection of a thread. Nothing here waits; ``anyws.stream.receiver`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.enums import Opcode
from anyws.net.receiver import Receiver
from anyws.net.transport import scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyws.core.connection import Connection
    from anyws.net.transport import Transport
    from anyws.stream.budget import ByteBudget
    from anyws.stream.write_buffer import WriteBuffer

__all__ = ["TransportReceiver", "do_nothing"]

_RECEIVE_SIZE = len(scratch.view)
#: A peer whose bytes make more steps than this at once, of fewer bytes each than that, is read in small
#: pieces: a step takes some microseconds, so 64 KiB of the smallest frames would take 20 ms.
_FEW_STEPS = 32
_BYTES_OF_A_STEP = 160
#: Until so many of them were full and cheap.
_SMALL_READS = 16
_SMALL_SIZE = len(scratch.small_view)


def do_nothing() -> None:
    """Stand in for who need not be told any more."""


class TransportReceiver(Receiver):
    """Feeds the core of one open connection with what its transport receives.

    Args:
        connection: the core to feed.
        transport: where bytes come from.
        write_buffer: where answers to pings go.
        pongs_received: what to call with the payloads of pongs.
        budget: what counts the bytes of all connections, if anything does.
    """

    __slots__ = (
        "_budget",
        "_connection",
        "_effort",
        "_filled",
        "_inbound",
        "_large_view",
        "_noted",
        "_on_lost",
        "_pongs_received",
        "_scratch",
        "_small_reads",
        "_small_view",
        "_transport",
        "_view",
        "_wide",
        "_write_buffer",
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
        budget: ByteBudget | None,
    ) -> None:
        self._connection = connection
        self._inbound = connection.inbound
        self._transport = transport
        self._write_buffer = write_buffer
        self._pongs_received = pongs_received
        self._on_lost: Callable[[], None] = do_nothing
        self._budget = budget
        self._noted = 0
        self._filled = False
        self._wide = connection.limits.receive_buffer >= _RECEIVE_SIZE
        self._scratch = scratch.buffer
        self._view = scratch.view
        self._large_view = scratch.large_view
        self._small_view = scratch.small_view
        self._effort = 0
        # So that many new connections have no large piece each before we know what they send.
        self._small_reads = 1
        #: Bytes that have come since the opening handshake.
        self.bytes_received = 0
        #: Whether a byte has come since the ticker last looked.
        self.heard = True
        #: Whether the peer's end of the stream has come.
        self.eof = False
        #: Whether the stream is gone, and the error that took it.
        self.lost = False
        self.error: Exception | None = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the transport's signature
        """Return where the next bytes go.

        More of them for a peer that sends faster than we read; few for one whose bytes take much
        time, such as empty fragments do, so that other connections have their turn in between.
        """
        if self._small_reads:
            return self._small_view
        return self._large_view if self._filled or self._inbound.expects_much() else self._view

    def buffer_updated(self, count: int) -> bool:
        """Parse the bytes that have come; return whether who waits should look."""
        inbound = self._inbound
        self._filled = self._wide and count >= _RECEIVE_SIZE
        inbound.receive_data(self._scratch, count)
        self.heard = True
        self.bytes_received += count
        effort = inbound.effort()
        steps = effort - self._effort
        self._effort = effort
        if steps > _FEW_STEPS and steps * _BYTES_OF_A_STEP > count:
            self._small_reads = _SMALL_READS
        elif self._small_reads and count >= _SMALL_SIZE:
            self._small_reads -= 1
        if inbound.has_control_frames():
            self.answer_control_frames()
        if self._budget is not None:
            self.note_growth()
        return inbound.has_news()

    def held(self) -> int:
        """Return the bytes received and not yet taken, from which growth is counted from now on."""
        self._noted = self._inbound.held
        return self._noted

    def note_growth(self) -> None:
        """Tell the budget what has come."""
        before = self._noted
        grown = self.held() - before
        if self._budget is not None and grown > 0:
            self._budget.grow(grown)

    @property
    def full(self) -> bool:
        """Whether the core can hold no more, or has not looked at all that it holds."""
        return self._inbound.stopped or self._inbound.full

    def eof_received(self) -> None:
        """Note that the peer sends no more."""
        self.eof = True

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the stream is gone."""
        self.lost = True
        if self.error is None:
            self.error = error
        # The connection refers to this, and this need not refer to it any more.
        on_lost, self._on_lost = self._on_lost, do_nothing
        on_lost()

    def when_lost(self, on_lost: Callable[[], None]) -> None:
        """Have ``on_lost`` called when the stream is gone, now if it is."""
        if self.lost:
            on_lost()
        else:
            self._on_lost = on_lost

    @property
    def finished(self) -> bool:
        """Whether nothing can come any more."""
        return self.eof or self.lost or self._inbound.ended

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
        inbound = self._inbound
        if inbound.pongs:
            self._pongs_received(inbound.take_pongs())
        if inbound.pings and not self._transport.clogged and self._connection.sent is None:
            outbound = self._connection.outbound
            self._write_buffer.write_control(
                [outbound.control(Opcode.PONG, ping) for ping in inbound.take_pings()]
            )
