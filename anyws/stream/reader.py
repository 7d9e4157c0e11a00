"""One message while it arrives, or after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from anyws.enums import DataType
from anyws.errors import ConnectionClosedError, ConnectionClosedOK
from anyws.stream.buffer import Buffer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["WebSocketReader"]


class WebSocketReader(Buffer):
    """One received message as a stream of bytes; given out by ``WebSocket.readers``.

    It can be read while the message is still arriving: the task that reads it is the one that
    receives. What it holds and does not give out counts against ``Limits.receive_buffer``, so a reader that
    is not read holds up the peer.

    Attributes:
        data_type: whether the message is text or binary. The text of a text message is
            valid UTF-8 as far as it has come.
    """

    data_type: DataType

    def __init__(self, data_type: DataType, more: Callable[[bool], Awaitable[None]]) -> None:
        super().__init__(data_type=data_type)
        self._more = more

    @overload
    async def get(self, kind: None = None) -> str | bytes: ...
    @overload
    async def get(self, kind: Literal[DataType.TEXT]) -> str: ...
    @overload
    async def get(self, kind: Literal[DataType.BINARY]) -> bytes: ...
    @overload
    async def get(self, kind: DataType | None) -> str | bytes: ...

    async def get(self, kind: DataType | None = None) -> str | bytes:
        """Return the rest of the message, waiting for its end.

        Args:
            kind: ``DataType.TEXT`` for a ``str``, ``DataType.BINARY`` for ``bytes``; ``None`` for
                what the message is.

        Raises:
            anyio.ClosedResourceError: as ``read``.
            UnicodeDecodeError: a binary message that is not UTF-8 was asked for as text.
            ConnectionClosedError: the connection ended before the message did, in good order or not.

        If cancelled: nothing is lost.
        """
        data = await self.read()
        return data.decode() if (kind or self.data_type) == DataType.TEXT else data

    async def _wait_for_data(self) -> None:
        self._check_not_closed()
        if self._error is not None:
            raise self._error
        try:
            await self._more(self._collecting)
        except ConnectionClosedOK as closed:
            # That is an end of the stream to whoever reads bytes, and half a message would look whole.
            raise ConnectionClosedError(*closed.args) from closed
