"""The messages of a connection as streams, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.errors import ConnectionClosedOK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyws.stream.reader import WebSocketReader
    from anyws.stream.receiver import Receiver

__all__ = ["Readers"]


class Readers:
    """The messages of a connection, each as a ``WebSocketReader``."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __aiter__(self) -> AsyncIterator[WebSocketReader]:
        return self

    async def __anext__(self) -> WebSocketReader:
        try:
            return await self._receiver.next_reader()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None
