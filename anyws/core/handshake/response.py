"""A response: what a server answers, as the application makes it or sees it."""

from __future__ import annotations

import http
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyws.core.handshake.headers import Headers, plain

if TYPE_CHECKING:
    from anyws.core.handshake.headers import HeadersLike

__all__ = ["Response", "switching_protocols"]

_REASON = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


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
        reason = _default_reason(status) if reason is None else plain(reason)
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
