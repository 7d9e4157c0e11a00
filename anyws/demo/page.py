"""The one page that the demo serves, with everything inside."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from anyws.core.handshake.response import Response

if TYPE_CHECKING:
    from anyws.core.handshake.request import Request

__all__ = ["PageSite"]

#: Placeholders in page.html and the files that take their places.
_PARTS = {"/*STYLE*/": ("page.css",), "/*SCRIPT*/": ("live.js", "page.js")}


class PageSite:
    """Answers plain HTTP requests: the page at ``/``, ``ok`` at ``/health``, 404 elsewhere.

    The script and the style are inside the page, and the content security policy lets exactly these
    two run, by their hashes: text that came in through the chat can not become code.

    Args:
        sockets: the paths that speak WebSocket; requests for an upgrade there are let through.
    """

    def __init__(self, sockets: frozenset[str]) -> None:
        self._sockets = sockets
        body, policy = _build()
        self._page = Response(
            200,
            {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Security-Policy": policy,
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
            body.encode(),
        )

    def __call__(self, request: Request) -> Response | None:
        """Answer ``request``, or return ``None`` for those that open a connection."""
        if request.path in self._sockets:
            return None
        if request.path == "/":
            return self._page
        if request.path == "/health":
            return Response(200, {"Cache-Control": "no-store"}, "ok\n")
        return Response(404, body="There is nothing here; the page is at /.\n")


def _build() -> tuple[str, str]:
    """Return the page and its content security policy."""
    folder = files(__package__)
    page = folder.joinpath("page.html").read_text("utf-8")
    hashes = []
    for placeholder, names in _PARTS.items():
        part = "\n" + "".join(folder.joinpath(name).read_text("utf-8") for name in names)
        page = page.replace(placeholder, part)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        hashes.append(f"'sha256-{digest}'")
    style, script = hashes
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy
