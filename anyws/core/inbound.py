# cython: language_level=3, annotation_typing=False
"""Bytes in, messages out: the rules for everything that a peer may send.

Theory of operation
-------------------
``receive_data`` is given a buffer just after bytes were received into it. ``_wire.scan`` takes the
whole, plain data frames from its front; every other frame is judged here, header first. A header
is judged as soon as its bytes are there, before its payload is waited for and before memory is
taken. What cannot be used yet is copied away, so that the buffer is free for another connection.

A message that does not lie whole in the buffer becomes an ``IncomingMessage``, which collects it or hands
it to a sink as it comes. Fragments are joined and text is validated at once.

Three things end the reading for good: a close frame, a violation, and a size over a limit. They
wait their turn: the messages that came before stay in ``messages``, and the ending takes effect
only when the caller gets there (``anyws.core.connection``). Later bytes are ignored.

Nothing is unbounded. When what is held reaches the limit, parsing stops where it is, in the middle
of inflating if need be, and ``full`` says so; ``resume`` goes on. The exception is ``hungry``:
somebody waits for the rest of a message, which may grow to the limit on messages then. Where messages may be
inflated, the exception ends with the first one that is whole: behind it 64 KiB might come to 60 MiB.
Parsing stops as well after so many headers and decoders that others must run: ``stopped`` without ``full``.

Invariants: ``message`` is None exactly when no message is unfinished. ``_remaining`` counts payload
bytes of the current data frame that have not come. ``_rest`` holds received bytes not looked at yet.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import anyws._wire.scan as wire
from anyws.core import rules
from anyws.core.fields import extended_length, parse_close
from anyws.core.message import Discard, IncomingMessage
from anyws.enums import Opcode
from anyws.errors import ProtocolError

if TYPE_CHECKING:
    from anyws.core.deflate_streams import Inflater
    from anyws.core.turns import Turns
    from anyws.errors import Close
    from anyws.limits import Limits

__all__ = ["Inbound"]

_CONTROL_OPCODES = frozenset((Opcode.CLOSE, Opcode.PING, Opcode.PONG))
_DATA_OPCODES = frozenset((Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY))
#: What a queued message costs beside its payload, so that empty ones count too.
_MESSAGE_OVERHEAD = 64
#: Bytes of a frame that are much.
_MUCH = 65536
#: Headers judged and decoders made before parsing stops for others to run: a millisecond or two.
_EFFORT_AT_ONCE = 256
#: Bytes of a frame's payload for which room is taken at once.
_PAYLOAD_AT_ONCE = 2**20


class Inbound:
    """Takes received bytes apart, for one connection.

    Args:
        masked: whether the peer must mask its frames, as clients do.
        limits: the bounds to keep.
        inflater: what inflates compressed messages; ``None`` when nothing was negotiated.
    """

    __slots__ = (
        "_discarding",
        "_final",
        "_headers",
        "_inflater",
        "_key",
        "_limits",
        "_masked",
        "_offset",
        "_pings",
        "_pongs",
        "_queued",
        "_receive_buffer",
        "_remaining",
        "_rest",
        "_scan_limit",
        "_taken",
        "close",
        "ended",
        "failure",
        "hungry",
        "message",
        "messages",
        "messages_taken",
        "stopped",
    )

    def __init__(self, *, masked: bool, limits: Limits, inflater: Inflater | None = None) -> None:
        #: Whole messages, of which the first ``_taken`` are gone; an empty deque takes 760 bytes.
        self.messages: list[Any] = []
        self._taken = 0
        #: Messages that were taken so far.
        self.messages_taken = 0
        #: The message that has begun and is not finished.
        self.message: IncomingMessage | None = None
        #: The peer's close frame, once parsed.
        self.close: Close | None = None
        #: The rule that the peer broke, once it did.
        self.failure: ProtocolError | None = None
        #: Whether ``close`` or ``failure`` is set or ``refuse`` was called; nothing is parsed then.
        self.ended = False
        self._pings: list[bytes] | None = None  # an empty list takes 56 bytes
        self._pongs: list[bytes] | None = None
        #: Whether somebody waits for the unfinished message to become whole.
        self.hungry = False
        #: Whether messages are dropped as they come.
        self._discarding = False
        #: Whether received bytes wait here because it became ``full`` or took long; ``resume`` takes them.
        self.stopped = False
        self._masked = masked
        self._limits = limits
        self._inflater = inflater
        limit = limits.message_size
        self._scan_limit = sys.maxsize if limit is None else limit
        self._receive_buffer = limits.receive_buffer
        self._rest: bytearray | None = None
        self._queued = 0
        self._remaining = 0
        self._offset = 0
        self._final = False
        self._key = b""
        self._headers = 0

    @property
    def full(self) -> bool:
        """Whether no more may be parsed before the application takes something."""
        return self._is_full()

    def _is_full(self) -> bool:
        if self._discarding or (self.hungry and (self._inflater is None or not self.messages)):
            return False
        held = self._queued if self.message is None else self._queued + self.message.held
        return held >= self._receive_buffer

    @property
    def held(self) -> int:
        """Bytes received and not yet taken, as the limit counts them, and those not looked at yet."""
        held = self._queued if self._rest is None else self._queued + len(self._rest)
        return held if self.message is None else held + self.message.held

    @property
    def pings(self) -> list[bytes]:
        """Payloads of pings that want an answer, the latest last."""
        return [] if self._pings is None else self._pings

    @property
    def pongs(self) -> list[bytes]:
        """Payloads of pongs that came."""
        return [] if self._pongs is None else self._pongs

    def has_control_frames(self) -> bool:
        """Whether there are pings or pongs."""
        return self._pings is not None or self._pongs is not None

    def take_pings(self) -> list[bytes]:
        """Return the payloads of the pings, which are answered now."""
        pings, self._pings = self.pings, None
        return pings

    def take_pongs(self) -> list[bytes]:
        """Return the payloads of the pongs, which are looked at now."""
        pongs, self._pongs = self.pongs, None
        return pongs

    def has_news(self) -> bool:
        """Whether there is something for who waits; a piece of a message that is wanted whole is nothing."""
        message = self.message
        waits_on = self.hungry and message is not None and message.sink is None
        return not waits_on or bool(self.messages) or self.ended or self.stopped

    def expects_much(self) -> bool:
        """Whether the rest of the current frame is large."""
        return self._remaining > _MUCH

    def effort(self) -> int:
        """Return the number of headers judged and decoders made; they take time whatever their size."""
        inflater = self._inflater
        return self._headers if inflater is None else self._headers + inflater.decoders

    def take(self, turns: Turns) -> str | bytes | None:
        """Return the next whole message, or None when there is none or ``turns`` are used up."""
        messages = self.messages
        if not messages or not turns.spend():
            return None
        position = self._taken
        message: str | bytes = messages[position]
        messages[position] = None
        position += 1
        if position == len(messages):
            messages.clear()
            self._taken = self._queued = 0
        else:
            self._taken = position
        self.messages_taken += 1
        return message

    def discard(self) -> None:
        """Drop the messages that come from now on; those that have come stay."""
        self._discarding = True

    def refuse(self) -> None:
        """Forget all that has come, and parse no more."""
        self.messages.clear()
        self._taken = self._queued = 0
        self.ended = True
        self.stopped = False
        self.message = self._inflater = self._rest = None
        self._pings = None

    def receive_data(self, buffer: bytearray, end: int) -> None:
        """Parse ``buffer[:end]``.

        Never raises for what the peer sent: a violation is kept in ``failure``.
        """
        rest = self._rest
        if self.stopped:
            # For ``resume``, which lets others run: TLS gives many pieces at once.
            self._rest = rest = rest or bytearray()
            rest += memoryview(buffer)[:end]
        elif rest is not None:
            self._rest = None
            rest += memoryview(buffer)[:end]
            self._process(rest, 0, len(rest))
        elif self.message is None and not (self.ended or self._is_full()):
            # Mostly whole messages have come and nothing else.
            position = self._scan(buffer, 0, end)
            if position < end:
                self._process(buffer, position, end)
        else:
            self._process(buffer, 0, end)

    def resume(self) -> None:
        """Go on parsing what was left when it ``stopped``."""
        rest, self._rest = self._rest, None
        self._process(rest or bytearray(), 0, len(rest) if rest else 0)

    def _process(self, buffer: bytearray, position: int, end: int) -> None:
        if self.ended:
            return
        self.stopped = False
        try:
            position = self._parse(buffer, position, end)
        except ProtocolError as error:
            self.failure = error
            self.ended = True
        if self.ended:
            self.message = self._inflater = None
        elif position < end:
            self._rest = bytearray(memoryview(buffer)[position:end])

    def _parse(self, buffer: bytearray, position: int, end: int) -> int:
        """Take frames from ``position`` on until something is missing; return how far it came."""
        most = self.effort() + _EFFORT_AT_ONCE
        while self.close is None:
            message = self.message
            busy = message is not None and message.busy
            if position == end and not busy:
                break
            if self._is_full() or self.effort() >= most:
                self.stopped = True
                break
            if message is None:
                start = position
                position = self._scan(buffer, start, end)
                if position == end:
                    break
                if position > start and self._inflater is not None:
                    # What was inflated may be so much that nothing more may be taken now.
                    continue
            if message is not None and busy:
                message.step()
                self._deliver(message)
            elif message is not None and self._remaining:
                position = self._take_payload(message, buffer, position, end)
            else:
                header = self._take_header(buffer, position, end)
                if not header:
                    break
                position += header
        return position

    def _scan(self, buffer: bytearray, position: int, end: int) -> int:
        """Take the plain messages from ``position`` on; return how far it came."""
        inflater = self._inflater
        messages = [] if self._discarding else self.messages
        found = wire.scan(buffer, position, end, self._masked, self._scan_limit, messages, inflater)
        inflated = 0
        if inflater is not None:
            inflated, inflater.size = inflater.size, 0
        if not self._discarding:
            self._queued += found - position + inflated
        return found

    def _deliver(self, message: IncomingMessage) -> None:
        """Queue ``message`` if it is complete, unless a sink has it already."""
        if not message.complete:
            return
        self.message = None
        if message.sink is None:
            self.messages.append(message.whole())
            self._queued += message.size + _MESSAGE_OVERHEAD

    # Headers

    def _take_header(self, buffer: bytearray, position: int, end: int) -> int:
        """Judge the frame at ``position``; return how many bytes of it were taken, 0 for none."""
        available = end - position
        self._headers += 1
        first = buffer[position]
        opcode = first & 0x0F
        self._judge_first_byte(first, opcode)
        if available < 2:
            return 0
        second = buffer[position + 1]
        if bool(second & 0x80) != self._masked:
            raise ProtocolError(rules.MASK_MISSING if self._masked else rules.MASK_UNEXPECTED)
        length = second & 0x7F
        header = 2
        if opcode >= Opcode.CLOSE:
            if length > 125:
                raise ProtocolError(rules.CONTROL_TOO_LONG)
        elif length > 125:
            header = 4 if length == 126 else 10
            if available < header:
                return 0
            length = extended_length(bytes(buffer[position + 2 : position + header]))
        key_size = 4 if self._masked else 0
        if opcode < Opcode.CLOSE:
            message = self.message
            if message is None:
                inflater = self._inflater if first & 0x40 else None
                message = IncomingMessage(opcode, self._limits.message_size, inflater)
                if self._discarding:
                    message.attach(Discard())
            message.judge_frame(length)
            if available - header < key_size:
                return 0
            self.message = message
            header += key_size
            self._key = bytes(buffer[position + header - key_size : position + header])
            self._begin_frame(message, length, bool(first & 0x80))
            return header
        header += key_size
        if available - header < length:
            return 0
        self._take_control(opcode, buffer, position + header, length)
        return header + length

    def _judge_first_byte(self, first: int, opcode: int) -> None:
        if first & 0x30 or (first & 0x40 and (self._inflater is None or opcode not in (1, 2))):
            raise ProtocolError(rules.RESERVED_BITS)
        if opcode in _CONTROL_OPCODES:
            if not first & 0x80:
                raise ProtocolError(rules.CONTROL_FRAGMENTED)
        elif opcode not in _DATA_OPCODES:
            raise ProtocolError(rules.OPCODE_UNKNOWN, f"0x{opcode:X}")
        elif opcode == Opcode.CONTINUATION:
            if self.message is None:
                raise ProtocolError(rules.CONTINUATION_WITHOUT_MESSAGE)
        elif self.message is not None:
            raise ProtocolError(rules.MESSAGE_INTERRUPTED)

    def _begin_frame(self, message: IncomingMessage, length: int, final: bool) -> None:
        message.fragments += 1
        fragments = self._limits.fragments
        if fragments is not None and message.fragments > fragments:
            raise ProtocolError(rules.TOO_MANY_FRAGMENTS, f"more than {fragments}")
        self._final = final
        self._remaining = length
        self._offset = 0
        if not length:
            message.take(b"", last=final)
            self._deliver(message)
        elif final and length <= _PAYLOAD_AT_ONCE:
            message.expect(length)

    # Payloads

    def _take_payload(
        self, message: IncomingMessage, buffer: bytearray, position: int, end: int
    ) -> int:
        stop = position + min(end - position, self._remaining)
        count = stop - position
        self._remaining -= count
        offset = self._offset
        self._offset = (offset + count) & 3
        if message.payload is not None:
            message.payload.append(buffer, position, stop, self._key)
            if not self._remaining:
                message.finish_payload()
        else:
            piece = wire.take_piece(buffer, position, stop, self._key, offset)
            message.take(piece, last=self._final and not self._remaining)
        self._deliver(message)
        return stop

    # Control frames

    def _take_control(self, opcode: int, buffer: bytearray, start: int, length: int) -> None:
        key = bytes(buffer[start - 4 : start]) if self._masked else b""
        payload = wire.take_piece(buffer, start, start + length, key, 0)
        if opcode == Opcode.PONG:
            self._pongs = self.pongs
            self._pongs.append(payload)
        elif opcode == Opcode.PING:
            self._pings = self.pings
            self._pings.append(payload)
            if len(self._pings) > self._limits.pending_pongs:
                del self._pings[0]
        else:
            self.close = parse_close(payload)
            self.ended = True
