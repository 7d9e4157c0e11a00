"""How a coroutine made by hand drives what it awaits, and returns to what awaits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["ENDED", "begin", "return_value", "step"]

#: What ``step`` returns at the end.
ENDED: Any = object()


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
