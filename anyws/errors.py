"""Everything that anyws raises of its own.

Exception
+-- HandshakeError                 the opening handshake failed
|   +-- InvalidHandshake           the peer's request or response breaks a rule
|   +-- RejectedHandshake          the server answered with another status than 101
+-- InvalidURI (ValueError)        not a ws:// or wss:// address
+-- ProtocolError                  the peer's frames break a rule
+-- ConnectionClosed               the connection is over, for good
    +-- ConnectionClosedOK         ... in good order (also an anyio.EndOfStream)
    +-- ConnectionClosedError      ... otherwise (also an anyio.BrokenResourceError)

All of them can be copied and pickled.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

import anyio

from anyws.enums import CloseCode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Close",
    "CloseCause",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "HandshakeError",
    "InvalidHandshake",
    "InvalidURI",
    "ProtocolError",
    "RejectedHandshake",
    "Rule",
]


#: Bytes of an answer's body that a message shows.
_SHOWN = 200


class HandshakeError(Exception):
    """The opening handshake failed; no WebSocket connection came to be."""


class InvalidHandshake(HandshakeError):
    """The peer's request or response breaks a rule of the opening handshake.

    Attributes:
        status: the HTTP status that a server answers such a request with.

    Raises:
        ValueError: ``status`` is not one of 400 to 599.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"a request is refused with a status from 400 to 599, not {status}")
        super().__init__(message)
        self.status = status


class RejectedHandshake(HandshakeError):
    """The server answered with another status than 101 Switching Protocols.

    Attributes:
        status: the HTTP status, such as 401.
        reason: the reason phrase that came with it.
        headers: the header lines, as ``(name, value)`` pairs.
        body: the beginning of the answer's body, in bytes.
    """

    def __init__(
        self, status: int, reason: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> None:
        super().__init__(status, reason, headers, body)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    def __str__(self) -> str:
        text = f"the server answered {self.status} {self.reason}".rstrip()
        headers = {name.lower(): value for name, value in self.headers}
        if 300 <= self.status < 400 and "location" in headers:
            return f"{text}, which points to {headers['location']!r}; redirects are not followed"
        if self.body and headers.get("content-type", "").startswith("text/plain"):
            body = " ".join(self.body[:_SHOWN].decode("utf-8", "replace").split())
            return f"{text}: {body!r}"
        return text


class InvalidURI(ValueError):
    """The address is not a valid ``ws://`` or ``wss://`` URI (RFC 6455, section 3)."""


class Rule(NamedTuple):
    """One rule of the protocol.

    Attributes:
        name: a short name, for programs.
        section: the section that states it, such as ``"RFC 6455, section 5.1"``.
        text: the rule as a sentence.
        code: the close code that answers a breach.
    """

    name: str
    section: str
    text: str
    code: CloseCode


class ProtocolError(Exception):
    """The peer broke a rule of RFC 6455 or RFC 7692, or went over one of our limits.

    Attributes:
        rule: the rule, with its section and the close code we answer with.
        detail: what exactly was wrong, or an empty string.
    """

    def __init__(self, rule: Rule, detail: str = "") -> None:
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.rule.text}{detail} ({self.rule.section})"


class Close(NamedTuple):
    """A close frame, sent or received.

    Attributes:
        code: the close code; 1005 when the frame carried none.
        reason: the reason, or an empty string.
    """

    code: int
    reason: str = ""

    def __str__(self) -> str:
        name = _CODE_NAMES.get(self.code)
        if name is None:
            name = "private use" if 4000 <= self.code < 5000 else "registered elsewhere"
        return f"{self.code} ({name})" + (f" {self.reason!r}" if self.reason else "")


_CODE_NAMES = {int(code): code.name.lower().replace("_", " ") for code in CloseCode}


class CloseCause(enum.Enum):
    """What happened locally that ended a connection."""

    CLOSED_BY_US = "we closed it"
    CLOSED_BY_PEER = "the peer closed it"
    PROTOCOL_ERROR = "the peer broke a rule of the protocol"
    OVER_LIMIT = "the peer went over a limit"
    PING_TIMEOUT = "the peer did not answer a ping in time"
    CLOSE_TIMEOUT = "the peer did not answer our close frame in time"
    MESSAGE_ABANDONED = "a message was left unfinished while it was sent"
    HANDLER_FAILED = "the handler raised an exception"
    GOING_AWAY = "the server is shutting down"
    CONNECTION_LOST = "the connection was lost without a close frame"
    ABORTED = "we dropped the connection without a closing handshake"


class ConnectionClosed(Exception):
    """The connection is over; the same facts come from every later call.

    Attributes:
        received: the peer's close frame, or ``None``.
        sent: our close frame, or ``None``.
        cause: what happened locally.
        began_by_us: whether our close frame was the first; ``None`` when there was none at all.
        detail: what exactly went wrong, or an empty string.
        connection: which connection it was, such as ``"connection to ws://example.com/chat"`` or
            ``"connection from 127.0.0.1:50000 for '/chat'"``.
    """

    def __init__(
        self,
        received: Close | None,
        sent: Close | None,
        cause: CloseCause,
        began_by_us: bool | None,
        detail: str = "",
        connection: str = "",
    ) -> None:
        self.received = received
        self.sent = sent
        self.cause = cause
        self.began_by_us = began_by_us
        self.detail = detail
        self.connection = connection
        super().__init__(received, sent, cause, began_by_us, detail, connection)

    def __str__(self) -> str:
        text = f"{self.connection}: " if self.connection else ""
        text += self.cause.value + (f" ({self.detail})" if self.detail else "")
        received = f"received {self.received}" if self.received else "received no close frame"
        sent = f"sent {self.sent}" if self.sent else "sent none"
        return f"{text}; {received}; {sent}"

    @property
    def code(self) -> int:
        """The peer's close code, or 1006 without a close frame."""
        return self.received.code if self.received else CloseCode.ABNORMAL_CLOSURE

    @property
    def reason(self) -> str:
        """The reason that the peer gave, or an empty string."""
        return self.received.reason if self.received else ""


class ConnectionClosedOK(ConnectionClosed, anyio.EndOfStream):
    """The connection was closed in good order: both close frames carried 1000, 1001 or no code."""


class ConnectionClosedError(ConnectionClosed, anyio.BrokenResourceError):
    """The connection ended with an error code, or without a closing handshake."""
