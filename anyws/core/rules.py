"""The rules that a peer can break, each with its section and the close code that answers it.

The one table of protocol errors: ``inbound`` judges, this file says what was broken.
"""

from __future__ import annotations

from anyws.enums import CloseCode
from anyws.errors import Rule

__all__ = [
    "CLOSE_CODE_INVALID",
    "CLOSE_PAYLOAD_TOO_SHORT",
    "COMPRESSED_DATA_INVALID",
    "CONTINUATION_WITHOUT_MESSAGE",
    "CONTROL_FRAGMENTED",
    "CONTROL_TOO_LONG",
    "LENGTH_NOT_MINIMAL",
    "LENGTH_TOO_LARGE",
    "MASK_MISSING",
    "MASK_UNEXPECTED",
    "MESSAGE_INTERRUPTED",
    "MESSAGE_TOO_BIG",
    "OPCODE_UNKNOWN",
    "RESERVED_BITS",
    "RULES",
    "TEXT_NOT_UTF8",
    "TOO_MANY_FRAGMENTS",
    "close_code_is_valid",
]

_ERROR = CloseCode.PROTOCOL_ERROR

RESERVED_BITS = Rule(
    "reserved bits",
    "RFC 6455, section 5.2",
    "a reserved bit is set that no negotiated extension gives a meaning here",
    _ERROR,
)
OPCODE_UNKNOWN = Rule(
    "opcode", "RFC 6455, section 5.2", "the opcode of a frame is not defined", _ERROR
)
MASK_MISSING = Rule(
    "mask missing", "RFC 6455, section 5.1", "a frame from a client is not masked", _ERROR
)
MASK_UNEXPECTED = Rule(
    "mask unexpected", "RFC 6455, section 5.1", "a frame from a server is masked", _ERROR
)
LENGTH_NOT_MINIMAL = Rule(
    "length encoding",
    "RFC 6455, section 5.2",
    "the length of a frame is not in its shortest form",
    _ERROR,
)
LENGTH_TOO_LARGE = Rule(
    "length range", "RFC 6455, section 5.2", "the length of a frame has its highest bit set", _ERROR
)
CONTROL_FRAGMENTED = Rule(
    "control frame fragmented", "RFC 6455, section 5.5", "a control frame is fragmented", _ERROR
)
CONTROL_TOO_LONG = Rule(
    "control frame length",
    "RFC 6455, section 5.5",
    "a control frame has more than 125 bytes of payload",
    _ERROR,
)
CONTINUATION_WITHOUT_MESSAGE = Rule(
    "continuation without message",
    "RFC 6455, section 5.4",
    "a continuation frame comes when no message is unfinished",
    _ERROR,
)
MESSAGE_INTERRUPTED = Rule(
    "message interrupted",
    "RFC 6455, section 5.4",
    "a new message begins before the last one is finished",
    _ERROR,
)
CLOSE_PAYLOAD_TOO_SHORT = Rule(
    "close payload",
    "RFC 6455, section 5.5.1",
    "a close frame has one byte of payload, which is no close code",
    _ERROR,
)
CLOSE_CODE_INVALID = Rule(
    "close code",
    "RFC 6455, section 7.4",
    "a close frame carries a code that may not be sent",
    _ERROR,
)
TEXT_NOT_UTF8 = Rule(
    "UTF-8",
    "RFC 6455, section 8.1",
    "text is not valid UTF-8",
    CloseCode.INVALID_PAYLOAD_DATA,
)
COMPRESSED_DATA_INVALID = Rule(
    "compressed data",
    "RFC 7692, section 7.2.2",
    "the payload of a compressed message cannot be inflated",
    CloseCode.INVALID_PAYLOAD_DATA,
)
MESSAGE_TOO_BIG = Rule(
    "message size",
    "RFC 6455, section 10.4",
    "a message is larger than the limit on its size",
    CloseCode.MESSAGE_TOO_BIG,
)
TOO_MANY_FRAGMENTS = Rule(
    "fragments",
    "RFC 6455, section 10.4",
    "a message has more fragments than the limit allows",
    CloseCode.MESSAGE_TOO_BIG,
)

RULES = tuple(rule for rule in list(globals().values()) if isinstance(rule, Rule))


def close_code_is_valid(code: int) -> bool:
    """Tell whether ``code`` may stand in a close frame (RFC 6455, sections 7.4.1 and 7.4.2)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
