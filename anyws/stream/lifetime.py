"""The block in which a connection is open."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import anyio

from anyws.errors import CloseCause
from anyws.stream.helpers import HelperTasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anyws.net.network import TaskStarter
    from anyws.stream.websocket import WebSocket

__all__ = ["ConnectionLifetime", "without_cancellations"]


def without_cancellations(error: BaseException) -> BaseException:
    """Return what failed in a user's task group while trio cancelled it, which comes in a group with that."""
    if isinstance(error, BaseExceptionGroup):
        _, rest = error.split(anyio.get_cancelled_exc_class())
        if isinstance(rest, Exception):
            return rest
    return error


def _comes_again(error: BaseException) -> bool:
    """Tell whether ``error`` is the cancellation of a scope: asyncio's own, of a task, comes once only."""
    cancelled = isinstance(error, anyio.get_cancelled_exc_class())
    return cancelled and anyio.current_effective_deadline() == -math.inf


class ConnectionLifetime:
    """An async context manager that opens a connection and closes it when its block is left.

    Left normally, the connection is closed with 1000; by an exception, with 1011; cancelled, it is
    dropped at once. The block's exception comes out as it went in. The block may be left in another
    task than it was entered in, as fixtures and async generators are.

    If cancelled while it closes: the connection is dropped. The exception of the block comes out all
    the same, unless the cancellation would not come again, as that of ``asyncio.timeout``: then it takes
    its place.

    Args:
        open_connection: makes the connection, with helper tasks in the group it is given.
    """

    def __init__(self, open_connection: Callable[[TaskStarter], Awaitable[WebSocket]]) -> None:
        self._open = open_connection
        self._helpers: HelperTasks | None = None
        self._websocket: WebSocket | None = None

    async def __aenter__(self) -> WebSocket:
        """Open the connection."""
        if self._helpers is not None:
            raise RuntimeError("a connection can be opened once; make another object")
        self._helpers = HelperTasks()
        websocket = self._websocket = await self._helpers.open(self._open)
        self._helpers.on_failure = partial(websocket.drop, CloseCause.ABORTED)
        return websocket

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        websocket, helpers = self._websocket, self._helpers
        if websocket is None or helpers is None:
            raise RuntimeError("the connection was not opened")
        try:
            # An async generator that is closed has come to a good end.
            if exc is None or isinstance(exc, GeneratorExit):
                await websocket.close(1000)
            elif isinstance(exc, Exception):
                await websocket.close(1011)
            else:
                websocket.drop(CloseCause.ABORTED)
        except BaseException as error:
            await helpers.stop(error)
            if exc is None or not (isinstance(error, Exception) or _comes_again(error)):
                raise
        else:
            await helpers.stop(exc)
