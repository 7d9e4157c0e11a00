"""Collects the head of a request or a response, bounded and strict, one line after another.

Theory of operation. A head is everything up to its first empty line. Bytes are appended to one
buffer, never more than ``Limits.handshake_size`` of them, and each byte is looked at once: the
search for a line's end goes on where it stopped. A line is judged as soon as it is complete, so
what is malformed is refused before the rest arrives, and a parser that is more lenient never
sees it. This file knows lines and bytes; it does not know what the headers mean.

Most heads come in one piece and have nothing wrong. One pattern, made of those for the lines, says so
of the whole; what it does not match, and all that it cannot judge, goes the way of the lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from anyws.errors import InvalidHandshake

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyws.limits import Limits

__all__ = ["REQUEST_HEAD", "RESPONSE_HEAD", "HeadCollector", "HeadRules"]

_TCHAR = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
_FIELD = re.compile(rb"([" + _TCHAR + rb"]++):[\t ]*+([\t\x20-\x7e\x80-\xff]*+)")
_TOKEN_START = re.compile(rb"[" + _TCHAR + rb"]")
_REQUEST_LINE = re.compile(rb"[" + _TCHAR + rb"]++ [\x21-\x7e]++ HTTP/([0-9]\.[0-9])")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [0-9]{3}(?: [\t\x20-\x7e\x80-\xff]*+)?")
# What follows the first line, when each line matches _FIELD.
_FIELDS = rb"\r\n(?:[" + _TCHAR + rb"]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n"
_REQUEST = re.compile(rb"[" + _TCHAR + rb"]++ [\x21-\x7e]++ HTTP/1\.1" + _FIELDS)
_RESPONSE = re.compile(_STATUS_LINE.pattern + _FIELDS)
# The names in a head that one of these has matched.
_NAMES = re.compile(rb"\n([^:\r]++):")
# int() would also take "+0" and "0_0"; 18 digits are more than any body has.
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}[\t ]*+")


class HeadRules(NamedTuple):
    """What differs between the head of a request and the head of a response.

    Args:
        whole: matches a head without a mistake in its lines.
        start: judges the first line.
        first: matches the first byte of the first line.
        once: the headers, in lower case, that may come once only.
        long_start: the status for a first line that is too long.
    """

    whole: re.Pattern[bytes]
    start: Callable[[bytes], None]
    first: re.Pattern[bytes]
    once: frozenset[bytes]
    long_start: int


class HeadCollector:
    """Takes bytes until a head is complete, and refuses one that is malformed or too big.

    Args:
        rules: ``REQUEST_HEAD`` or ``RESPONSE_HEAD``.
        limits: the bounds; memory never grows past ``limits.handshake_size``.
    """

    def __init__(self, rules: HeadRules, limits: Limits) -> None:
        self._rules = rules
        self._limits = limits
        self._buffer = bytearray()
        self._line = 0
        self._seen = 0
        self._lines = 0
        self._names: set[bytes] = set()
        self._finished = False
        #: What came after the head.
        self.leftover = b""

    @property
    def empty(self) -> bool:
        """Whether not a single byte has arrived."""
        return not (self._buffer or self._finished)

    def receive_data(self, data: bytes) -> bytes | None:
        """Take what has arrived; return the head with its empty line once it is complete.

        Raises:
            InvalidHandshake: the head is malformed (status 400, or 505 for another version of
                HTTP), its first line is too long (414 for a request), or it has too many
                bytes or header lines (431).
            RuntimeError: the head was complete or refused before.
        """
        if self._finished:
            raise RuntimeError("this head is complete or refused; nothing more can be added to it")
        self._finished = True
        head = None if self._buffer else self._take_whole(data)
        if head is None:
            head = self._collect(data)
            self._finished = head is not None
        return head

    def _take_whole(self, data: bytes) -> bytes | None:
        """Return the head that ``data`` begins with, unless there may be something to refuse."""
        size = data.find(b"\r\n\r\n") + 4
        limits = self._limits
        # No line of a head is longer than the head.
        if not 4 <= size <= min(limits.handshake_size, limits.handshake_line):
            return None
        head = data[:size]
        if head.count(b"\n") - 2 > limits.handshake_headers or not self._rules.whole.fullmatch(
            head
        ):
            return None
        names = _NAMES.findall(head.lower())
        if b"content-length" in names or len(set(names)) < len(names):
            return None
        self.leftover = data[size:]
        return head

    def _collect(self, data: bytes) -> bytes | None:
        held = len(self._buffer)
        room = self._limits.handshake_size - held
        self._buffer += data[:room]
        if self._buffer and not self._rules.first.match(self._buffer):
            raise InvalidHandshake("this does not begin like HTTP/1.1; is it TLS or HTTP/2?")
        while (end := self._buffer.find(b"\n", self._seen)) >= 0:
            self._check_length(end - self._line - 1)
            line = bytes(self._buffer[self._line : end])
            self._seen = self._line = end + 1
            if self._end_line(line):
                self.leftover = bytes(data[end + 1 - held :])
                return bytes(self._buffer[: end + 1])
        self._seen = len(self._buffer)
        # The last byte may be the CR of the line's end.
        self._check_length(self._seen - self._line - 1)
        if len(data) > room:
            raise InvalidHandshake(
                f"the headers take more than {self._limits.handshake_size} bytes", status=431
            )
        return None

    def _check_length(self, length: int) -> None:
        if length <= self._limits.handshake_line:
            return
        status = 431 if self._lines else self._rules.long_start
        raise InvalidHandshake(
            f"a line of the head is longer than {self._limits.handshake_line} bytes", status
        )

    def _end_line(self, line: bytes) -> bool:
        if not line.endswith(b"\r"):
            raise InvalidHandshake("a line ends with a bare LF; it must be CRLF")
        line = line[:-1]
        self._lines += 1
        if self._lines == 1:
            self._rules.start(line)
            return False
        if not line:
            return True
        if self._lines > self._limits.handshake_headers + 1:
            raise InvalidHandshake(
                f"there are more than {self._limits.handshake_headers} header lines", status=431
            )
        self._check_field(line)
        return False

    def _check_field(self, line: bytes) -> None:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise InvalidHandshake(_explain(line))
        name = match[1].lower()
        if name in self._rules.once and name in self._names:
            raise InvalidHandshake(f"the header {name.decode()} comes more than once")
        self._names.add(name)
        if name == b"content-length" and not _CONTENT_LENGTH.fullmatch(match[2]):
            raise InvalidHandshake("Content-Length is not a number")


def _explain(line: bytes) -> str:
    """Say what is wrong with a header line, without repeating its bytes."""
    if line[:1] in {b" ", b"\t"}:
        return "a header is folded over two lines, which RFC 9112 forbids"
    if b"\r" in line:
        return "a header holds a bare CR"
    name, colon, _ = line.partition(b":")
    if not colon:
        return "a header line has no colon"
    if name.endswith((b" ", b"\t")):
        return "there is a space between a header's name and its colon"
    if not _FIELD.fullmatch(name + b":"):
        return "the name of a header is not a token"
    return "the value of a header holds a control character"


def _check_request_line(line: bytes) -> None:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise InvalidHandshake("the request line is malformed; expected GET /path HTTP/1.1")
    # RFC 6455, section 4.1, asks for "at least 1.1", of which there is none beside 1.1 that
    # has this syntax; a server and a proxy that disagree about it can be played off.
    if match[1] != b"1.1":
        raise InvalidHandshake("only HTTP/1.1 is spoken here", status=505)


def _check_status_line(line: bytes) -> None:
    if not _STATUS_LINE.fullmatch(line):
        raise InvalidHandshake("the answer does not begin with a status line of HTTP/1.1")


REQUEST_HEAD = HeadRules(
    whole=_REQUEST,
    start=_check_request_line,
    first=_TOKEN_START,
    once=frozenset({
        b"content-length",
        b"host",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"transfer-encoding",
    }),
    long_start=414,
)  # fmt: skip

RESPONSE_HEAD = HeadRules(
    whole=_RESPONSE,
    start=_check_status_line,
    first=re.compile(b"H"),
    once=frozenset({b"content-length", b"sec-websocket-accept", b"transfer-encoding"}),
    long_start=431,
)
