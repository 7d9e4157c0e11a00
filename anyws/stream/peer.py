"""The address of whoever is at the other end of a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyws.net.transport import Transport

__all__ = ["peer_address"]


def peer_address(transport: Transport) -> Any:
    """Return the peer's address, ``None`` where there is none or the peer is gone already."""
    try:
        return transport.peer_address()
    except OSError:
        return None
