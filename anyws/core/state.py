"""Where a connection stands, as a table (RFC 6455, section 7.1).

``Connection`` walks it and decides nothing of its own.
"""

from __future__ import annotations

import enum

from anyws.enums import State

__all__ = ["TRANSITIONS", "Step"]


class Step(enum.Enum):
    """What can move a connection from one state to the next."""

    CLOSE_SENT = "our close frame is put into the write buffer"
    CLOSE_RECEIVED = "the application has come to the peer's close frame"
    LOST = "the stream below ended or broke"


#: After both close frames a connection is closed, whichever came first. A step that is missing
#: cannot happen: each side sends and is heard to send one close frame at most.
TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.OPEN, Step.CLOSE_SENT): State.CLOSING,
    (State.OPEN, Step.CLOSE_RECEIVED): State.CLOSING,
    (State.OPEN, Step.LOST): State.CLOSED,
    (State.CLOSING, Step.CLOSE_SENT): State.CLOSED,
    (State.CLOSING, Step.CLOSE_RECEIVED): State.CLOSED,
    (State.CLOSING, Step.LOST): State.CLOSED,
    (State.CLOSED, Step.LOST): State.CLOSED,
}
