# cython: language_level=3, annotation_typing=False
"""The frames of one connection on their way to its transport.

Theory of operation
-------------------
A frame that is put here leaves, whatever becomes of the task that put it. It waits in ``_pending``
only to share a system call with others. A lone message leaves at once. While messages that have
already arrived are being answered, and while one task sends message after message, frames gather,
until the task waits for the next message, or enough has gathered, or in the next scheduling round,
whichever is first.

A broadcast answers nobody, and its sender may never wait for a message of this connection. So it
leaves at once unless something was sent in the same scheduling round, whose end a ``Round`` tells to all
connections that it goes to.

Most transports are plain sockets. What every message asks of its transport is read from the
``SocketCore`` then, which is the same object and costs no call in the compiled build.

Nothing here waits. ``try_send`` takes a message only when no rule asks its sender to wait first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.enums import State
from anyws.net._socket import SocketCore
from anyws.stream.admission import CLOGGED, NOT_TAKEN, TAKEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anyws.core.connection import Connection
    from anyws.core.turns import Turns
    from anyws.net.transport import Transport
    from anyws.stream.budget import ByteBudget
    from anyws.stream.lock import SendLock
    from anyws.stream.websocket import WebSocket

__all__ = ["WriteBuffer", "offer_to_all"]

#: Bytes that count as one operation more, so that a task that sends large messages lets others run too.
_TURN_BYTES = 16384
#: Bytes of pending frames that are worth a system call of their own.
_GATHER_UP_TO = 65536

_OPEN = State.OPEN
_TEXT = 1
_BINARY = 2


class Round:
    """The scheduling round in which a message was sent to many connections."""

    __slots__ = ("over", "watched")

    def __init__(self) -> None:
        #: Whether the loop has been asked to tell its end.
        self.watched = False
        self.over = False

    def end(self) -> None:
        """Note that others have run since."""
        self.over = True


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
        "_always_plain",
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
        "_round",
        "_sent_lately",
        "_socket",
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
        #: Whether no setting makes a message go masked or compressed.
        self._always_plain = connection.outbound.sends_plain(0, True)
        self._transport = transport
        #: The transport once more, if it is a plain socket.
        self._socket = transport if isinstance(transport, SocketCore) else None
        self._lock = lock
        self._turns = turns
        self._budget = budget
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._flush_due = False
        self._sent_lately = False
        #: Up to when that counts, where no task of this connection sent.
        self._round: Round | None = None
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
            payload = self._outbound.text_payload(data)
        else:
            return NOT_TAKEN
        if (
            self._lock.locked
            or self._is_clogged()
            or self._connection.state is not _OPEN
            or self._outbound.is_long(opcode, len(payload), compress)
            or not self._turns.spend()
        ):
            return NOT_TAKEN
        self.put_message(opcode, payload, compress)
        return CLOGGED if self._is_clogged() else TAKEN

    def put_message(self, opcode: int, payload: bytes, compress: bool | None) -> None:
        """Append a message, and flush unless more is likely to follow at once."""
        if len(payload) >= _TURN_BYTES:
            self._turns.left -= len(payload) // _TURN_BYTES
        frames = self._outbound.message(opcode, payload, compress)
        lone = not (
            self._pending_size
            or self._inbound.messages
            or (self._sent_lately and not self._round_is_over())
        )
        self._put(frames, lone, None)

    def offer(
        self,
        opcode: int,
        payload: bytes,
        frames: list[bytes],
        compress: bool | None,
        current: Round,
    ) -> bool:
        """Put one message of many connections into the buffer, if its sender would not have to wait.

        Args:
            opcode: TEXT or BINARY.
            payload: the message.
            frames: the same, encoded without a mask and uncompressed, for whoever needs no other.
            compress: as for ``put_message``.
            current: the scheduling round in which it goes to all of them.
        """
        if self._lock.locked or self._is_clogged() or self._connection.state is not _OPEN:
            return False
        if not (self._always_plain or self._outbound.sends_plain(len(payload), compress)):
            frames = self._outbound.message(opcode, payload, compress)
        lone = not self._pending_size and (not self._sent_lately or self._round_is_over())
        if lone and not current.watched:
            current.watched = True
            self._transport.call_soon(current.end)
        self._put(frames, lone, current)
        return True

    def _put(self, frames: list[bytes], lone: bool, current: Round | None) -> None:
        self.messages_sent += 1
        if lone:
            self._sent_lately = True
            self._round = current
            self._write(frames, _size(frames))
            return
        self.append(frames)
        if self._pending_size >= self._room:
            self._sent_lately = True
            self._round = None
            self.flush()
        elif not self._flush_due:
            self._flush_due = True
            self._transport.call_soon(self._flush_gathered)

    def _round_is_over(self) -> bool:
        return self._round is not None and self._round.over

    def append(self, frames: list[bytes]) -> None:
        """Append frames without flushing."""
        for frame in frames:
            self._pending.append(frame)
            self._pending_size += len(frame)

    def write_control(self, frames: list[bytes]) -> None:
        """Send control frames at once, ahead of every waiting sender."""
        self.append(frames)
        self.flush()

    def end(self, frame: bytes) -> None:
        """Send what is pending, then ``frame`` and the end of the stream."""
        self.flush()
        self.written += len(frame)
        if not self.finished:
            self._transport.write_eof(frame)

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
        self._pending_size = 0
        self._write(pending, size)

    def _write(self, frames: list[bytes], size: int) -> None:
        self.written += size
        if self.finished:
            return
        if len(frames) > 1:
            self._transport.writelines(frames)
        elif self._socket is not None:
            SocketCore.write(self._socket, frames[0])
        else:
            self._transport.write(frames[0])
        unsent = self._unsent()
        self._room = min(_GATHER_UP_TO, self._high_water - unsent)
        if unsent and self._budget is not None:
            self._budget.grow(size)

    def held(self) -> int:
        """Return the bytes that wait here or in the transport."""
        return self._pending_size + self._unsent()

    def _is_clogged(self) -> bool:
        return self._transport.clogged if self._socket is None else self._socket.clogged

    def _unsent(self) -> int:
        return self._transport.unsent if self._socket is None else self._socket.unsent

    def _flush_gathered(self) -> None:
        self._flush_due = False
        self._sent_lately = False
        self.flush()


def offer_to_all(
    websockets: Iterable[WebSocket],
    opcode: int,
    payload: bytes,
    frames: list[bytes],
    compress: bool | None,
) -> list[WebSocket]:
    """Offer one message to every connection; return those that did not take it. See ``WriteBuffer.offer``."""
    current = Round()
    others = []
    for websocket in websockets:
        buffer = websocket._write_buffer
        if not buffer.offer(opcode, payload, frames, compress, current):
            others.append(websocket)
    return others


def _size(frames: list[bytes]) -> int:
    size = 0
    for frame in frames:
        size += len(frame)
    return size
