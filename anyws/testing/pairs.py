"""A client and a server that are connected in memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from anyws.client import client_over
from anyws.errors import CloseCause
from anyws.server import accept
from anyws.stream.helpers import HelperTasks
from anyws.testing.streams import FaultyStream, lockstep_pair, memory_pair

if TYPE_CHECKING:
    from types import TracebackType

    from anyio.abc import ByteStream

    from anyws.net.network import TaskStarter
    from anyws.stream.websocket import WebSocket

__all__ = ["WebSocketPair"]


class WebSocketPair:
    """An async context manager that gives a connected ``(client, server)``, without sockets.

    Leaving the block closes both; its exception comes out as it went in.

    Args:
        streams: the byte streams to use, the client's first; a memory pair by default.
        uri: the address that the client asks for.
        client: further arguments for ``client_over``.
        server: further arguments for ``accept``.
        **options: arguments for both.

    Raises:
        TypeError, ValueError: an argument is wrong; raised by the call itself.
        HandshakeError: the two did not agree; raised when the block is entered.

    If cancelled: both connections are dropped at once.
    """

    def __init__(
        self,
        streams: tuple[ByteStream, ByteStream] | None = None,
        *,
        uri: str = "ws://memory/",
        client: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.streams: tuple[ByteStream, ByteStream] = streams or memory_pair()
        self._client = client_over(self.streams[0], uri, **{**options, **(client or {})})
        self._server = accept(self.streams[1], **{**options, **(server or {})})
        self._ready = anyio.Event()
        self._leaving = anyio.Event()
        self._websocket: WebSocket
        self._helpers = HelperTasks()

    @classmethod
    def lockstep(cls, **options: Any) -> WebSocketPair:
        """Return a pair without any buffer between the two."""
        return cls(lockstep_pair(), **options)

    @classmethod
    def byte_by_byte(cls, **options: Any) -> WebSocketPair:
        """Return a pair of which each side receives one byte at a time."""
        one, other = memory_pair()
        return cls((FaultyStream(one, chunk=1), FaultyStream(other, chunk=1)), **options)

    async def _serve(self) -> None:
        async with self._server as websocket:
            self._websocket = websocket
            self._ready.set()
            await self._leaving.wait()

    async def _connect(self, task_group: TaskStarter) -> WebSocket:
        task_group.start_soon(self._serve)
        client = await self._client.__aenter__()
        try:
            await self._ready.wait()
        except BaseException as error:
            await self._client.__aexit__(type(error), error, error.__traceback__)
            raise
        return client

    async def __aenter__(self) -> tuple[WebSocket, WebSocket]:
        """Connect the two."""
        client = await self._helpers.open(self._connect)
        self._helpers.on_failure = partial(client.drop, CloseCause.ABORTED)
        return client, self._websocket

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close both."""
        self._leaving.set()
        try:
            await self._client.__aexit__(exc_type, exc, traceback)
        except BaseException as error:
            await self._helpers.stop(error)
            raise
        await self._helpers.stop(exc)
