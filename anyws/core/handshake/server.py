"""The server's side of the opening handshake (RFC 6455, section 4.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from anyws.core.deflate import EXTENSION_NAME
from anyws.core.handshake.headers import (
    ExtensionList,
    HeadersLike,
    build_extensions,
    parse_extensions,
    parse_token_list,
    plain,
)
from anyws.core.handshake.http import RequestReader
from anyws.core.handshake.origins import Origins, check_origin, check_origins_argument
from anyws.core.handshake.request import Request
from anyws.core.handshake.response import Response, switching_protocols
from anyws.core.handshake.upgrade import (
    Acceptance,
    accept_value,
    added_headers,
    checked_subprotocols,
    names_protocol,
)
from anyws.errors import InvalidHandshake

if TYPE_CHECKING:
    from anyws.core.deflate import Deflate, DeflateParameters
    from anyws.limits import Limits

__all__ = ["SelectSubprotocol", "ServerHandshake", "error_response"]

#: Chooses a subprotocol from those the client offers, or ``None`` for none.
SelectSubprotocol = Callable[[Request, Sequence[str]], str | None]

# 16 bytes in base64, the unused bits of the last digit being zero (RFC 4648, section 3.5).
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")

_SWITCHING = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

# What a status must bring along: RFC 9110, sections 15.5.6 and 15.5.22; RFC 6455, section 4.4.
_EXPLAINING_HEADERS = {
    405: (("Allow", "GET"),),
    426: (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
}


class _Offer(NamedTuple):
    """What a checked upgrade request brings."""

    request: Request
    key: str
    subprotocols: list[str]
    extensions: ExtensionList


class ServerHandshake:
    """Answers one request: reads it, checks it, then accepts or rejects it.

    Every request that is sound HTTP/1.1 comes out of ``receive_data``, with or without an
    upgrade, so that an application may answer it with a page; ``check_upgrade`` then says
    whether it opens a WebSocket. After a rejection the connection must be closed, and what
    follows the request must not be read (``Connection: close`` says so to proxies).

    Args:
        limits: the bounds of the request.
        subprotocols: in the server's order of preference: the first one that the client
            offers is chosen. With none in common the connection has no subprotocol.
        select_subprotocol: chooses instead, from the names that the client offers (none,
            maybe); it may raise ``InvalidHandshake`` to refuse.
        compression: how to answer offers of permessage-deflate; ``None`` declines them.
        origins: which web pages may connect; see ``origins.check_origin``.
        secure: whether the request comes over TLS. Kept for the application's use; the rule
            for origins does not depend on it, since proxies end TLS.

    Raises:
        TypeError: ``subprotocols`` or ``origins`` is a single string or holds other types.
        ValueError: a subprotocol is not a token or is listed twice.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        subprotocols: Sequence[str] = (),
        select_subprotocol: SelectSubprotocol | None = None,
        compression: Deflate | None = None,
        origins: Origins = None,
        secure: bool = False,
    ) -> None:
        check_origins_argument(origins)
        self.secure = secure
        self._reader = RequestReader(limits)
        self._subprotocols = checked_subprotocols(subprotocols)
        self._select = select_subprotocol
        self._compression = compression
        self._origins = origins
        self._request: Request | None = None
        self._offer: _Offer | None = None

    @property
    def request(self) -> Request:
        """The request, once ``receive_data`` has returned it."""
        if self._request is None:
            raise RuntimeError("the request has not come yet")
        return self._request

    @property
    def leftover(self) -> bytes:
        """What came after the request: the first frames, if it is accepted."""
        return self._reader.leftover

    def receive_data(self, data: bytes) -> Request | None:
        """Take what has arrived; return the request once its head is complete.

        Raises:
            InvalidHandshake: it is malformed or too big; ``error_response`` makes the answer.
            RuntimeError: the request was complete or refused before.
        """
        self._request = self._reader.receive_data(data)
        return self._request

    def receive_eof(self) -> NoReturn:
        """The client has gone before its request was complete.

        Raises:
            InvalidHandshake: always.
        """
        self._reader.receive_eof()

    def check_upgrade(self, request: Request) -> None:
        """Check that a request opens a WebSocket, and may (RFC 6455, section 4.2.1).

        Raises:
            InvalidHandshake: with the status to answer: 405 for a method other than GET, 426
                for no WebSocket of version 13, 403 for an origin that may not connect, 400
                for the rest.
        """
        values = self._reader.values if request is self._request else request.headers._values()
        if request.method != "GET":
            raise InvalidHandshake("a WebSocket is opened with the method GET", status=405)
        if not names_protocol(values.get("upgrade", ()), "websocket"):
            raise InvalidHandshake(
                "this address speaks WebSocket only; the request needs the header"
                " Upgrade: websocket",
                status=426,
            )
        tokens = parse_token_list(values.get("connection", ()))
        if "upgrade" not in map(str.lower, tokens):
            raise InvalidHandshake("the request needs the header Connection: Upgrade")
        if "transfer-encoding" in values or values.get("content-length", ["0"]) != ["0"]:
            raise InvalidHandshake("a request that opens a WebSocket has no body")
        if values.get("sec-websocket-version") != ["13"]:
            raise InvalidHandshake(
                "only version 13 of the WebSocket protocol is spoken here", status=426
            )
        key = ", ".join(values.get("sec-websocket-key", ()))
        if not _KEY.fullmatch(key):
            raise InvalidHandshake("Sec-WebSocket-Key must be 16 bytes in base64")
        # Names may come more than once here; the first place counts.
        offered: list[str] = []
        extensions: ExtensionList = []
        if "sec-websocket-protocol" in values:
            offered = list(dict.fromkeys(parse_token_list(values["sec-websocket-protocol"])))
        if "sec-websocket-extensions" in values:
            extensions = parse_extensions(values["sec-websocket-extensions"])
        if self._origins is not None or "origin" in values:
            check_origin(request, self._origins)
        self._offer = _Offer(request, key, offered, extensions)

    def accept(self, request: Request, headers: HeadersLike = ()) -> Acceptance:
        """Agree to the upgrade (RFC 6455, section 4.2.2).

        Args:
            request: the request; it is checked now unless ``check_upgrade`` has seen it.
            headers: what to add to the response, such as ``Set-Cookie``.

        Raises:
            InvalidHandshake: as ``check_upgrade`` does, or from ``select_subprotocol``.
            ValueError: a header is malformed or belongs to the handshake, or
                ``select_subprotocol`` chose what the client does not offer.
        """
        added = added_headers(headers) if headers else None
        if self._offer is None or self._offer.request is not request:
            self.check_upgrade(request)
        offer = self._offer
        assert offer is not None
        subprotocol = self._choose(offer)
        # Each value is made here, or is a token that was checked, and so are the headers added.
        lines = f"{_SWITCHING}{accept_value(offer.key)}\r\n"
        if subprotocol is not None:
            lines += f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
        extension, deflate = self._negotiate(offer)
        if extension is not None:
            lines += f"Sec-WebSocket-Extensions: {extension}\r\n"
        if added is not None:
            lines += added._lines
        response, data = switching_protocols(lines)
        return Acceptance(response, data, subprotocol, deflate)

    def reject(self, response: Response) -> bytes:
        """The bytes that answer the request without an upgrade; close the connection after them.

        Raises:
            ValueError: the status of the response is below 200, or it has a Transfer-Encoding.
        """
        if response.status < 200:
            raise ValueError(f"a request is not answered with status {response.status}")
        head_only = self._request is not None and self._request.method == "HEAD"
        return response.serialize(head_only=head_only)

    def _choose(self, offer: _Offer) -> str | None:
        if self._select is None:
            common = (name for name in self._subprotocols if name in offer.subprotocols)
            return next(common, None)
        chosen = self._select(offer.request, tuple(offer.subprotocols))
        if chosen is not None and chosen not in offer.subprotocols:
            raise ValueError(
                f"select_subprotocol chose {chosen!r}, which the client does not offer"
            )
        # The client's own characters, whatever kind of string was chosen.
        return None if chosen is None else plain(chosen)

    def _negotiate(self, offer: _Offer) -> tuple[str | None, DeflateParameters | None]:
        """Take the first offer that suits (RFC 7692, section 5)."""
        if self._compression is not None:
            for name, parameters in offer.extensions:
                if name != EXTENSION_NAME:
                    continue
                if (agreed := self._compression.accept(parameters)) is not None:
                    return build_extensions([(name, agreed[0])]), agreed[1]
        return None, None


def error_response(error: InvalidHandshake) -> Response:
    """The answer to a request that was refused: its status, and the reason in plain text."""
    # Messages are ours, but a backslash is a small price for never repeating a raw byte.
    body = str(error).encode("ascii", "backslashreplace") + b".\n"
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        *_EXPLAINING_HEADERS.get(error.status, ()),
    )
    return Response(error.status, headers, body)
