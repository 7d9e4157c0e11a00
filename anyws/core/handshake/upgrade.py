"""What both sides of the opening handshake share: its outcome, its hash, and its own headers."""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from anyws.core.handshake.headers import Headers, HeadersLike, check_token, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anyws.core.deflate import DeflateParameters
    from anyws.core.handshake.response import Response

__all__ = ["Acceptance", "accept_value", "added_headers", "checked_subprotocols", "names_protocol"]

# RFC 6455, section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Those that the handshake writes itself, and those that would give a body to what has none.
_RESERVED = frozenset({"connection", "content-length", "transfer-encoding", "upgrade"})


class Acceptance(NamedTuple):
    """The outcome of an opening handshake that succeeded.

    Args:
        response: the 101 response.
        data: the bytes to send, which is ``response`` on a server and nothing on a client.
        subprotocol: the subprotocol in use, or ``None``.
        deflate: the parameters of permessage-deflate, or ``None`` when it is not in use.
    """

    response: Response
    data: bytes
    subprotocol: str | None
    deflate: DeflateParameters | None


def accept_value(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key`` (RFC 6455, 4.2.2)."""
    # A fingerprint that shows that the peer speaks WebSocket; nothing rests on its strength.
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def names_protocol(values: Iterable[str], protocol: str) -> bool:
    """Whether ``Upgrade`` headers list a protocol, in any case (RFC 9110, section 7.8)."""
    for value in values:
        if value.lower() == protocol:
            return True
        if any(part.strip(" \t").lower() == protocol for part in value.split(",")):
            return True
    return False


def checked_subprotocols(subprotocols: Sequence[str]) -> tuple[str, ...]:
    """The subprotocols of a user, as a tuple.

    Raises:
        TypeError: a single string was given, or something that is no string.
        ValueError: one is not a token, or comes twice (RFC 6455, section 4.1).
    """
    if isinstance(subprotocols, str):
        raise TypeError("subprotocols must be a sequence of names, not one string")
    names = tuple(subprotocols)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"subprotocols must be strings, not {names!r}")
    names = tuple(map(plain, names))
    for name in names:
        check_token(name, "a subprotocol")
    if len(set(names)) != len(names):
        raise ValueError("a subprotocol is listed twice")
    return names


def added_headers(headers: HeadersLike) -> Headers:
    """The headers that a user adds to the handshake, checked before a byte is sent.

    Raises:
        TypeError: a name or a value is not a ``str``.
        ValueError: one is malformed, or is among those that the handshake writes itself:
            ``Connection``, ``Upgrade``, ``Sec-WebSocket-*`` and what announces a body.
    """
    checked = Headers(headers)
    for name in checked:
        if name.lower() in _RESERVED or name.lower().startswith("sec-websocket-"):
            raise ValueError(f"the header {name} belongs to the handshake and cannot be set")
    return checked
