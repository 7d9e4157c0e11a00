"""The proof that a server speaks WebSocket (RFC 6455, sections 1.3 and 4.2.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets

__all__ = ["accept_value", "key_is_valid", "new_key"]

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")


def new_key() -> str:
    """Return a new ``Sec-WebSocket-Key``: 16 random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(16)).decode("ascii")


def key_is_valid(key: str) -> bool:
    """Tell whether ``key`` is 16 bytes in base64."""
    if _KEY.fullmatch(key) is None:
        return False
    return len(binascii.a2b_base64(key)) == 16


def accept_value(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` that answers ``key``."""
    digest = hashlib.sha1((key + _GUID).encode("ascii"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")
