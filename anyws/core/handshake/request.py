"""A request: what a client asks for, as the application sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from anyws.core.handshake.headers import Headers, check_token, parse_cookies

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ABSOLUTE_TARGET", "Request", "parsed_request"]

_TARGET = re.compile(r"[\x21-\x7e]+")
#: A target with its scheme and authority, which is the first group; the second is the resource.
ABSOLUTE_TARGET = re.compile(r"(?:https?|wss?)://([^/?#]*)([^#]*)", re.IGNORECASE)


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
        match = ABSOLUTE_TARGET.fullmatch(self.target)
        return match[2] if match else self.target


def parsed_request(method: str, target: str, headers: Headers) -> Request:
    """Return a request whose method and target were checked before."""
    request = Request.__new__(Request)
    object.__setattr__(request, "method", method)
    object.__setattr__(request, "target", target)
    object.__setattr__(request, "headers", headers)
    return request
