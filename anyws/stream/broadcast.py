"""One message to many connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.core.outbound import Outbound
from anyws.stream.data import encode_data
from anyws.stream.write_buffer import offer_to_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anyws.stream.websocket import WebSocket

__all__ = ["broadcast"]


def broadcast(
    websockets: Iterable[WebSocket],
    message: str | bytes | bytearray | memoryview,
    *,
    compress: bool | None = None,
) -> list[WebSocket]:
    """Send one message to every connection that can take it at once, and return the others.

    A slow reader holds up nobody, and no memory grows for it: what it does not take is up to the caller,
    who may leave the message out, send it with ``WebSocket.send`` in a task, or close
    the connection. The frame is made once for all connections of a server on which it goes uncompressed.

    Args:
        websockets: the connections, each at most once; must not change meanwhile.
        message: ``str`` as text, bytes-like as binary.
        compress: whether to compress, on each connection where compression was negotiated; ``None``
            compresses from the threshold on. With ``False`` a broadcast is cheapest.

    Returns:
        The connections that did not take the message and got nothing of it: their send buffer
        (``Limits.send_buffer`` bytes) is full, a message in fragments is under way, other senders
        wait, or they are closing or closed, as ``WebSocket.state`` tells.

    Raises:
        TypeError: ``message`` is something else; nothing was sent.

    It does not wait, so it cannot be cancelled; a message that was taken is delivered whole, after
    those sent before it.
    """
    opcode, payload = encode_data(message)
    frames = Outbound(masked=False).message(opcode, payload, None)
    return offer_to_all(websockets, opcode, payload, frames, compress)
