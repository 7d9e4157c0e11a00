"""The block in which a connection is open, and in which its helper tasks run.

A task group wraps what it raises into an exception group, and so must never see the user's exception:
the group is entered and left by hand around the user's block, and the exception of the block passes
by it, as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from anyws.errors import CloseCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anyio.abc import TaskGroup

    from anyws.stream.websocket import WebSocket

__all__ = ["ConnectionLifetime", "leave_task_group", "sole_exception", "without_cancellations"]


def sole_exception(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception inside ``group``, or the group when there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def without_cancellations(error: BaseException) -> BaseException:
    """Return what failed in a user's task group while trio cancelled it, which comes in a group with that."""
    if isinstance(error, BaseExceptionGroup):
        _, rest = error.split(anyio.get_cancelled_exc_class())
        if isinstance(rest, Exception):
            return rest
    return error


async def leave_task_group(task_group: TaskGroup, error: BaseException | None) -> None:
    """Cancel what runs in ``task_group`` and leave it; nothing takes the place of ``error``.

    Args:
        task_group: a group that was entered by hand in this task.
        error: the exception that is on its way, if any.
    """
    task_group.cancel_scope.cancel()
    failure: BaseException | None = None
    try:
        await task_group.__aexit__(None, None, None)
    except BaseExceptionGroup as group:
        failure = sole_exception(group)
    except BaseException as other:  # noqa: BLE001 - raised again below
        failure = other
    if failure is not None and error is None:
        raise failure


class ConnectionLifetime:
    """An async context manager that opens a connection and closes it when its block is left.

    Left normally, the connection is closed with 1000; by an exception, with 1011; cancelled, it is
    dropped at once. The block's exception comes out as it went in.

    Args:
        open_connection: makes the connection, with helper tasks in the group it is given.
    """

    def __init__(self, open_connection: Callable[[TaskGroup], Awaitable[WebSocket]]) -> None:
        self._open = open_connection
        self._task_group: TaskGroup | None = None
        self._websocket: WebSocket

    async def __aenter__(self) -> WebSocket:
        """Open the connection."""
        if self._task_group is not None:
            raise RuntimeError("a connection can be opened once; make another object")
        task_group = self._task_group = anyio.create_task_group()
        await task_group.__aenter__()
        try:
            self._websocket = await self._open(task_group)
        except BaseException as error:
            await leave_task_group(task_group, error)
            raise
        return self._websocket

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        task_group = self._task_group
        if task_group is None:
            raise RuntimeError("the connection was not opened")
        try:
            if exc is None:
                await self._websocket.close(1000)
            elif isinstance(exc, Exception):
                await self._websocket.close(1011)
            else:
                self._websocket.drop(CloseCause.ABORTED)
        except BaseException as error:
            await leave_task_group(task_group, error)
            if exc is None:
                raise
        else:
            await leave_task_group(task_group, exc)
