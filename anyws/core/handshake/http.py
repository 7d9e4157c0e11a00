"""Requests and responses, and the readers that make them from bytes. Only this file knows h11.

A head passes two gates: ``head.HeadCollector`` bounds it and refuses what must not be tolerated,
then h11 parses it. In a request only the head is read: nothing here takes a body from a client.
"""

from __future__ import annotations

import http
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote

import h11

from anyws.core.handshake.head import REQUEST_HEAD, RESPONSE_HEAD, HeadCollector
from anyws.core.handshake.headers import Headers, HeadersLike, check_token, parse_cookies
from anyws.core.handshake.uri import split_authority
from anyws.errors import InvalidHandshake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyws.limits import Limits

__all__ = ["Request", "RequestReader", "Response", "ResponseReader", "switching_protocols"]

_TARGET = re.compile(r"[\x21-\x7e]+")
_ABSOLUTE = re.compile(r"(?:https?|wss?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_REASON = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# Informational answers before the real one; more of them than this is an attempt to stall.
_INTERIM_RESPONSES = 10


@dataclass(frozen=True, slots=True)
class Request:
    """The head of an HTTP/1.1 request.

    Args:
        method: the method, such as ``GET``.
        target: the request target as it stands in the request line, percent-encoded.
        headers: the header fields.

    Raises:
        ValueError: the method is not a token, or the target holds whitespace, control
            characters or characters outside ASCII (RFC 9112, section 3).
    """

    method: str
    target: str
    headers: Headers = field(default_factory=Headers)

    def __post_init__(self) -> None:
        check_token(self.method, "a request's method")
        if not _TARGET.fullmatch(self.target):
            raise ValueError(f"a request's target must be visible ASCII, not {self.target!r}")

    @property
    def path(self) -> str:
        """The path, percent-decoded as UTF-8 and without the query.

        It comes from the peer and may hold any character: use ``repr()`` to log it.
        """
        return unquote(self._resource.partition("?")[0]) or "/"

    @property
    def query(self) -> str:
        """What follows the first ``?``, not decoded; an empty string when there is none."""
        return self._resource.partition("?")[2]

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name, values as they were sent (RFC 6265, section 5.4)."""
        return parse_cookies(self.headers.get_all("Cookie"))

    @property
    def origin(self) -> str | None:
        """The ``Origin`` header, or ``None``, which says what page opened the connection (RFC 6454)."""
        return self.headers.get("Origin")

    @property
    def host(self) -> str:
        """The ``Host`` header, name and port under which the client knows the server (RFC 9110, 7.2)."""
        return self.headers.get("Host", "")

    def serialize(self) -> bytes:
        """The request as it goes over the wire."""
        line = f"{self.method} {self.target} HTTP/1.1\r\n".encode("ascii")
        return line + self.headers.serialize() + b"\r\n"

    @property
    def _resource(self) -> str:
        match = _ABSOLUTE.fullmatch(self.target)
        return match[2] if match else self.target


@dataclass(frozen=True, slots=True, init=False)
class Response:
    """An HTTP/1.1 response; ``process_request`` returns one to answer instead of upgrading.

    Args:
        status: the status code, from 100 to 999.
        headers: a mapping or pairs. ``Content-Length`` and ``Connection`` are written by
            ``serialize``.
        body: bytes, or text that goes as UTF-8 with the content type ``text/plain`` unless
            ``headers`` names another.
        reason: the reason phrase; ``None`` takes the one that belongs to the status.

    Raises:
        ValueError: the status is out of range, it allows no body but there is one, the reason
            holds a control character or is not Latin-1, or a header is malformed.
    """

    status: int
    headers: Headers
    body: bytes
    reason: str

    def __init__(
        self,
        status: int,
        headers: HeadersLike = (),
        body: bytes | str = b"",
        reason: str | None = None,
    ) -> None:
        status = int(status)
        if not 100 <= status <= 999:
            raise ValueError(f"an HTTP status is a number from 100 to 999, not {status}")
        fields = Headers(headers)
        if isinstance(body, str):
            body = body.encode()
            if "Content-Type" not in fields:
                fields = Headers((*fields.raw, ("Content-Type", "text/plain; charset=utf-8")))
        if body and not _allows_body(status):
            raise ValueError(f"a response with status {status} has no body")
        reason = _default_reason(status) if reason is None else reason
        if not _REASON.fullmatch(reason):
            raise ValueError(f"the reason phrase holds what HTTP does not allow: {reason!r}")
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "headers", fields)
        object.__setattr__(self, "body", bytes(body))
        object.__setattr__(self, "reason", reason)

    def serialize(self, *, head_only: bool = False) -> bytes:
        """The response as it goes over the wire.

        A final response gets its ``Content-Length`` and ``Connection: close``, whatever its
        headers say about them: this server reads one request from a connection.

        Args:
            head_only: leave the body out, as the answer to ``HEAD`` does (RFC 9110, section 9.3.2).

        Raises:
            ValueError: there is a ``Transfer-Encoding`` header (RFC 9112, section 6.1).
        """
        headers = self.headers
        if "Transfer-Encoding" in headers:
            raise ValueError("a response goes out whole, without a Transfer-Encoding")
        if self.status >= 200:
            ours = {"connection", "content-length"}
            pairs = [pair for pair in headers.raw if pair[0].lower() not in ours]
            if _allows_body(self.status):
                pairs.append(("Content-Length", str(len(self.body))))
            pairs.append(("Connection", "close"))
            if "Upgrade" in headers:
                # RFC 9110, section 7.8: the field needs its connection option.
                pairs.append(("Connection", "upgrade"))
            headers = Headers(pairs)
        line = f"HTTP/1.1 {self.status} {self.reason}\r\n".encode("latin-1")
        return line + headers.serialize() + b"\r\n" + (b"" if head_only else self.body)


def switching_protocols(lines: str) -> tuple[Response, bytes]:
    """Return the response 101 with these header lines, and its bytes.

    Args:
        lines: lines ``Name: value``, each with its CRLF, which were checked before.
    """
    response = Response.__new__(Response)
    object.__setattr__(response, "status", 101)
    object.__setattr__(response, "headers", Headers._of_lines(lines))
    object.__setattr__(response, "body", b"")
    object.__setattr__(response, "reason", "Switching Protocols")
    return response, f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("latin-1")


def _allows_body(status: int) -> bool:
    """RFC 9110, section 6.4.1."""
    return status >= 200 and status not in {204, 304}


def _default_reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


class RequestReader:
    """Reads the head of one request and nothing beyond.

    Args:
        limits: the bounds of the head.
    """

    def __init__(self, limits: Limits) -> None:
        #: The values of the request's headers by name in lower case, once it is complete.
        self.values: dict[str, list[str]] = {}
        self._head = HeadCollector(REQUEST_HEAD, limits)
        self._size = limits.handshake_size

    @property
    def leftover(self) -> bytes:
        """What came after the head."""
        return self._head.leftover

    def receive_data(self, data: bytes) -> Request | None:
        """Take what has arrived; return the request once its head is complete.

        Raises:
            InvalidHandshake: it is malformed, too big, or not HTTP/1.1; ``status`` says how to
                answer. Nothing else is ever raised by what a peer sends.
            RuntimeError: the head was complete or refused before.
        """
        head = self._head.receive_data(data)
        if head is None:
            return None
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._size)
        event = _next_event(parser, head)
        assert isinstance(event, h11.Request)
        # Method and target have passed the line's pattern in HeadCollector and those of h11.
        request = Request.__new__(Request)
        object.__setattr__(request, "method", event.method.decode("ascii"))
        object.__setattr__(request, "target", event.target.decode("ascii"))
        object.__setattr__(request, "headers", _headers(event))
        self.values = request.headers._values()
        _check_target(request, self.values["host"][0])
        return request

    def receive_eof(self) -> NoReturn:
        """The client has gone before its request was complete.

        Raises:
            InvalidHandshake: always.
        """
        if self._head.empty:
            raise InvalidHandshake("the connection was closed before a request came")
        raise InvalidHandshake("the connection was closed in the middle of the request")


class ResponseReader:
    """Reads the answer to one upgrade request: a 101, or another final response with its body.

    Interim answers (100, 103 and the like) are skipped, ten at most. Of a body no more than
    ``limits.handshake_size`` bytes are kept; it ends there, at its own end, or where it breaks.

    Args:
        limits: the bounds of each head and of the body.
        connect: whether it answers a CONNECT, after whose 2xx a tunnel follows and no body.
    """

    def __init__(self, limits: Limits, *, connect: bool = False) -> None:
        self._limits = limits
        self._connect = connect
        self._head = HeadCollector(RESPONSE_HEAD, limits)
        self._interim = 0
        self._final: h11.Response | None = None
        self._body = bytearray()
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.handshake_size)
        # h11 reads an answer only to a request that it has seen.
        upgrade = [("Host", "h"), ("Connection", "upgrade"), ("Upgrade", "websocket")]
        request = h11.Request(
            method="CONNECT" if connect else "GET",
            target="h:1" if connect else "/",
            headers=upgrade[: 1 if connect else 3],
        )
        self._parser.send(request)
        self._parser.send(h11.EndOfMessage())

    @property
    def leftover(self) -> bytes:
        """What came after the head of a 101, or of a tunnel's 2xx."""
        return self._head.leftover

    def receive_data(self, data: bytes) -> Response | None:
        """Take what has arrived; return the response once it is complete.

        Raises:
            InvalidHandshake: the head is malformed or too big, there are too many interim
                answers, or a 101 does not come as HTTP/1.1.
            RuntimeError: the head of a 101 was complete or a head refused before.
        """
        while self._final is None:
            head = self._head.receive_data(data)
            if head is None:
                return None
            response = self._end_head(head)
            if response is not None:
                return response
            data = self._head.leftover
            self._head = HeadCollector(RESPONSE_HEAD, self._limits)
        # To h11 an empty piece is the end of the stream.
        return self._read_body(data or None)

    @property
    def empty(self) -> bool:
        """Whether not a byte has come."""
        return self._final is None and self._head.empty

    def receive_eof(self) -> Response:
        """Take the end of the stream; return the response if its head was complete.

        Raises:
            InvalidHandshake: the stream ended before or in the head.
        """
        if self._final is not None:
            return self._read_body(b"") or self._response(self._final)
        if self._head.empty:
            raise InvalidHandshake("the server closed the connection without an answer")
        raise InvalidHandshake("the server closed the connection in the middle of its answer")

    def _end_head(self, head: bytes) -> Response | None:
        event = _next_event(self._parser, head)
        if isinstance(event, h11.Response):
            if self._connect and 200 <= event.status_code < 300:
                return self._response(event)
            self._final = event
            return None
        assert isinstance(event, h11.InformationalResponse)
        if event.status_code == 101:
            if event.http_version != b"1.1":
                raise InvalidHandshake("a server that upgrades must speak HTTP/1.1")
            return self._response(event)
        self._interim += 1
        if self._interim > _INTERIM_RESPONSES:
            raise InvalidHandshake("too many interim answers came before the final one")
        return None

    def _read_body(self, data: bytes | None) -> Response | None:
        assert self._final is not None
        try:
            if data is not None:
                self._parser.receive_data(data)
            while (event := self._parser.next_event()) is not h11.NEED_DATA:
                if not isinstance(event, h11.Data):
                    return self._response(self._final)
                room = self._limits.handshake_size - len(self._body)
                self._body += event.data[:room]
                if len(event.data) >= room:
                    return self._response(self._final)
        except h11.RemoteProtocolError:
            # The status is what matters; a body that breaks off takes nothing away from it.
            return self._response(self._final)
        return None

    def _response(self, event: h11.Response | h11.InformationalResponse) -> Response:
        return Response(
            event.status_code, _headers(event), bytes(self._body), event.reason.decode("latin-1")
        )


def _next_event(parser: h11.Connection, head: bytes) -> object:
    try:
        parser.receive_data(head)
        return parser.next_event()
    except h11.RemoteProtocolError as error:
        # The text of h11 may quote the peer's bytes, which must not be repeated. After the gate
        # of HeadCollector these are what is left to object to.
        if "Host" in str(error):
            raise InvalidHandshake("the Host header is missing") from None
        raise InvalidHandshake(
            "the status, or how the length of the body is given, is not valid"
        ) from None


def _headers(event: h11.Request | h11.Response | h11.InformationalResponse) -> Headers:
    # A constructed event may hold a plain list; the parser always makes h11's own type.
    raw = event.headers.raw_items()  # type: ignore[attr-defined,unused-ignore]
    # HeadCollector has matched each line with the patterns that Headers checks names and values with, and
    # h11 has taken spaces and tabs off the values, so that they need no second check.
    return Headers._of_lines(b"".join([b"%b: %b\r\n" % pair for pair in raw]).decode("latin-1"))


def _check_target(request: Request, host_header: str) -> None:
    """RFC 9112, section 3.2: one valid Host, and a target of a form that names a resource."""
    host = split_authority(host_header)
    if host is None:
        raise InvalidHandshake("the Host header is not a valid host and port")
    if request.target.startswith("/") and "#" not in request.target:
        return
    if request.target == "*" and request.method == "OPTIONS":
        return
    match = _ABSOLUTE.fullmatch(request.target)
    if match is None or split_authority(match[1]) != host:
        raise InvalidHandshake("the request target must be a path on the host of the Host header")
