"""Which web pages may connect: the rule for ``Origin`` (RFC 6455, section 10.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from anyws.core.handshake.uri import split_authority
from anyws.errors import InvalidHandshake

if TYPE_CHECKING:
    from anyws.core.handshake.request import Request

__all__ = ["Origins", "check_origin", "check_origins_argument"]

#: The allow-list of a server, or ``None`` for the rule that the origin matches ``Host``.
Origins: TypeAlias = Sequence["str | re.Pattern[str] | None"] | None

_ORIGIN = re.compile(r"(https?|wss?)://(.*)", re.IGNORECASE)
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def check_origins_argument(origins: Origins) -> None:
    """Refuse an allow-list that cannot mean what it says.

    Raises:
        TypeError: it is a single string, or an element is neither string, pattern nor ``None``.
    """
    if origins is None:
        return
    if isinstance(origins, str):
        raise TypeError("origins must be a sequence of origins, not one string")
    for origin in origins:
        if not (origin is None or isinstance(origin, str | re.Pattern)):
            raise TypeError(f"an origin is a string, a compiled pattern or None, not {origin!r}")


def check_origin(request: Request, origins: Origins) -> None:
    """Refuse a request that comes from a web page that may not connect.

    Browsers let any page open a WebSocket to any server, and send that server's cookies along;
    the ``Origin`` header is what tells the pages apart.

    Args:
        request: the upgrade request.
        origins: ``None`` wants an ``Origin`` that is present to name the same host and port as
            ``Host``, whatever the scheme; a port that is left out is the default of the origin's
            scheme. A list allows what equals one of its strings, is matched as a whole by one of
            its patterns, or is missing when ``None`` is in it; ``"*"`` allows everything.

    Raises:
        InvalidHandshake: with status 403.
    """
    origin = request.origin
    if origins is None:
        if origin is not None and not _same_host(origin, request.host):
            raise InvalidHandshake(
                "the Origin of this request is not the host it was sent to", status=403
            )
    elif not any(_allows(rule, origin) for rule in origins):
        raise InvalidHandshake(
            "the Origin of this request is not one that may connect here", status=403
        )


def _allows(rule: str | re.Pattern[str] | None, origin: str | None) -> bool:
    if rule == "*":
        return True
    if origin is None:
        return rule is None
    if isinstance(rule, re.Pattern):
        return rule.fullmatch(origin) is not None
    return rule == origin


def _same_host(origin: str, host: str) -> bool:
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return False
    theirs, ours = split_authority(match[2]), split_authority(host)
    if theirs is None or ours is None:
        return False
    # The scheme is not compared: behind a proxy that ends TLS the server does not know its own.
    port = _PORTS[match[1].lower()]
    return (theirs[0], theirs[1] or port) == (ours[0], ours[1] or port)
