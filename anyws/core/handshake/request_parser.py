"""Takes a request apart with httptools, where that is installed, in a fifth of the time that h11 takes.

Theory of operation. What comes here has been judged by ``head.HeadCollector``, which is stricter than
either parser, so both read the same in it; a test compares them. Only a request as it opens a WebSocket
is taken apart here: a GET that has a ``Host`` and announces no body. The answer to everything else, and
to all that this parser objects to, is ``None``, and h11 decides. So no refusal depends on what is installed.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

from anyws.core.handshake.headers import Headers
from anyws.core.handshake.request import parsed_request

if TYPE_CHECKING:
    from anyws.core.handshake.request import Request

__all__ = ["parse_request"]


class _Fields:
    """What the parser calls back."""

    __slots__ = ("lines", "target", "values")

    def __init__(self) -> None:
        self.target = b""
        self.lines: list[str] = []
        self.values: dict[str, list[str]] = {}

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("ascii")
        text = value.decode("latin-1").strip(" \t")
        self.lines.append(f"{key}: {text}\r\n")
        self.values.setdefault(key.lower(), []).append(text)


@functools.cache
def _httptools() -> Any:
    """Return the module, or ``None`` where it is not installed."""
    try:
        return importlib.import_module("httptools")
    except ImportError:
        return None


def parse_request(head: bytes) -> tuple[Request, dict[str, list[str]]] | None:
    """Return a request, and the values of its headers by name in lower case.

    Args:
        head: a head that has passed ``HeadCollector``, with its empty line.

    Returns:
        ``None`` when it is for h11 to decide.
    """
    httptools = _httptools()
    if httptools is None or not head.startswith(b"GET "):
        return None
    fields = _Fields()
    try:
        httptools.HttpRequestParser(fields).feed_data(head)
    except httptools.HttpParserUpgrade:
        # That is how it tells of the header Upgrade.
        pass
    except httptools.HttpParserError:
        return None
    values = fields.values
    if "host" not in values or "content-length" in values or "transfer-encoding" in values:
        return None
    if len(fields.lines) != head.count(b"\n") - 2:
        # It has read something else than HeadCollector.
        return None
    headers = Headers._of_lines("".join(fields.lines))
    return parsed_request("GET", fields.target.decode("ascii"), headers), values
