"""How a coroutine made by hand drives what it awaits, and returns to what awaits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from anyws.stream.operation import Operation

__all__ = ["CLOSED", "ENDED", "begin", "coroutine", "return_value", "step"]

#: The state of an operation that is over, or that something else drives.
CLOSED = 3

#: What ``step`` returns at the end.
ENDED: Any = object()


def coroutine(operation: Operation) -> Coroutine[Any, Any, Any]:
    """Return what to await: in C the operation itself, here a coroutine of Python's, which is quicker."""
    operation._state = CLOSED
    driven = _drive(operation)
    driven.__qualname__ = operation.__name__  # type: ignore[attr-defined]
    return driven


async def _drive(operation: Operation) -> Any:
    while (awaitable := operation.proceed()) is not None:
        try:
            await awaitable
        except BaseException:
            operation.settle(False)
            raise
        operation.settle(True)
    return operation._result


def begin(awaitable: Awaitable[Any]) -> Any:
    """Return what ``step`` drives."""
    return awaitable.__await__()


def step(awaited: Any, value: object, ended: object) -> Any:
    """Send ``value`` to what is awaited; return what it yields, ``ended`` when it has returned."""
    try:
        return next(awaited) if value is None else awaited.send(value)
    except StopIteration:
        return ended


def return_value(value: object) -> None:
    """Have the ``raise StopIteration`` that follows at once return ``value``."""
    raise StopIteration(value)
