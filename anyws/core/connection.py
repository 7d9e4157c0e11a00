# cython: language_level=3, annotation_typing=False
"""One connection without its stream: what came in, what may go out, how it ends.

Theory of operation
-------------------
``inbound`` parses ahead of the application; ``Connection`` keeps the application's own place. The
peer's close frame, or its violation, counts only from the moment ``reach_end`` is called, when the
application has taken the messages before it. Until then the connection is open to it, so that an
answer to an earlier message leaves before our close frame does.

Every close frame of ours is made by ``_make_close``, and every change of ``state`` goes through the table
in ``anyws.core.state``. Nothing here reads a clock or a socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.core.fields import close_payload
from anyws.core.inbound import Inbound
from anyws.core.outbound import Outbound
from anyws.core.state import TRANSITIONS, Step
from anyws.enums import CloseCode, Opcode, Role, State
from anyws.errors import Close, CloseCause, ConnectionClosedError, ConnectionClosedOK

if TYPE_CHECKING:
    from anyws.core.deflate import DeflateParameters
    from anyws.errors import ConnectionClosed
    from anyws.limits import Limits

__all__ = ["Connection", "peer_name"]

_OK_CODES = frozenset(
    (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RECEIVED)
)


def peer_name(address: object) -> str:
    """Return `` from`` and the address of a client, for messages; nothing when it has none."""
    if address is None:
        return ""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f" from [{host}]:{port}" if ":" in host else f" from {host}:{port}"
    return f" from {address or 'a UNIX socket'}"


class Connection:
    """The protocol's side of an open connection, in either role.

    Args:
        role: which side we are.
        limits: the bounds to keep.
        deflate: what was agreed on compression, if anything.
    """

    __slots__ = (
        "_began_by_us",
        "_cause",
        "_detail",
        "_error",
        "deflate",
        "inbound",
        "limits",
        "outbound",
        "peer",
        "received",
        "role",
        "sent",
        "state",
        "target",
    )

    def __init__(
        self,
        role: Role,
        limits: Limits,
        deflate: DeflateParameters | None = None,
    ) -> None:
        self.role = role
        self.limits = limits
        self.deflate = deflate
        self.state = State.OPEN
        #: The peer's address, where it has one, and what the client asked for: they only go into messages.
        self.peer: object = None
        self.target = ""
        #: Our close frame, once it is in the write buffer.
        self.sent: Close | None = None
        #: The peer's close frame, once the application has come to it.
        self.received: Close | None = None
        self._cause: CloseCause | None = None
        self._detail = ""
        self._error: BaseException | None = None
        self._began_by_us: bool | None = None
        server = role is Role.SERVER
        self.inbound = Inbound(
            masked=server,
            limits=limits,
            inflater=deflate.inflater(role) if deflate is not None else None,
        )
        self.outbound = Outbound(
            masked=not server,
            deflater=deflate.deflater(role) if deflate is not None else None,
            threshold=deflate.threshold if deflate is not None else 0,
        )

    def send_close(
        self,
        code: int,
        reason: str = "",
        cause: CloseCause = CloseCause.CLOSED_BY_US,
        detail: str = "",
    ) -> bytes:
        """Return our close frame, which must be sent; only while ``sent`` is None.

        Raises:
            ValueError: the code or the reason may not be sent; nothing has changed then.
        """
        payload = close_payload(code, reason)
        self._blame(cause, detail)
        return self._make_close(Close(code, reason), payload)

    def reach_end(self) -> bytes:
        """Let what ended the reading take effect; return the close frame that answers it, if any.

        To be called once the application has taken every message before the end.
        """
        if self.state is State.CLOSED:
            return b""
        inbound = self.inbound
        failure = inbound.failure
        if failure is not None:
            if self.sent is not None:
                return b""
            code = failure.rule.code
            over = code == CloseCode.MESSAGE_TOO_BIG
            self._blame(CloseCause.OVER_LIMIT if over else CloseCause.PROTOCOL_ERROR, str(failure))
            reason = f"{failure.rule.text} ({failure.rule.section})"
            return self._make_close(Close(code, reason), close_payload(code, reason))
        close = inbound.close
        if close is None or self.received is not None:
            return b""
        self.received = close
        self._step(Step.CLOSE_RECEIVED)
        if self._began_by_us is None:
            self._began_by_us = False
        self._blame(CloseCause.CLOSED_BY_PEER)
        if self.sent is not None:
            return b""
        return self._make_close(Close(close.code), close_payload(close.code, ""))

    def lose(
        self,
        cause: CloseCause = CloseCause.CONNECTION_LOST,
        detail: str = "",
        error: BaseException | None = None,
    ) -> None:
        """Note that the stream below is gone, and what took it; the first cause that was noted stays.

        Two say more than that we closed: that the peer did not answer our close frame in time, and that we
        did not wait for it.
        """
        unanswered = self.received is None and self._cause is CloseCause.CLOSED_BY_US
        if unanswered and cause in (CloseCause.CLOSE_TIMEOUT, CloseCause.ABORTED):
            self._cause = None
        self._blame(cause, detail)
        if error is not None and self._error is None:
            self._error = error
        self._step(Step.LOST)

    def closed_ok(self) -> bool:
        """Return whether the connection was closed in good order."""
        received, sent = self.received, self.sent
        return (
            received is not None
            and sent is not None
            and received.code in _OK_CODES
            and sent.code in _OK_CODES
        )

    def closed_error(self) -> ConnectionClosed:
        """Return the exception that tells how the connection ended."""
        received, sent = self.received, self.sent
        ok = self.closed_ok()
        kind = ConnectionClosedOK if ok else ConnectionClosedError
        cause = self._cause or CloseCause.CONNECTION_LOST
        error = kind(received, sent, cause, self._began_by_us, self._detail, self.name())
        error.__cause__ = self.inbound.failure or (None if ok else self._error)
        return error

    def name(self) -> str:
        """Return what messages call this connection."""
        if self.role is Role.CLIENT:
            return f"connection to {self.target}"
        return f"connection{peer_name(self.peer)} for {self.target!r}"

    def _make_close(self, close: Close, payload: bytes) -> bytes:
        self.sent = close
        if self._began_by_us is None:
            self._began_by_us = True
        self._step(Step.CLOSE_SENT)
        return self.outbound.control(Opcode.CLOSE, payload)

    def _blame(self, cause: CloseCause, detail: str = "") -> None:
        if self._cause is None:
            self._cause = cause
            self._detail = detail

    def _step(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]
