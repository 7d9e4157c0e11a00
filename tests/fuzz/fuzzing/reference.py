"""RFC 6455 read aloud: what the bytes that a peer sent mean, decided one after another.

Slow and plain on purpose: no buffers, no fast path, nothing cut in pieces, nothing imported from anyws. The
order of the checks is that of the bytes: what a byte breaks is found before the next one is
looked at.
"""

import zlib
from typing import NamedTuple

#: The rules by the names that anyws gives them, with the close code that answers each.
CODES = {
    "reserved bits": 1002,
    "opcode": 1002,
    "mask missing": 1002,
    "mask unexpected": 1002,
    "length encoding": 1002,
    "length range": 1002,
    "control frame fragmented": 1002,
    "control frame length": 1002,
    "continuation without message": 1002,
    "message interrupted": 1002,
    "close payload": 1002,
    "close code": 1002,
    "UTF-8": 1007,
    "compressed data": 1007,
    "message size": 1009,
    "fragments": 1009,
}
_LEGAL_CLOSE_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
_NOTHING = (1, 0)
_END = bytes.fromhex("0000ffff 01 0000ffff")


class Settings(NamedTuple):
    """What was agreed on, and the limits that are set; ``None`` is no limit."""

    masked: bool
    deflate: bool = False
    takeover: bool = True
    message_size: int | None = None
    fragments: int | None = None


class Incomplete(Exception):
    """The bytes are used up."""


class Violation(Exception):
    """A rule is broken."""


class Utf8:
    """Looks at text byte by byte (RFC 3629, section 4).

    A surrogate is found at its third byte, or at the end, where Python's decoder finds it too; RFC 6455 does not
    say how soon text must be found wrong.
    """

    def __init__(self):
        self._expected = []
        self._surrogate = False

    def byte(self, value):
        """Tell whether ``value`` may come next."""
        if self._expected:
            low, high = self._expected.pop(0)
            if self._surrogate and value >= 0xA0:
                self._expected = [_NOTHING]
            self._surrogate = False
            return low <= value <= high
        if value <= 0x7F:
            return True
        second, count = (0x80, 0xBF), 0
        if 0xC2 <= value <= 0xDF:
            count = 1
        elif 0xE0 <= value <= 0xEF:
            second, count = {0xE0: (0xA0, 0xBF)}.get(value, second), 2
            self._surrogate = value == 0xED
        elif 0xF0 <= value <= 0xF4:
            second, count = {0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}.get(value, second), 3
        self._expected = [second, (0x80, 0xBF), (0x80, 0xBF)][:count]
        return count > 0

    def complete(self):
        """Tell whether the text may end here."""
        return not self._expected


class Inflate:
    """Inflates one message byte by byte (RFC 7692, section 7.2.2)."""

    def __init__(self, window):
        self._seen = window
        self._decoder = None

    def byte(self, value):
        """Return what one more byte gives; raises ``zlib.error``."""
        if self._decoder is None:
            self._decoder = zlib.decompressobj(-15, zdict=self._seen[-32768:])
        out = self._decoder.decompress(bytes([value]))
        self._seen += out
        if self._decoder.eof:
            # A final block (section 7.2.3.4): what follows is inflated with the same window.
            self._decoder = None
        return out

    def end(self):
        """Give what comes out behind the last byte; raises ``zlib.error``."""
        if self._decoder is None:
            return
        # What the sender took off, and an empty final block that must end it: a message ends between two blocks.
        for value in _END:
            yield self.byte(value)
        if self._decoder is not None:
            raise zlib.error("the message ends inside a block")

    @property
    def window(self):
        """What the next message may refer to."""
        return self._seen[-32768:]


class Reference:
    """Decodes everything that a peer sent.

    Attributes:
        messages: opcode and payload of each whole message.
        unfinished: opcode and payload of the message that is not whole, if there is one.
        pings: payloads.
        pongs: payloads.
        close: code and reason of the close frame, if it came.
        rules: the rule that was broken, if one was. In compressed data it may be a choice: who inflates many bytes
            at once does not see which of them broke which rule first.
    """

    def __init__(self, data, settings):
        self.messages = []
        self.unfinished = None
        self.pings = []
        self.pongs = []
        self.close = None
        self.rules = set()
        self._data = data
        self._position = 0
        self._settings = settings
        self._window = b""
        self._inflate = None
        self._fragments = 0
        try:
            while self.close is None:
                self._frame()
        except Incomplete:
            pass
        except Violation as violation:
            self.rules.add(violation.args[0])

    def _take(self, count):
        taken = self._data[self._position : self._position + count]
        if len(taken) < count:
            raise Incomplete
        self._position += count
        return taken

    def _frame(self):
        # RFC 6455, section 5.2, and for the order of frames 5.4 and 5.5.
        first = self._take(1)[0]
        final, opcode = first >= 0x80, first & 0x0F
        reserved = first >> 4 & 7
        compressed = reserved == 4 and opcode in {1, 2} and self._settings.deflate
        if reserved and not compressed:
            raise Violation("reserved bits")
        if opcode not in {0, 1, 2, 8, 9, 10}:
            raise Violation("opcode")
        if opcode >= 8 and not final:
            raise Violation("control frame fragmented")
        if opcode == 0 and self.unfinished is None:
            raise Violation("continuation without message")
        if opcode in {1, 2} and self.unfinished is not None:
            raise Violation("message interrupted")
        second = self._take(1)[0]
        if (second >= 0x80) != self._settings.masked:
            raise Violation("mask missing" if self._settings.masked else "mask unexpected")
        length = self._length(second & 0x7F, opcode)
        if opcode >= 8:
            key = self._take(4) if self._settings.masked else bytes(4)
            payload = self._take(length)
            self._control(opcode, bytes(byte ^ key[i % 4] for i, byte in enumerate(payload)))
            return
        if opcode:
            self._fragments = 0
            self._inflate = Inflate(self._window) if compressed else None
            self._utf8 = Utf8()
        self._size(opcode, length)
        key = self._take(4) if self._settings.masked else bytes(4)
        if opcode:
            self.unfinished = (opcode, b"")
        self._fragments += 1
        if self._settings.fragments is not None and self._fragments > self._settings.fragments:
            raise Violation("fragments")
        self._data_payload(length, key, final)

    def _length(self, length, opcode):
        if opcode >= 8 and length > 125:
            raise Violation("control frame length")
        if length < 126:
            return length
        size, least = (2, 126) if length == 126 else (8, 65536)
        length = int.from_bytes(self._take(size), "big")
        if length >= 2**63:
            raise Violation("length range")
        if length < least:
            raise Violation("length encoding")
        return length

    def _size(self, opcode, length):
        # A frame is refused by its declared length. What is compressed may be twice as long as the limit and a
        # kilobyte: deflate makes nothing longer than that.
        limit = self._settings.message_size
        if limit is None:
            return
        if self._inflate is not None:
            limit = 2 * limit + 1024
        elif not opcode:
            limit -= len(self.unfinished[1])
        if length > limit:
            raise Violation("message size")

    def _data_payload(self, length, key, final):
        payload = self._data[self._position : self._position + length]
        self._position += len(payload)
        payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        whole = len(payload) == length
        if self._inflate is None:
            self._append(payload)
        else:
            self._append_compressed(payload, final and whole)
        if not whole:
            raise Incomplete
        if final:
            self._end_message()

    def _append_compressed(self, payload, ending):
        try:
            for out in self._inflated(payload, ending):
                try:
                    self._append(out)
                except Violation as violation:
                    self.rules.add(violation.args[0])
        except zlib.error:
            self.rules.add("compressed data")
        if self.rules:
            raise Violation(min(self.rules))

    def _inflated(self, payload, ending):
        for byte in payload:
            yield self._inflate.byte(byte)
        if ending:
            yield from self._inflate.end()

    def _append(self, piece):
        opcode, before = self.unfinished
        self.unfinished = (opcode, before + piece)
        limit = self._settings.message_size
        if limit is not None and len(before) + len(piece) > limit:
            raise Violation("message size")
        if opcode == 1 and not all(map(self._utf8.byte, piece)):
            raise Violation("UTF-8")

    def _end_message(self):
        opcode, _ = self.unfinished
        if opcode == 1 and not self._utf8.complete():
            raise Violation("UTF-8")
        if self._inflate is not None and self._settings.takeover:
            self._window = self._inflate.window
        self.messages.append(self.unfinished)
        self.unfinished = None

    def _control(self, opcode, payload):
        # RFC 6455, section 5.5.
        if opcode == 9:
            self.pings.append(payload)
        elif opcode == 10:
            self.pongs.append(payload)
        elif not payload:
            self.close = (1005, "")
        elif len(payload) == 1:
            raise Violation("close payload")
        else:
            code = int.from_bytes(payload[:2], "big")
            if code not in _LEGAL_CLOSE_CODES:
                raise Violation("close code")
            try:
                self.close = (code, payload[2:].decode())
            except UnicodeDecodeError:
                raise Violation("UTF-8") from None
