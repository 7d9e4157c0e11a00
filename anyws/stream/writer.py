"""Sending on one connection.

Theory of operation
-------------------
A send has two parts. *Admission* may wait and may be cancelled: for the lock that a fragmented message
holds, for room in the write buffer, for the checkpoint that is due, and while a long message is compressed
piece by piece. Then the frame is encoded and put into the write buffer without a single ``await``. So a
cancelled send was either never admitted, and nothing of it exists, or it is in the buffer whole, and the
transport delivers it whole.

``WriteBuffer`` does the second part, and admits what need not wait; the transport keeps
what the kernel has not taken.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from anyws.core.compression import COMPRESSED_AT_ONCE
from anyws.enums import Opcode, State
from anyws.stream.admission import NOT_TAKEN, TAKEN
from anyws.stream.data import encode_data
from anyws.stream.feeding import feed
from anyws.stream.fragment import FragmentContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyws.core.connection import Connection
    from anyws.core.turns import Turns
    from anyws.enums import DataType
    from anyws.errors import CloseCause
    from anyws.net.transport import Transport
    from anyws.stream.feeding import Source
    from anyws.stream.lock import SendLock
    from anyws.stream.write_buffer import WriteBuffer

__all__ = ["WebSocketWriter"]

_logger = logging.getLogger("anyws.stream")


class WebSocketWriter:
    """The sending side of a connection; reached as ``websocket.writer``, never made by users."""

    __slots__ = ("_buffer", "_connection", "_fail", "_lock", "_transport", "_turns")

    def __init__(
        self,
        connection: Connection,
        transport: Transport,
        buffer: WriteBuffer,
        lock: SendLock,
        turns: Turns,
        fail: Callable[[int, str, CloseCause, str], None],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._buffer = buffer
        self._lock = lock
        self._turns = turns
        self._fail = fail

    @property
    def closed(self) -> bool:
        """True if and only if our side has sent a close frame."""
        return self._connection.sent is not None

    async def send(
        self,
        data: str | bytes | bytearray | memoryview,
        force: bool = False,  # noqa: FBT002 - the name and place of the original
        *,
        compress: bool | None = None,
    ) -> None:
        """Send one message: ``str`` as text, bytes-like as binary.

        Returns when the message is in the write buffer and the buffer is below its high-water
        mark (``Limits.send_buffer``). Tasks that send at the same time queue in order.

        Args:
            data: the message.
            force: send although the connection is closing. After our own close frame RFC 6455,
                section 5.5.1, forbids data; it is sent all the same, with a warning in the log.
            compress: whether to compress; ``None`` compresses from the threshold on. Without
                effect when compression was not negotiated.

        Raises:
            TypeError: ``data`` is something else; nothing was sent.
            ConnectionClosed: the connection is closing or closed.
            RuntimeError: this task has a ``fragment()`` open, and would wait for itself.

        If cancelled: the message was either not admitted, and nothing of it is sent, or it is
        delivered whole. The connection stays usable.
        """
        taken = self._buffer.try_send(data, compress)
        if taken != TAKEN:
            await self.finish_send(taken, data, force=force, compress=compress)

    async def feed(
        self,
        buffer: Source,
        op_code: DataType | int | None = None,
        chunksize: int = 1024,
        drain_every: int = 4096,
        force: bool = False,  # noqa: FBT002 - the name and place of the original
        *,
        compress: bool | None = None,
    ) -> None:
        """Read ``buffer`` to its end and send it as one message, in fragments (RFC 6455, section 5.4).

        Args:
            buffer: a ``Buffer``, a ``WebSocketReader``, an anyio byte stream, an iterable or async
                iterable of chunks, or an open file, binary or text.
            op_code: the kind of message; ``None`` takes ``buffer.data_type`` where it has one,
                else the kind of the first chunk.
            chunksize: bytes of payload that a fragment has at most. What the source gives is not held
                back to fill one.
            drain_every: bytes after which the write buffer is drained at the latest.
            force: send although the connection is closing.
            compress: whether to compress; ``None`` decides by the first fragment.

        Raises:
            TypeError: a chunk is neither ``str`` nor bytes-like, or of two kinds.
            ValueError: ``chunksize`` or ``drain_every`` is below 1.
            UnicodeDecodeError: bytes that are sent as text are not UTF-8.
            ConnectionClosed: the connection is closing or closed.
            RuntimeError: this task has a ``fragment()`` open, and would wait for itself.

        If cancelled, or if reading ``buffer`` raises: before the first fragment nothing has
        happened; after it the message cannot be finished, so no final frame is sent and
        the connection is closed with 1011.
        """
        await feed(self, buffer, op_code, chunksize, drain_every, force=force, compress=compress)

    def fragment(self, *, force: bool = False, compress: bool | None = None) -> FragmentContext:
        """Return an async context manager that sends one message piece by piece (RFC 6455, section 5.4).

        ``async with writer.fragment() as stream: await stream.send("Hello ")``. Other senders wait
        until it is left; pings, pongs and the close frame go between the fragments.

        Args:
            force: send although the connection is closing.
            compress: whether to compress; ``None`` decides by the first fragment.

        Returns:
            An async context manager, to be entered once; what its end does is told at ``FragmentContext``.
        """
        return FragmentContext(self, force=force, compress=compress)

    async def ping(self, payload: str | bytes | bytearray | memoryview = b"") -> None:
        """Send a ping frame (RFC 6455, section 5.5.2); ``WebSocket.ping`` also waits for its answer.

        Args:
            payload: at most 125 bytes.

        Raises:
            ValueError: the payload is longer.
            ConnectionClosed: the connection is closing or closed.

        If cancelled: the ping was sent whole or not at all.
        """
        await self._send_control(Opcode.PING, encode_data(payload)[1])

    async def pong(self, length: int, payload: str | bytes | bytearray | memoryview) -> None:
        """Send a pong frame that nobody asked for (RFC 6455, section 5.5.3); pings are answered without it.

        Args:
            length: bytes of ``payload``.
            payload: at most 125 bytes.

        Raises:
            ValueError: the payload is longer, or ``length`` is not its length.
            ConnectionClosed: the connection is closing or closed.

        If cancelled: the pong was sent whole or not at all.
        """
        data = encode_data(payload)[1]
        if length != len(data):
            raise ValueError(f"length is {length}, but the payload has {len(data)} bytes")
        await self._send_control(Opcode.PONG, data)

    def write_frame(
        self, header: int | bytes, data: str | bytes | bytearray | memoryview, length: int
    ) -> None:
        """Put one frame into the write buffer; do not flush.

        Low level: nothing is checked but the sizes. A wrong frame makes the peer close the connection.

        Args:
            header: the first byte of the frame, with FIN, reserved bits and opcode.
            data: the payload.
            length: bytes of ``data``.

        Raises:
            ValueError: ``header`` is not one byte, or ``length`` is not the length of ``data``.
            ConnectionClosed: the stream is gone.
        """
        first = header if isinstance(header, int) else int.from_bytes(header, "big")
        if not 0 <= first <= 255 or (not isinstance(header, int) and len(header) != 1):
            raise ValueError(f"header must be the one byte with FIN and opcode, not {header!r}")
        payload = encode_data(data)[1]
        if length != len(payload):
            raise ValueError(f"length is {length}, but the data has {len(payload)} bytes")
        if self._buffer.finished:
            raise self._connection.closed_error()
        self._buffer.append(self._connection.outbound.encode(first, payload))

    async def flush(self) -> None:
        """Send what ``write_frame`` put into the write buffer; waits while it is above its high-water mark.

        Raises:
            ConnectionClosed: the connection ended while this waited.

        If cancelled: what is in the buffer is sent all the same.
        """
        self._buffer.flush()
        await anyio.lowlevel.checkpoint()
        if self._transport.clogged:
            await self._drain()

    # What the other parts of the connection call

    async def finish_send(
        self,
        taken: int,
        data: str | bytes | bytearray | memoryview,
        *,
        force: bool = False,
        compress: bool | None = None,
    ) -> None:
        """Do what ``WriteBuffer.try_send``, which answered ``taken``, has left to do."""
        if taken == NOT_TAKEN:
            opcode, payload = encode_data(data)
            await self._admit(force=force)
            try:
                if self._connection.outbound.is_long(opcode, len(payload), compress):
                    payload, compress = await self._compress_ahead(opcode, payload, force=force)
            finally:
                self._lock.release()
            self._buffer.put_message(opcode, payload, compress)
        if self._transport.clogged:
            await self._drain()

    async def checkpoint_if_due(self) -> None:
        """Count one operation that found work ready, and let others run after enough of them."""
        if not self._turns.spend():
            self._buffer.flush()
            self._turns.renew()
            await anyio.lowlevel.checkpoint()

    async def begin_message(self, owner: int | None, *, force: bool) -> None:
        """Wait for the right to send a message in several frames.

        Args:
            owner: the id of the task whose block it is.
            force: as for ``send``.
        """
        await self._admit(force=force)
        self._lock.owner = owner

    async def send_fragment(
        self,
        opcode: int,
        payload: bytes,
        context: FragmentContext,
        *,
        final: bool,
        force: bool,
        compress: bool | None,
    ) -> None:
        """Send one fragment at once; only between ``begin_message`` and ``end_message``.

        The message counts as sent with its final fragment: without one the peer never gets it.

        Raises:
            RuntimeError: ``context`` was left while this waited; nothing is sent.
        """
        await self._make_room(force=force)
        outbound = self._connection.outbound
        ahead = outbound.is_long(opcode, len(payload), compress)
        if ahead:
            payload, compress = await self._compress_ahead(opcode, payload, force=force)
        if context.left:
            if ahead:
                outbound.drop_ahead(opcode)
            raise RuntimeError("the message is finished")
        frames = outbound.fragment(opcode, payload, final=final, compress=compress)
        self._buffer.write_control(frames)
        if final:
            self._buffer.messages_sent += 1

    def finish_message(self, opcode: int, *, force: bool, compress: bool | None) -> None:
        """Send the empty last fragment, without waiting; raises when sending is over."""
        self._check(force=force)
        outbound = self._connection.outbound
        self._buffer.write_control(outbound.fragment(opcode, b"", final=True, compress=compress))
        self._buffer.messages_sent += 1

    def end_message(self) -> None:
        """Let the next sender send."""
        self._lock.owner = None
        self._lock.release()

    def abandon_message(self, reason: str, cause: CloseCause) -> None:
        """Fail the connection, since a message was begun that cannot be finished."""
        if self._connection.state is State.OPEN:
            self._fail(1011, "a message could not be finished", cause, reason)

    async def _send_control(self, opcode: Opcode, payload: bytes) -> None:
        if len(payload) > 125:
            raise ValueError(f"a control frame has at most 125 bytes, not {len(payload)}")
        await self._make_room(force=False)
        self._buffer.write_control([self._connection.outbound.control(opcode, payload)])

    async def _compress_ahead(
        self, opcode: int, payload: bytes, *, force: bool
    ) -> tuple[bytes, bool]:
        """Compress all of a long payload but its end, letting others run in between.

        Returns:
            The rest, and that it is to be compressed.

        If cancelled: nothing of the payload is sent. The compressor is given up, so that what was
        compressed leaves no trace; the next one refers to nothing that was sent before.
        """
        outbound = self._connection.outbound
        view = memoryview(payload)
        self._buffer.flush()
        try:
            while len(view) > COMPRESSED_AT_ONCE:
                outbound.compress_ahead(bytes(view[:COMPRESSED_AT_ONCE]))
                view = view[COMPRESSED_AT_ONCE:]
                self._turns.renew()
                await anyio.lowlevel.checkpoint()
                self._check(force=force)
        except BaseException:
            outbound.drop_ahead(opcode)
            raise
        return bytes(view), True

    async def _admit(self, *, force: bool) -> None:
        """Wait until a message may be sent; returns with the lock held."""
        await self._lock.acquire()
        try:
            await self._make_room(force=force)
        except BaseException:
            self._lock.release()
            raise

    async def _make_room(self, *, force: bool) -> None:
        """Wait for the checkpoint that is due and for room; raises when sending is over."""
        self._check(force=force)
        await self.checkpoint_if_due()
        while self._transport.clogged:
            await self._transport.drain()
        self._check(force=force)
        if self._connection.sent is not None:
            _logger.warning("data is sent after our close frame, which RFC 6455, 5.5.1 forbids")

    def _check(self, *, force: bool) -> None:
        connection = self._connection
        if connection.state is State.OPEN:
            return
        if not force or self._buffer.finished or connection.state is State.CLOSED:
            raise connection.closed_error()

    async def _drain(self) -> None:
        await self._transport.drain()
        if self._buffer.finished:
            raise self._connection.closed_error()
