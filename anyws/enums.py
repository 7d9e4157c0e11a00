"""The protocol's numbers, by the names RFC 6455 gives them."""

from __future__ import annotations

import enum

__all__ = ["CloseCode", "DataType", "Opcode", "Role", "State"]


class Opcode(enum.IntEnum):
    """What a frame carries (RFC 6455, section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class DataType(enum.IntEnum):
    """The two kinds of message; the values are the opcodes of their first frame."""

    TEXT = 0x1
    BINARY = 0x2


class CloseCode(enum.IntEnum):
    """Why a connection is closed (RFC 6455, section 7.4.1, and the IANA registry).

    1005, 1006 and 1015 are never sent: they say that no code came, that the connection
    ended without a close frame, and that TLS failed.
    """

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RECEIVED = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


class Role(enum.Enum):
    """Which side of a connection we are; a client masks its frames, a server does not."""

    CLIENT = "client"
    SERVER = "server"


class State(enum.Enum):
    """Where a connection stands (RFC 6455, sections 4 and 7.1)."""

    OPEN = "open"
    #: One close frame has gone one way; the other has not been seen yet.
    CLOSING = "closing"
    #: Both close frames are exchanged, or the stream below is gone.
    CLOSED = "closed"
