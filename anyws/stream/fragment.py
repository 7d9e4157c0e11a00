"""One message in several frames (RFC 6455, section 5.4)."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from anyws.enums import DataType, Opcode
from anyws.errors import CloseCause
from anyws.stream.data import encode_data

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from anyws.stream.writer import WebSocketWriter

__all__ = ["FragmentContext"]

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class FragmentContext:
    """Sends one message piece by piece; made by ``WebSocketWriter.fragment``.

    From its first piece to its last no other message goes out, while pings, pongs and the close frame
    go between. Leaving the ``async with`` block sends the empty final frame. If the block
    raises or is cancelled after the first piece, half a message cannot be taken back: no
    final frame is sent and the connection is closed with 1011. Before the first piece,
    nothing has happened.
    """

    def __init__(
        self,
        writer: WebSocketWriter,
        *,
        force: bool,
        compress: bool | None,
        data_type: DataType | None = None,
    ) -> None:
        self._writer = writer
        self._force = force
        self._compress = compress
        self._data_type = data_type
        self._kind: DataType | None = data_type
        # The bytes of a text message may come from anywhere; the peer would close on bad ones.
        self._utf8 = _utf8_decoder() if data_type is DataType.TEXT else None
        #: The id of the task that has entered the block.
        self._owner: int | None = None
        self._begun = False
        self._finished = False
        self._sending = False

    async def __aenter__(self) -> Self:
        """Enter the block; nothing is sent and nobody is held up yet."""
        if self._owner is not None:
            raise RuntimeError("a fragment() can be entered once")
        # That of the block: a task that sends a piece may end before it, and its id be used again.
        self._owner = anyio.get_current_task().id
        return self

    async def send(
        self, data: str | bytes | bytearray | memoryview, *, final: bool = False
    ) -> None:
        """Send one piece of the message, at once.

        Args:
            data: ``str`` for a text message, bytes-like for a binary one.
            final: whether this piece is the last, which saves the empty final frame.

        Raises:
            TypeError: ``data`` is of another kind than the first piece; it is not sent.
            RuntimeError: the message is finished already, or the block is not entered.
            anyio.BusyResourceError: another task is sending a piece of this message.
            ConnectionClosed: the connection is closing or closed.

        If cancelled: this piece was not sent and leaves no trace, so that the first piece after it may
        be of either kind; or it was sent whole. The block decides what becomes of the message.
        """
        if self._owner is None:
            raise RuntimeError("not entered")
        if self._finished:
            raise RuntimeError("the message is finished")
        if self._sending:
            raise anyio.BusyResourceError("sending a fragment on")
        kind, payload = self._encode(data)
        await self._send_encoded(kind, payload, final=final)

    async def _send_encoded(self, kind: DataType, payload: bytes, *, final: bool) -> None:
        """Send what ``_encode`` has returned, or a part of it; as ``send``, but for its checks."""
        decoder = self._utf8
        before = decoder.getstate() if decoder is not None else None
        self._sending = True
        try:
            if decoder is not None:
                decoder.decode(payload, final)
            await self._send_piece(kind, payload, final=final)
        except BaseException:
            if decoder is not None and before is not None:
                decoder.setstate(before)
            raise
        finally:
            self._sending = False
        if final:
            self._finish()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the message, or fail the connection when it cannot be finished.

        Raises:
            anyio.BusyResourceError: another task was sending a piece, which is not sent; once there was a
                first piece, the connection is closed with 1011.
        """
        if self._finished:
            return
        if self._sending:
            if self._begun:
                self._abandon("the block was left while a task was sending a piece")
            self._finished = True
            if exc is None:
                raise anyio.BusyResourceError("sending a fragment on")
            return
        if not self._begun:
            self._finished = True
            if exc is None and self._data_type is not None:
                await self._writer.begin_message(self._owner, force=self._force)
                self._finish(self._data_type)
            return
        reason = None if exc is None else repr(exc)
        if self._utf8 is not None and exc is None:
            try:
                self._utf8.decode(b"", True)
            except UnicodeDecodeError as error:
                self._abandon(repr(error))
                raise
        if reason is not None:
            self._abandon(reason)
            return
        self._finish(Opcode.CONTINUATION)
        await anyio.lowlevel.checkpoint()

    def _encode(self, data: str | bytes | bytearray | memoryview) -> tuple[DataType, bytes]:
        """Return the kind of message that a piece belongs to, and its payload.

        Raises:
            TypeError: ``data`` is of another kind than the first piece, or cannot be sent at all.
        """
        kind, payload = encode_data(data)
        if self._data_type is not None:
            return self._data_type, payload
        if self._kind not in (None, kind):
            raise TypeError(f"the message is {self._kind.name.lower()}, this piece is not")
        return kind, payload

    async def _send_piece(self, kind: DataType, payload: bytes, *, final: bool) -> None:
        """Send one piece; nothing of it is kept here unless it was sent."""
        writer = self._writer
        first = not self._begun
        if first:
            await writer.begin_message(self._owner, force=self._force)
        opcode = kind if first else Opcode.CONTINUATION
        try:
            await writer.send_fragment(
                opcode, payload, self, final=final, force=self._force, compress=self._compress
            )
        except BaseException:
            if first:
                writer.end_message()
            raise
        self._kind = kind
        self._begun = True

    @property
    def left(self) -> bool:
        """Whether the message is over, and no piece may follow."""
        return self._finished

    def _finish(self, opcode: int | None = None) -> None:
        """Let the next sender send, after the empty last fragment if ``opcode`` says to send one."""
        self._finished = True
        try:
            if opcode is not None:
                self._writer.finish_message(opcode, force=self._force, compress=self._compress)
        finally:
            self._writer.end_message()

    def _abandon(self, reason: str) -> None:
        self._writer.abandon_message(reason, CloseCause.MESSAGE_ABANDONED)
        self._finish()
