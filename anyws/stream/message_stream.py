# cython: language_level=3, annotation_typing=False
"""Receiving and sending whole messages: what of a ``WebSocket`` runs for every message.

It is compiled, and so cannot inherit from ``anyio.abc.ObjectStream``; ``WebSocket`` inherits from both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyws.stream.write_buffer import TAKEN

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from anyws.stream.receiver import Receiver
    from anyws.stream.write_buffer import WriteBuffer
    from anyws.stream.writer import WebSocketWriter

__all__ = ["MessageStream"]


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
        return self._receiver.next_message(False)

    def __anext__(self) -> Coroutine[Any, Any, str | bytes]:
        """Return the next message."""
        return self._receiver.next_message(True)

    async def send(self, item: str | bytes | bytearray | memoryview) -> None:
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
        # Mostly there is nothing to wait for, and another coroutine would cost as much as the rest.
        taken = self._write_buffer.try_send(item, None)
        if taken != TAKEN:
            await self.writer.finish_send(taken, item)
