"""The readers that make requests and responses from bytes. Only this file knows h11.

A head passes two gates: ``head.HeadCollector`` bounds it and refuses what must not be tolerated,
then h11 parses it; for most requests httptools does, where it is installed (``request_parser``). In a
request only the head is read: nothing here takes a body from a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import h11

from anyws.core.handshake.head import REQUEST_HEAD, RESPONSE_HEAD, HeadCollector
from anyws.core.handshake.headers import Headers
from anyws.core.handshake.request import ABSOLUTE_TARGET, Request, parsed_request
from anyws.core.handshake.request_parser import parse_request
from anyws.core.handshake.response import Response
from anyws.core.handshake.uri import split_authority
from anyws.errors import InvalidHandshake

if TYPE_CHECKING:
    from anyws.limits import Limits

__all__ = ["RequestReader", "ResponseReader"]

# Informational answers before the real one; more of them than this is an attempt to stall.
_INTERIM_RESPONSES = 10


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
        request, self.values = parse_request(head) or self._parse(head)
        _check_target(request, self.values["host"][0])
        return request

    def _parse(self, head: bytes) -> tuple[Request, dict[str, list[str]]]:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._size)
        event = _next_event(parser, head)
        assert isinstance(event, h11.Request)
        # Method and target have passed the line's pattern in HeadCollector and those of h11.
        method, target = event.method.decode("ascii"), event.target.decode("ascii")
        request = parsed_request(method, target, _headers(event))
        return request, request.headers._values()

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

    @property
    def answered(self) -> bool:
        """Whether the head of the final answer has come, of whose body more is expected."""
        return self._final is not None

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
    match = ABSOLUTE_TARGET.fullmatch(request.target)
    if match is None or split_authority(match[1]) != host:
        raise InvalidHandshake("the request target must be a path on the host of the Host header")
