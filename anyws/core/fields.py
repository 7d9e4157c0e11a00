"""The fields of a frame that are more than a number (RFC 6455, sections 5.2 and 5.5.1)."""

from __future__ import annotations

from anyws.core import rules
from anyws.enums import CloseCode
from anyws.errors import Close, ProtocolError

__all__ = ["close_payload", "extended_length", "parse_close"]


def extended_length(data: bytes) -> int:
    """Return the length in the 2 or 8 bytes of an extended payload length.

    Raises:
        ProtocolError: it is over 63 bits, or would fit into a shorter form.
    """
    length = int.from_bytes(data, "big")
    if length >= 2**63:
        raise ProtocolError(rules.LENGTH_TOO_LARGE)
    if length < 126 or (len(data) == 8 and length < 65536):
        raise ProtocolError(rules.LENGTH_NOT_MINIMAL, f"{length} in {len(data)} bytes")
    return length


def parse_close(payload: bytes) -> Close:
    """Return what the payload of a close frame says; code 1005 when it is empty.

    Raises:
        ProtocolError: half a code, one that may not be sent, or a reason that is not UTF-8.
    """
    if not payload:
        return Close(1005)
    if len(payload) == 1:
        raise ProtocolError(rules.CLOSE_PAYLOAD_TOO_SHORT)
    code = int.from_bytes(payload[:2], "big")
    if not rules.close_code_is_valid(code):
        raise ProtocolError(rules.CLOSE_CODE_INVALID, str(code))
    try:
        return Close(code, str(payload[2:], "utf-8"))
    except UnicodeDecodeError as error:
        raise ProtocolError(rules.TEXT_NOT_UTF8, "in the reason of a close frame") from error


def close_payload(code: int, reason: str) -> bytes:
    """Return the payload of a close frame; code 1005 gives an empty one.

    Raises:
        ValueError: the code may not be sent, or the reason is over 123 bytes of UTF-8.
    """
    if code == CloseCode.NO_STATUS_RECEIVED and not reason:
        return b""
    if not rules.close_code_is_valid(code):
        raise ValueError(f"close code {code} may not be sent; use 1000 to 1014 or 3000 to 4999")
    encoded = reason.encode()
    if len(encoded) > 123:
        raise ValueError(f"a close reason has at most 123 bytes of UTF-8, not {len(encoded)}")
    return code.to_bytes(2, "big") + encoded
