# cython: language_level=3, annotation_typing=False
"""Coroutines made by hand, for what mostly has nothing to wait for.

Theory of operation
-------------------
A message that has come is received without waiting, and one that there is room for is sent so. But a
coroutine around it, the object that awaits that, and from CPython 3.12 on the exception that brings the
result cost as much as the rest of a message. So ``receive`` and ``send`` return an object that does what a
coroutine does: nothing until it is awaited; then it asks ``proceed`` what to await, and awaits that,
until there is nothing left.

Like any coroutine it may become a task, can be awaited once, warns when it is dropped without that, and
cleans up when it is thrown into, closed or dropped while it waits.

To call such a class would cost as much as all else, so it comes with a function that makes one
from ``__new__`` and sets every attribute.

That pays in C. In the plain build a coroutine of Python's is quicker than these steps, and
``driving.coroutine`` has one ask ``proceed`` in their place.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import anyws.stream._driving as driving

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

__all__ = ["CREATED", "Operation"]

#: The first state: nothing has happened.
CREATED = 0
#: Begun, and nothing is awaited.
_READY = 1
#: Something is awaited.
_SUSPENDED = 2
_CLOSED = driving.CLOSED

#: Where a warning says that it comes from: compiled code is no place of its own.
_CALLER = 2 if __file__.endswith(".py") else 1
_ENDED = driving.ENDED


class Operation:
    """What every coroutine made by hand does."""

    __slots__ = ("__weakref__", "_awaited", "_result", "_state")

    _state: int
    _awaited: Any
    #: What to return in the end.
    _result: Any

    def proceed(self) -> Awaitable[Any] | None:
        """Go on where nothing is awaited; return what to await next, ``None`` at the end."""
        return None

    def settle(self, succeeded: bool) -> None:
        """Clean up after what was awaited.

        Args:
            succeeded: whether it ended without an exception.
        """

    def __await__(self) -> Operation:
        if self._state == _SUSPENDED:
            raise RuntimeError("coroutine is being awaited already")
        return self

    def __iter__(self) -> Operation:
        return self

    def __next__(self) -> Any:
        yielded = self._go_on(None)
        if yielded is _ENDED:
            driving.return_value(self._result)
            raise StopIteration
        return yielded

    def _go_on(self, value: object) -> Any:
        """Return what is to be yielded next, ``_ENDED`` when ``_result`` is to be returned.

        Args:
            value: what is awaited gets it.
        """
        if self._state == _CLOSED:
            raise RuntimeError("cannot reuse already awaited coroutine")
        ended = self._state != _SUSPENDED
        # Whatever is raised from here on is the end.
        self._state = _CLOSED
        while True:
            if ended:
                awaitable = self.proceed()
                if awaitable is None:
                    return _ENDED
                self._awaited = driving.begin(awaitable)
            try:
                yielded = driving.step(self._awaited, value, _ENDED)
            except BaseException:
                self._let_go(False)
                raise
            if yielded is not _ENDED:
                self._state = _SUSPENDED
                return yielded
            self._let_go(True)
            ended = True
            value = None

    def _let_go(self, succeeded: bool) -> None:
        self._awaited = None
        self.settle(succeeded)

    def send(self, value: object) -> Any:
        """Go on; what is awaited gets ``value``."""
        yielded = self._go_on(value)
        if yielded is _ENDED:
            raise StopIteration(self._result)
        return yielded

    def throw(
        self,
        exception: type[BaseException] | BaseException,
        value: object = None,
        traceback: TracebackType | None = None,
    ) -> Any:
        """Raise ``exception`` where this waits."""
        error = _made(exception, value, traceback)
        if self._state != _SUSPENDED:
            self._state = _CLOSED
            raise error
        throw = getattr(self._awaited, "throw", _raise)
        self._state = _CLOSED
        try:
            yielded = throw(error)
        except StopIteration:
            # It was caught there.
            self._let_go(True)
            self._state = _READY
            return self.send(None)
        except BaseException:
            self._let_go(False)
            raise
        self._state = _SUSPENDED
        return yielded

    def close(self) -> None:
        """Stop waiting, and clean up."""
        suspended = self._state == _SUSPENDED
        self._state = _CLOSED
        if suspended:
            close = getattr(self._awaited, "close", None)
            try:
                if close is not None:
                    close()
            finally:
                self._let_go(False)

    def __del__(self) -> None:
        if self._state == _CLOSED:
            return
        if self._state == CREATED:
            message = f"coroutine {self.__name__!r} was never awaited"
            warnings.warn(message, RuntimeWarning, stacklevel=_CALLER, source=self)
        self.close()

    # What event loops and debuggers ask of a coroutine

    #: What it is called in warnings and among tasks.
    __name__ = "operation"
    cr_running = False
    cr_code = cr_frame = None

    @property
    def cr_await(self) -> object:
        """What is awaited."""
        return self._awaited

    @property
    def cr_suspended(self) -> bool:
        """Whether something is awaited."""
        return self._state == _SUSPENDED


def _made(
    exception: type[BaseException] | BaseException, value: object, traceback: TracebackType | None
) -> BaseException:
    """Return the exception that the arguments of ``throw`` mean."""
    if isinstance(exception, BaseException):
        error = exception
    elif isinstance(value, BaseException):
        error = value
    else:
        error = exception() if value is None else exception(value)
    return error if traceback is None else error.with_traceback(traceback)


def _raise(error: BaseException) -> NoReturn:
    raise error
