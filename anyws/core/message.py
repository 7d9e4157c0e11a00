"""One message while it arrives: inflated, bounded, validated, collected.

``Inbound`` makes one for each message that the scanner did not take whole, feeds it the unmasked
payload of its frames, and drops it when it is ``complete``. So an idle connection holds none.

Inflating goes in bounded steps. While ``busy``, output or the end of the message waits inside the
inflater, and ``step`` takes the next piece; between two steps the caller may stop for as long as
it likes.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Protocol

from anyws._wire.payload import Payload
from anyws.core import rules
from anyws.core.deflate_streams import InflateError
from anyws.enums import Opcode
from anyws.errors import ProtocolError

if TYPE_CHECKING:
    from anyws.core.deflate_streams import Inflater

__all__ = ["Discard", "IncomingMessage", "Sink"]

_utf8_decoder = codecs.getincrementaldecoder("utf-8")
_INFLATE_STEP = 65536


class Sink(Protocol):
    """Where the payload of a message goes when it is read while it arrives."""

    @property
    def size(self) -> int:
        """Bytes that were written and not yet taken."""

    def write_nowait(self, data: bytes) -> None:
        """Take a piece of payload."""

    def feed_eof(self) -> None:
        """The message is complete."""


class Discard:
    """A sink for a message that nobody wants any more."""

    size = 0

    def write_nowait(self, data: bytes) -> None:
        """Drop ``data``."""

    def feed_eof(self) -> None:
        """Do nothing."""


class IncomingMessage:
    """Collects the payload of one message, or hands it to a sink as it comes.

    Args:
        kind: the opcode of its first frame, TEXT or BINARY.
        limit: bytes that the message may have, or ``None``.
        inflater: what inflates its payload, ``None`` when it is not compressed.

    Every method that takes payload raises ``ProtocolError`` when a rule or the limit is broken.
    """

    __slots__ = (
        "_ending",
        "_inflater",
        "_limit",
        "_payload",
        "_utf8",
        "complete",
        "fragments",
        "kind",
        "payload",
        "sink",
        "size",
    )

    def __init__(self, kind: int, limit: int | None, inflater: Inflater | None) -> None:
        self.kind = kind
        #: Frames that have begun.
        self.fragments = 0
        #: Bytes so far, after inflation.
        self.size = 0
        #: Whether everything has come.
        self.complete = False
        self.sink: Sink | None = None
        #: Where the payload goes as it is, after ``expect``.
        self.payload: Payload | None = None
        self._limit = limit
        self._inflater = inflater
        self._payload: bytes | bytearray = b""
        self._utf8: codecs.IncrementalDecoder | None = None
        self._ending = False

    @property
    def compressed(self) -> bool:
        """Whether the message came with RSV1 (RFC 7692, section 6)."""
        return self._inflater is not None

    @property
    def held(self) -> int:
        """Bytes collected here or waiting in the sink."""
        if self.sink is not None:
            return self.sink.size
        return len(self._payload) if self.payload is None else self.payload.size

    @property
    def busy(self) -> bool:
        """Whether ``step`` is due before more payload may be given."""
        inflater = self._inflater
        return inflater is not None and not self.complete and inflater.pending

    def attach(self, sink: Sink) -> None:
        """Hand what has come to ``sink``, and what will come."""
        payload, self._payload = self._payload, b""
        if self.payload is not None:
            payload, self.payload = self.payload.taken(), None
            self.size = len(payload)
        self.sink = sink
        if payload:
            sink.write_nowait(bytes(payload))

    def expect(self, length: int) -> None:
        """Prepare for the only frame of the message, of ``length`` bytes that need no more looking at.

        Does nothing for a message that is inflated, validated or read while it comes.
        """
        read = self.sink is not None
        if (
            not read
            and self.kind == Opcode.BINARY
            and self.fragments == 1
            and self._inflater is None
        ):
            self.payload = Payload(length)

    def finish_payload(self) -> None:
        """Complete the message, since ``payload`` has come."""
        if self.payload is not None:
            self._payload, self.payload = self.payload.taken(), None
            self.size = len(self._payload)
            self.complete = True

    def judge_frame(self, length: int) -> None:
        """Refuse a frame by its declared length, before any of its payload comes."""
        limit = self._limit
        if limit is None:
            return
        if self._inflater is not None:
            # Deflate makes nothing twice as large, so such a frame cannot stay below the limit.
            if length - 1024 > 2 * limit:
                raise ProtocolError(rules.MESSAGE_TOO_BIG, f"{length} compressed bytes")
        elif length > limit - self.size:
            raise ProtocolError(rules.MESSAGE_TOO_BIG, f"more than {limit} bytes")

    def take(self, piece: bytes, *, last: bool) -> None:
        """Take a piece of payload; ``last`` when the message ends with it."""
        if self._inflater is not None:
            self._ending = last
            self._inflate(self._inflater, piece)
        elif last:
            self._finish(piece)
        else:
            self._append(piece)

    def step(self) -> None:
        """Take the next piece of inflated output; for when ``busy``."""
        if self._inflater is not None and self.busy:
            self._inflate(self._inflater, b"")

    def whole(self) -> str | bytes:
        """Return the complete message."""
        if self.kind == Opcode.BINARY:
            return bytes(self._payload)
        try:
            return str(self._payload, "utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError(rules.TEXT_NOT_UTF8, error.reason) from None

    def _append(self, piece: bytes) -> None:
        if not piece:
            return
        self._judge_size(piece)
        if self.kind == Opcode.TEXT:
            if self._utf8 is None:
                self._utf8 = _utf8_decoder()
            self._validate(self._utf8, piece, final=False)
        if self.sink is not None:
            self.sink.write_nowait(piece)
        elif self._payload:
            self._payload += piece
        else:
            self._payload = bytearray(piece)

    def _finish(self, piece: bytes) -> None:
        if self._payload or self.sink is not None:
            self._append(piece)
            if self._utf8 is not None:
                self._validate(self._utf8, b"", final=True)
        else:
            # The whole message is in this piece: ``whole`` decodes and so validates it.
            self._judge_size(piece)
            self._payload = piece
        self.complete = True
        if self.sink is not None:
            self.sink.feed_eof()

    def _judge_size(self, piece: bytes) -> None:
        if self._limit is not None and len(piece) > self._limit - self.size:
            raise ProtocolError(rules.MESSAGE_TOO_BIG, f"more than {self._limit} bytes")
        self.size += len(piece)

    @staticmethod
    def _validate(decoder: codecs.IncrementalDecoder, piece: bytes, *, final: bool) -> None:
        try:
            decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            raise ProtocolError(rules.TEXT_NOT_UTF8, error.reason) from None

    def _allowance(self) -> int:
        # One byte more than is allowed tells that the message is too big.
        return (
            _INFLATE_STEP
            if self._limit is None
            else min(_INFLATE_STEP, self._limit - self.size + 1)
        )

    def _inflate(self, inflater: Inflater, piece: bytes) -> None:
        """Feed ``piece`` and take one step of output."""
        room = self._allowance()
        try:
            out = inflater.finish(room, piece) if self._ending else inflater.decompress(piece, room)
        except InflateError as error:
            raise ProtocolError(rules.COMPRESSED_DATA_INVALID, str(error)) from None
        if self._ending and not inflater.pending:
            self._finish(out)
        else:
            self._append(out)
