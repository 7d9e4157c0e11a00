# cython: language_level=3, annotation_typing=False
"""What a task of asyncio awaits until bytes have come.

Theory of operation
-------------------
A task may await anything that behaves like a future: it yields itself, the task adds a callback to it,
and calling that callback runs the task's next step. A future of asyncio has the loop call it, in the
next round: another handle, another look at the selector, for every message. But bytes come in a callback of
the loop, where no task is running, and so the task can be resumed right there.

``wake`` does that, as the last thing that such a callback does, since the task may do anything. After
``wake_soon`` the loop resumes the task in its next round.

A task that is resumed asks what it awaited for the result. Of a real future asyncio's compiled tasks read
it without a call, so each task is shown one that is done, the same for all of them.

There is one waiter for each transport, for at most one task at a time; it is used again and again.
"""

from __future__ import annotations

from asyncio import CancelledError, Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from anyio import BusyResourceError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Generator
    from contextvars import Context

__all__ = ["ReadingWaiter"]

_IDLE = 0
_WAITING = 1
_WOKEN = 2
_CANCELLED = 3


class _NoLoop:
    """What a future needs of a loop when nobody ever waits for it."""

    def get_debug(self) -> bool:
        return False


#: What a task that is resumed is shown.
_DONE: Future[None] = Future(loop=cast("AbstractEventLoop", _NoLoop()))
_DONE.set_result(None)


class ReadingWaiter:
    """Behaves like a future to the one task that awaits it.

    Args:
        loop: the loop of that task.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_cancel_message",
        "_context",
        "_loop",
        "_state",
    )

    def __init__(self, loop: AbstractEventLoop) -> None:
        #: How asyncio's tasks tell that a future is awaited, and not yielded by mistake.
        self._asyncio_future_blocking = False
        self._loop = loop
        self._state = _IDLE
        self._callback: Callable[[Any], object] | None = None
        self._context: Context
        self._cancel_message: object = None

    @property
    def waiting(self) -> bool:
        """Whether a task waits and has not been woken."""
        return self._state == _WAITING

    def begin(self) -> ReadingWaiter:
        """Return the waiter, to be awaited at once.

        Raises:
            anyio.BusyResourceError: another task awaits it.
        """
        if self._state == _WAITING or self._callback is not None:
            raise BusyResourceError("receiving from")
        self._state = _WAITING
        return self

    def wake(self) -> None:
        """Resume the task that waits, if any; the last thing that a callback of the loop does."""
        if self._state != _WAITING:
            return
        self._state = _WOKEN
        callback = self._callback
        if callback is not None:
            self._callback = None
            self._context.run(callback, _DONE)

    def wake_soon(self) -> None:
        """Have the loop resume the task that waits, if any."""
        if self._state == _WAITING:
            self._state = _WOKEN
            if self._callback is not None:
                self._loop.call_soon(self._resume, context=self._context)

    def _resume(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            # One that was cancelled learns it from what it awaits, when it goes on.
            callback(_DONE)

    # What the task calls

    def __await__(self) -> Generator[Any, Any, None]:
        return cast("Generator[Any, Any, None]", self)

    def __iter__(self) -> ReadingWaiter:
        return self

    def __next__(self) -> ReadingWaiter:
        if self._state == _WAITING:
            self._asyncio_future_blocking = True
            return self
        self.result()
        raise StopIteration

    def get_loop(self) -> AbstractEventLoop:
        """Return the loop whose tasks may await this."""
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Note what resumes the task."""
        self._callback = callback
        self._context = copy_context() if context is None else context

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Forget what resumes the task."""
        if self._callback != callback:
            return 0
        self._callback = None
        return 1

    def cancel(self, msg: object = None) -> bool:
        """Have the task resumed with ``CancelledError``, unless it has been woken."""
        if self._state != _WAITING:
            return False
        self._state = _CANCELLED
        self._cancel_message = msg
        if self._callback is not None:
            self._loop.call_soon(self._resume, context=self._context)
        return True

    def done(self) -> bool:
        """Whether the task has been woken or cancelled."""
        return self._state != _WAITING

    def cancelled(self) -> bool:
        """Whether the task has been cancelled."""
        return self._state == _CANCELLED

    def result(self) -> None:
        """Return when the task was woken, raise ``CancelledError`` when it was cancelled."""
        if self._state == _CANCELLED:
            message, self._cancel_message = self._cancel_message, None
            raise CancelledError() if message is None else CancelledError(message)
        if self._state == _WAITING:
            raise RuntimeError("the waiter was not awaited by a task of asyncio")
