"""HTTP/1.1 heads, in and out; the one file that knows h11.

h11 accepts what RFC 9112 lets a recipient repair: bare line feeds, folded lines, other versions. Two programs
that repair differently can be played off against each other, so ``_Head`` refuses all that
before h11 sees it, and bounds size and number of the lines as they come.
"""

from __future__ import annotations

import http
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

import h11

from anyws.core.handshake.headers import Headers, parse_cookies
from anyws.errors import InvalidHandshake

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anyws.limits import Limits

__all__ = ["Request", "RequestReader", "Response", "ResponseReader"]

_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FOLDED = re.compile(rb"\r\n[ \t]")
#: Bytes of a refusal's body that a client reads.
_BODY_LIMIT = 16384
#: Answers such as 103 Early Hints that a client skips before the real one.
_INFORMATIONAL_LIMIT = 10


@dataclass(frozen=True)
class Request:
    """The opening handshake's request.

    Attributes:
        method: ``"GET"``.
        target: path and query as they were sent.
        headers: the header fields.
    """

    method: str
    target: str
    headers: Headers

    @property
    def path(self) -> str:
        """The path, percent-decoded, without the query."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        """What follows the question mark, as it was sent."""
        return self.target.partition("?")[2]

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name."""
        return parse_cookies(self.headers.get_all("cookie"))

    @property
    def origin(self) -> str | None:
        """The ``Origin`` header: the site of the page that connects, in a browser."""
        return self.headers.get("origin")

    def serialize(self) -> bytes:
        """Return the request's head as bytes."""
        return _serialize_head(f"{self.method} {self.target} HTTP/1.1", self.headers)


@dataclass(frozen=True)
class Response:
    """An HTTP answer: what ``process_request`` may return, or what a server sent.

    Args:
        status: such as 200 or 404.
        headers: header fields, a mapping or pairs.
        body: ``str`` goes as UTF-8 text, ``bytes`` as they are.
        reason: the phrase behind the status; the usual one if ``None``.

    Raises:
        ValueError: a header, the status or the reason cannot be sent.
    """

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    reason: str | None = None

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: str | bytes = b"",
        reason: str | None = None,
    ) -> None:
        if not 100 <= status <= 599:
            raise ValueError(f"{status} is not an HTTP status")
        pairs = list(Headers(headers).raw)
        if isinstance(body, str):
            body = body.encode()
            if not any(name.lower() == "content-type" for name, _ in pairs):
                pairs.append(("Content-Type", "text/plain; charset=utf-8"))
        if reason is None:
            try:
                reason = http.HTTPStatus(status).phrase
            except ValueError:
                reason = ""
        if not reason.isascii() or _CONTROL.search(reason.encode()) or "\r" in reason or "\n" in reason:
            raise ValueError(f"{reason!r} cannot be sent as a reason phrase")
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "headers", Headers(pairs))
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "reason", reason)

    def serialize(self, *, head_only: bool = False) -> bytes:
        """Return the answer as bytes; all but 101 announce that the connection ends with it."""
        pairs = list(self.headers.raw)
        if self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            pairs = [pair for pair in pairs if pair[0].lower() not in ("content-length", "connection")]
            pairs += [("Content-Length", str(len(self.body))), ("Connection", "close")]
        return _serialize_head(f"HTTP/1.1 {self.status} {self.reason}", Headers(pairs)) + (b"" if head_only else self.body)


def _serialize_head(first_line: str, headers: Headers) -> bytes:
    lines = [first_line] + [f"{name}: {value}" for name, value in headers.raw]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class _Head:
    """Collects the bytes of one head, within the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._data = bytearray()
        self._line_start = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take ``data``; return the head and what follows it, once the head is complete.

        Raises:
            InvalidHandshake: a limit is exceeded, or the bytes are not a head.
        """
        before = len(self._data)
        room = self._limits.handshake_size - before
        self._data += data[:room]
        end = self._data.find(b"\r\n\r\n", max(0, before - 3))
        complete = end >= 0
        stop = end + 4 if complete else len(self._data)
        if _BARE_LF.search(self._data, before, stop):
            raise InvalidHandshake("a line ends with LF instead of CRLF")
        newline = self._data.rfind(b"\n", before, stop)
        if newline >= 0:
            self._line_start = newline + 1
        if complete:
            head = bytes(self._data[:stop])
            self._check(head)
            return head, bytes(self._data[stop:]) + data[room:]
        if stop - self._line_start > self._limits.handshake_line:
            raise self._too_long_line()
        if len(data) > room:
            raise InvalidHandshake("the header is too large", 431)
        return None

    def _too_long_line(self) -> InvalidHandshake:
        if b"\n" not in self._data:
            return InvalidHandshake("the first line is too long", 414)
        return InvalidHandshake("a header line is too long", 431)

    def _check(self, head: bytes) -> None:
        if _CONTROL.search(head) or _BARE_CR.search(head):
            raise InvalidHandshake("the header contains a control character")
        if _FOLDED.search(head):
            raise InvalidHandshake("a header field is folded over several lines")
        lines = head[:-4].split(b"\r\n")
        if len(lines[0]) > self._limits.handshake_line:
            raise InvalidHandshake("the first line is too long", 414)
        if any(len(line) > self._limits.handshake_line for line in lines):
            raise InvalidHandshake("a header line is too long", 431)
        if len(lines) - 1 > self._limits.handshake_headers:
            raise InvalidHandshake("there are too many header fields", 431)


def _headers(event: h11.Request | h11.Response | h11.InformationalResponse) -> Headers:
    fields = event.headers.raw_items()  # type: ignore[attr-defined]
    return Headers([(name.decode("ascii"), value.decode("latin-1")) for name, value in fields])


class RequestReader:
    """Reads the head of one request."""

    def __init__(self, limits: Limits) -> None:
        self._head = _Head(limits)
        self._size = limits.handshake_size
        #: What came behind the head.
        self.leftover = b""

    def receive_data(self, data: bytes) -> Request | None:
        """Take ``data``; return the request once it is complete.

        Raises:
            InvalidHandshake: it is not HTTP/1.1, or too large.
        """
        complete = self._head.feed(data)
        if complete is None:
            return None
        head, self.leftover = complete
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=self._size)
        version = head.partition(b"\r\n")[0].rpartition(b" ")[2]
        if re.fullmatch(rb"HTTP/\d+(\.\d+)?", version) and version != b"HTTP/1.1":
            raise InvalidHandshake("the request is not HTTP/1.1", 505)
        try:
            connection.receive_data(head)
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise InvalidHandshake(f"the request is malformed: {error}") from None
        if not isinstance(event, h11.Request):
            raise InvalidHandshake("the request is malformed")
        return Request(event.method.decode("ascii"), event.target.decode("ascii"), _headers(event))

    def receive_eof(self) -> None:
        """Note that the client is gone."""
        raise InvalidHandshake("the connection ended before the request did")


class ResponseReader:
    """Reads the answer to ``request``: all of its head, and the beginning of a refusal's body."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._head = _Head(limits)
        self._connection = h11.Connection(
            h11.CLIENT, max_incomplete_event_size=limits.handshake_size
        )
        self._connection.send(
            h11.Request(
                method="GET",
                target="/",
                headers=[("Host", "x"), ("Upgrade", "websocket"), ("Connection", "Upgrade")],
            )
        )
        self._skipped = 0
        self._refusal: Response | None = None
        self._body = bytearray()
        #: What came behind the head.
        self.leftover = b""

    def receive_data(self, data: bytes) -> Response | None:
        """Take ``data``; return the response once it is complete.

        Raises:
            InvalidHandshake: it is not HTTP/1.1, or too large.
        """
        while self._refusal is None:
            complete = self._head.feed(data)
            if complete is None:
                return None
            head, data = complete
            response = self._take_head(head)
            if response is not None:
                self.leftover = data
                return response
        return self._take_body(data)

    def receive_eof(self) -> Response:
        """Note the end of the stream; return the refusal whose body it ends.

        Raises:
            InvalidHandshake: the stream ended inside the head.
        """
        if self._refusal is None:
            raise InvalidHandshake("the connection ended before the response did")
        return self._finish()

    def _take_head(self, head: bytes) -> Response | None:
        if not head.startswith(b"HTTP/1.1 "):
            raise InvalidHandshake("the answer is not an HTTP/1.1 response")
        try:
            self._connection.receive_data(head)
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            raise InvalidHandshake(f"the response is malformed: {error}") from None
        if not isinstance(event, (h11.Response, h11.InformationalResponse)):
            raise InvalidHandshake("the response is malformed")
        status, reason = event.status_code, event.reason.decode("latin-1")
        printable = reason.encode("ascii", "replace").decode("ascii")
        response = Response(status, _headers(event).raw, reason=printable)
        if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            return response
        self._head = _Head(self._limits)
        if isinstance(event, h11.Response):
            self._refusal = response
            return None
        self._skipped += 1
        if self._skipped > _INFORMATIONAL_LIMIT:
            raise InvalidHandshake("the server sends only informational responses")
        return None

    def _take_body(self, data: bytes) -> Response | None:
        try:
            if data:
                self._connection.receive_data(data)
            while True:
                event = self._connection.next_event()
                if event is h11.NEED_DATA:
                    return None
                if not isinstance(event, h11.Data):
                    return self._finish()
                self._body += event.data
                if len(self._body) >= _BODY_LIMIT:
                    return self._finish()
        except h11.RemoteProtocolError:
            return self._finish()

    def _finish(self) -> Response:
        assert self._refusal is not None  # noqa: S101 - narrows the type
        refusal = self._refusal
        return Response(
            refusal.status, refusal.headers.raw, bytes(self._body[:_BODY_LIMIT]), refusal.reason
        )
