"""A line in the log for every frame, in and out.

Theory of operation
-------------------
Whether frames are logged is decided when a connection opens: then its transport is wrapped, and a ``Tracer``
for each direction looks at the bytes that pass. Nobody else knows, so it costs nothing while it is off.

A tracer takes apart what it sees and judges nothing. It keeps the beginning of one payload, whatever lengths
the peer claims, and it inflates what is compressed with an inflater of its own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from anyws.core.deflate_streams import InflateError
from anyws.enums import Opcode, Role
from anyws.errors import Close
from anyws.net.receiver import Receiver
from anyws.net.transport import scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyws.core.connection import Connection
    from anyws.core.deflate_streams import Inflater
    from anyws.net.transport import Transport

__all__ = ["FrameLog", "Tracer", "log_frames"]

_logger = logging.getLogger("anyws.frames")
#: Bytes of a payload that are shown as text, and as hex; a control frame has no more.
_SHOWN = 125
_SHOWN_AS_HEX = 32
_INFLATE_STEP = 65536


def log_frames(transport: Transport, connection: Connection) -> tuple[Transport, FrameLog | None]:
    """Return the transport that a connection is to use, and what logs its frames, if anything does."""
    if not _logger.isEnabledFor(logging.DEBUG):
        return transport, None
    log = FrameLog(transport, connection)
    return cast("Transport", log), log


class FrameLog:
    """A transport that logs the frames which pass it; for everything else the one below answers."""

    def __init__(self, transport: Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        deflate, role = connection.deflate, connection.role
        other = Role.CLIENT if role is Role.SERVER else Role.SERVER
        name = connection.name()
        self._in = Tracer(f"{name} <", None if deflate is None else deflate.inflater(role))
        self._out = Tracer(f"{name} >", None if deflate is None else deflate.inflater(other))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def attach(self, receiver: Receiver) -> bytes:
        """Give everything received from now on to ``receiver``, and to the log."""
        return self._transport.attach(_ReceiverLog(receiver, self))

    def received(self, data: bytes) -> None:
        """Log the frames in ``data``; what follows a close frame or a violation is no frame any more."""
        if not self._connection.inbound.ended:
            self._in.feed(data)

    def write(self, data: bytes) -> None:
        """Log the frames in ``data``, then send them."""
        self._out.feed(data)
        self._transport.write(data)

    def writelines(self, chunks: Sequence[bytes]) -> None:
        """Log the frames in ``chunks``, then send them."""
        for chunk in chunks:
            self._out.feed(chunk)
        self._transport.writelines(chunks)

    def write_eof(self, last: bytes = b"") -> None:
        """Log the frames in ``last``, then send them and the end of the stream."""
        self._out.feed(last)
        self._transport.write_eof(last)


class _ReceiverLog(Receiver):
    """What the transport gives bytes to: they are logged before they are parsed and answered."""

    def __init__(self, receiver: Receiver, log: FrameLog) -> None:
        self._receiver = receiver
        self._log = log

    @property
    def full(self) -> bool:
        return self._receiver.full

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receiver.get_buffer(sizehint)

    def eof_received(self) -> None:
        self._receiver.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._receiver.connection_lost(error)

    def buffer_updated(self, count: int) -> bool:
        self._log.received(bytes(scratch.large_view[:count]))
        return self._receiver.buffer_updated(count)


class Tracer:
    """Takes the bytes of one direction apart and logs each frame when its last byte has passed.

    Args:
        prefix: what each line begins with.
        inflater: what inflates compressed messages; ``None`` when nothing was negotiated.
    """

    def __init__(self, prefix: str, inflater: Inflater | None = None) -> None:
        self._prefix = prefix
        self._inflater = inflater
        self._header = bytearray()
        self._needed = 2
        #: Bytes of the frame's payload that have not passed; -1 while its header is not complete.
        self._remaining = -1
        self._key = b""
        self._offset = 0
        self._shown = bytearray()
        self._cut = False
        self._size = 0
        self._kind = 0
        self._deflated = False

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""
        position = 0
        while position < len(data):
            if self._remaining < 0:
                piece = data[position : position + self._needed - len(self._header)]
                self._header += piece
                self._read_header()
            else:
                piece = data[position : position + self._remaining]
                self._remaining -= len(piece)
                self._take(piece)
            position += len(piece)
            if not self._remaining:
                self._end_frame()

    def _read_header(self) -> None:
        header = self._header
        if len(header) < self._needed:
            return
        if self._needed == 2:
            length = header[1] & 0x7F
            self._needed += {126: 2, 127: 8}.get(length, 0) + (4 if header[1] & 0x80 else 0)
        if len(header) < self._needed:
            return
        length = header[1] & 0x7F
        if length > 125:
            length = int.from_bytes(header[2 : 4 if length == 126 else 10], "big")
        self._key = bytes(header[-4:]) if header[1] & 0x80 else b""
        self._remaining = length
        self._offset = self._size = 0
        self._shown.clear()
        self._cut = False
        opcode = header[0] & 0x0F
        if opcode in (Opcode.TEXT, Opcode.BINARY):
            self._kind = opcode
            self._deflated = self._inflater is not None and bool(header[0] & 0x40)

    @property
    def _inflating(self) -> bool:
        return self._deflated and self._header[0] & 0x08 == 0

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if not self._inflating:
            # One byte more than is shown tells that there are more.
            piece = piece[: _SHOWN - len(self._shown) + 1]
        if self._key and piece:
            start = self._offset & 3
            key = (self._key[start:] + self._key[:start]) * (len(piece) // 4 + 1)
            number = int.from_bytes(piece, "big") ^ int.from_bytes(key[: len(piece)], "big")
            self._offset += len(piece)
            piece = number.to_bytes(len(piece), "big")
        if self._inflating:
            self._inflate(piece, last=not self._remaining and bool(self._header[0] & 0x80))
        else:
            self._show(piece)

    def _show(self, payload: bytes) -> None:
        room = _SHOWN - len(self._shown)
        self._cut = self._cut or len(payload) > room
        self._shown += payload[:room]

    def _inflate(self, piece: bytes, *, last: bool) -> None:
        inflater = self._inflater
        if inflater is None:
            return
        try:
            while True:
                if last:
                    out = inflater.finish(_INFLATE_STEP, piece)
                else:
                    out = inflater.decompress(piece, _INFLATE_STEP)
                self._show(out)
                piece = b""
                if not inflater.pending:
                    break
        except InflateError:
            self._inflater = None
            self._deflated = False

    def _end_frame(self) -> None:
        if self._inflating and not self._size and self._header[0] & 0x80:
            self._inflate(b"", last=True)
        _logger.debug("%s %s", self._prefix, self._describe())
        self._header.clear()
        self._needed = 2
        self._remaining = -1

    def _describe(self) -> str:
        first = self._header[0]
        opcode = first & 0x0F
        try:
            name = Opcode(opcode).name.lower()
        except ValueError:
            name = f"opcode 0x{opcode:X}"
        notes = [f"{self._size} byte{'' if self._size == 1 else 's'}"]
        if self._inflating:
            notes.append("deflated")
        elif first & 0x70:
            notes.append(f"reserved bits {first >> 4 & 7:03b}")
        if not first & 0x80:
            notes.append("to be continued")
        return f"{name} {self._payload(opcode)}({', '.join(notes)})"

    def _payload(self, opcode: int) -> str:
        """Show the beginning of the payload as what it is, with a space behind it."""
        shown = bytes(self._shown)
        if opcode == Opcode.CLOSE and len(shown) >= 2:
            code = int.from_bytes(shown[:2], "big")
            return f"{Close(code, shown[2:].decode('utf-8', 'replace'))} "
        more = "..." if self._cut else ""
        if (opcode or self._kind) == Opcode.TEXT:
            return f"{shown.decode('utf-8', 'replace')!r}{more} "
        if len(shown) > _SHOWN_AS_HEX:
            shown, more = shown[:_SHOWN_AS_HEX], "..."
        return f"{shown.hex(' ')}{more} " if shown else ""
