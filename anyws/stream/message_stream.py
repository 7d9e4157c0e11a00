# cython: language_level=3, annotation_typing=False
"""Receiving and sending whole messages: what of a ``WebSocket`` runs for every message.

It is compiled, and so cannot inherit from ``anyio.abc.ObjectStream``; ``WebSocket`` inherits from both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyws.stream._driving as driving
from anyws.stream.admission import TAKEN
from anyws.stream.operation import CREATED, Operation
from anyws.stream.receiver import next_message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from anyws.stream.receiver import Receiver
    from anyws.stream.write_buffer import WriteBuffer
    from anyws.stream.writer import WebSocketWriter

__all__ = ["MessageIterator", "MessageStream"]


class MessageStream:
    """A stream of whole messages in both directions.

    Args:
        receiver: where messages come from.
        write_buffer: where they go when nothing has to be waited for.
        writer: where they go otherwise.
    """

    __slots__ = ("_receiver", "_write_buffer", "writer")

    def __init__(
        self, receiver: Receiver, write_buffer: WriteBuffer, writer: WebSocketWriter
    ) -> None:
        self._receiver = receiver
        self._write_buffer = write_buffer
        self.writer = writer

    def receive(self) -> Coroutine[Any, Any, str | bytes]:
        """Return the next message, waiting for it.

        Returns:
            ``str`` for a text message, ``bytes`` for a binary one.

        Raises:
            ConnectionClosedOK: the connection was closed in good order (an ``EndOfStream``).
            ConnectionClosedError: it ended otherwise (a ``BrokenResourceError``).
            anyio.BusyResourceError: another task is receiving.

        If cancelled: no message is lost; the next call returns it whole.
        """
        return driving.coroutine(next_message(self._receiver, False))

    def send(self, item: str | bytes | bytearray | memoryview) -> Coroutine[Any, Any, None]:
        """Send one message: ``str`` as text, bytes-like as binary.

        Returns when the message is in the write buffer and the buffer is below its high-water
        mark (``Limits.send_buffer`` bytes). Any number of tasks may send; they queue in order.
        ``WebSocketWriter.send`` takes further arguments.

        Args:
            item: the message.

        Raises:
            TypeError: ``item`` is something else; nothing was sent.
            ConnectionClosed: the connection is closing or closed.
            RuntimeError: this task has a ``fragment()`` open, and would wait for itself.

        If cancelled: the message was either not admitted, and nothing of it is sent, or it is
        delivered whole. The connection stays usable.
        """
        return driving.coroutine(sending(self, item))


class MessageIterator:
    """Gives one message after the other to an ``async for``.

    It is compiled; a ``WebSocket``, whose class Python makes, would have each step looked up by name.

    Args:
        receiver: where messages come from.
    """

    __slots__ = ("_receiver",)

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __aiter__(self) -> MessageIterator:
        return self

    def __anext__(self) -> Coroutine[Any, Any, str | bytes]:
        return driving.coroutine(next_message(self._receiver, True))


class Sending(Operation):
    """Sends one message; waits only where the write buffer says so.

    Args:
        stream: where to send it.
        item: the message.
    """

    __slots__ = ("_item", "_stream")

    __name__ = "WebSocket.send"

    _stream: MessageStream | None
    _item: str | bytes | bytearray | memoryview

    def proceed(self) -> Awaitable[Any] | None:
        """Put the message into the write buffer, or return what does."""
        stream, self._stream = self._stream, None
        if stream is None:
            return None
        taken = stream._write_buffer.try_send(self._item, None)
        return None if taken == TAKEN else stream.writer.finish_send(taken, self._item)


def sending(stream: MessageStream, item: str | bytes | bytearray | memoryview) -> Sending:
    """Make a ``Sending``."""
    operation = Sending.__new__(Sending)
    operation._state = CREATED
    operation._awaited = operation._result = None
    operation._stream = stream
    operation._item = item
    return operation
