# cython: language_level=3, annotation_typing=False
"""The frames of one connection on their way to its transport.

Theory of operation
-------------------
A frame that is put here leaves, whatever becomes of the task that put it. It waits in ``_pending``
only to share a system call with others. A lone message leaves at once. While messages that have
already arrived are being answered, and while one task sends message after message, frames gather,
until the task waits for the next message, or enough has gathered, or in the next scheduling round,
whichever is first.

Nothing here waits. ``try_send`` takes a message only when no rule asks its sender to wait first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.enums import State

if TYPE_CHECKING:
    from anyws.core.connection import Connection
    from anyws.core.turns import Turns
    from anyws.net.transport import Transport
    from anyws.stream.budget import ByteBudget
    from anyws.stream.lock import SendLock

__all__ = ["CLOGGED", "NOT_TAKEN", "TAKEN", "WriteBuffer"]

#: Answers of ``try_send``: the message is not in the buffer, its sender has to wait first.
NOT_TAKEN = 0
#: It is in the buffer.
TAKEN = 1
#: It is in the buffer, and its sender should wait until there is room again.
CLOGGED = 2

#: Bytes that count as one operation more, so that a task that sends large messages lets others run too.
_TURN_BYTES = 16384
#: Bytes of pending frames that are worth a system call of their own.
_GATHER_UP_TO = 65536

_OPEN = State.OPEN
_TEXT = 1
_BINARY = 2


class WriteBuffer:
    """Gathers frames and gives them to the transport.

    Args:
        connection: what encodes the messages.
        transport: where they go.
        lock: held by whoever sends a message in several frames.
        turns: what counts the operations between two checkpoints.
        budget: what counts the bytes of all connections, if anything does.
    """

    __slots__ = (
        "_budget",
        "_connection",
        "_flush_due",
        "_high_water",
        "_inbound",
        "_lock",
        "_outbound",
        "_pending",
        "_pending_size",
        "_room",
        "_sent_lately",
        "_transport",
        "_turns",
        "finished",
        "messages_sent",
        "written",
    )

    def __init__(
        self,
        connection: Connection,
        transport: Transport,
        lock: SendLock,
        turns: Turns,
        budget: ByteBudget | None = None,
    ) -> None:
        self._connection = connection
        self._inbound = connection.inbound
        self._outbound = connection.outbound
        self._transport = transport
        self._lock = lock
        self._turns = turns
        self._budget = budget
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._flush_due = False
        self._sent_lately = False
        self._high_water = connection.limits.send_buffer
        #: Bytes that may gather here: what the transport has not passed on fills the send buffer as well.
        self._room = min(_GATHER_UP_TO, self._high_water)
        #: Bytes given to the transport so far.
        self.written = 0
        #: Messages put into the buffer so far; one in several frames counts with its last.
        self.messages_sent = 0
        #: Whether nothing can be sent any more, close frame and all.
        self.finished = False

    def try_send(self, data: object, compress: bool | None) -> int:
        """Put one message into the buffer, if its sender need not wait for anything first.

        Returns:
            ``NOT_TAKEN``, ``TAKEN`` or ``CLOGGED``. Not taken is also what is neither ``str`` nor ``bytes``.
        """
        if type(data) is bytes:
            opcode = _BINARY
            payload = data
        elif type(data) is str:
            opcode = _TEXT
            payload = data.encode()
        else:
            return NOT_TAKEN
        if (
            self._lock.locked
            or self._transport.clogged
            or self._connection.state is not _OPEN
            or self._outbound.is_long(opcode, len(payload), compress)
            or not self._turns.spend()
        ):
            return NOT_TAKEN
        self.put_message(opcode, payload, compress)
        return CLOGGED if self._transport.clogged else TAKEN

    def put_message(self, opcode: int, payload: bytes, compress: bool | None) -> None:
        """Append a message, and flush unless more is likely to follow at once."""
        if len(payload) >= _TURN_BYTES:
            self._turns.left -= len(payload) // _TURN_BYTES
        self._put(self._outbound.message(opcode, payload, compress))

    def offer(
        self, opcode: int, payload: bytes, frames: list[bytes], compress: bool | None
    ) -> bool:
        """Put one message of many connections into the buffer, if its sender would not have to wait.

        Args:
            opcode: TEXT or BINARY.
            payload: the message.
            frames: the same, encoded without a mask and uncompressed, for whoever needs no other.
            compress: as for ``put_message``.
        """
        if self._lock.locked or self._transport.clogged or self._connection.state is not _OPEN:
            return False
        if not self._outbound.sends_plain(len(payload), compress):
            frames = self._outbound.message(opcode, payload, compress)
        self._put(frames)
        return True

    def _put(self, frames: list[bytes]) -> None:
        self.messages_sent += 1
        lone = not (self._pending or self._inbound.messages or self._sent_lately)
        self.append(frames)
        if lone or self._pending_size >= self._room:
            self._sent_lately = True
            self.flush()
        elif not self._flush_due:
            self._flush_due = True
            self._transport.call_soon(self._flush_gathered)

    def append(self, frames: list[bytes]) -> None:
        """Append frames without flushing."""
        pending = self._pending
        for frame in frames:
            pending.append(frame)
            self._pending_size += len(frame)

    def write_control(self, frames: list[bytes]) -> None:
        """Send control frames at once, ahead of every waiting sender."""
        self.append(frames)
        self.flush()

    def before_waiting(self) -> None:
        """Send what has gathered, since the task that sends is about to wait."""
        self._sent_lately = False
        if self._pending:
            self.flush()

    def flush(self) -> None:
        """Give the transport all that is pending."""
        pending = self._pending
        if not pending:
            return
        size = self._pending_size
        self._pending = []
        self.written += size
        self._pending_size = 0
        if self.finished:
            return
        if len(pending) == 1:
            self._transport.write(pending[0])
        else:
            self._transport.writelines(pending)
        unsent = self._transport.unsent
        self._room = min(_GATHER_UP_TO, self._high_water - unsent)
        if unsent and self._budget is not None:
            self._budget.grow(size)

    def held(self) -> int:
        """Return the bytes that wait here or in the transport."""
        unsent: int = self._transport.unsent
        return self._pending_size + unsent

    def _flush_gathered(self) -> None:
        self._flush_due = False
        self._sent_lately = False
        self.flush()
