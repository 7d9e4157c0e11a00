"""The tasks that work for one connection beside those of its users.

Theory of operation
-------------------
A task group belongs to the task that has entered it. Left in another one it does not end: the task that
entered it is cancelled at each of its awaits from then on, on asyncio, and trio gives up altogether. Yet a
connection is often closed where it was not opened: by the fixture of a test framework that runs each
half in a task of its own, or by Python, which finalises an async generator that nobody iterates over
any more wherever it likes. So the group is entered and left by a task that the event loop runs by itself,
and the tasks in the group are out of reach of whatever cancels those of the users.

What fails in that task is told to whoever holds the connection, at the latest when it is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from anyws.net.network import start_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from anyio.abc import TaskGroup

    from anyws.net.network import TaskStarter

__all__ = ["HelperTasks", "sole_exception"]

_Result = TypeVar("_Result")


def sole_exception(error: BaseException) -> BaseException:
    """Return the one exception inside a group, or the group when there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class HelperTasks:
    """Runs tasks in a task group that is entered in no task of a user's, from the first one on.

    Attributes:
        on_failure: what to call when one of the tasks has failed, and so all of them end.
    """

    def __init__(self) -> None:
        self.on_failure: Callable[[], object]
        # Held here, since asyncio itself does not hold its tasks.
        self._host: object = None
        self._task_group: TaskGroup | None = None
        self._early: list[tuple[Callable[..., Coroutine[Any, Any, Any]], tuple[Any, ...]]] = []
        self._stopping = anyio.Event()
        self._stopped = anyio.Event()
        self._failure: BaseException | None = None

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        """Run ``function`` in a task, as a task group does."""
        if self._host is None:
            self._host = start_task(self._run)
        if self._task_group is None:
            self._early.append((function, args))
        else:
            self._task_group.start_soon(function, *args)

    async def open(self, function: Callable[[TaskStarter], Awaitable[_Result]]) -> _Result:
        """Return what ``function`` returns, which is given this to start tasks with.

        When it raises, is cancelled, or a task fails, all tasks are stopped and what failed is raised.
        """
        scope = anyio.CancelScope()
        self.on_failure = scope.cancel
        try:
            with scope:
                return await function(self)
        except BaseException as error:
            await self.stop(error)
            raise
        await self.stop(None)
        raise RuntimeError("the event loop has ended this connection")

    async def _run(self) -> None:
        try:
            async with anyio.create_task_group() as task_group:
                self._task_group = task_group
                for function, args in self._early:
                    task_group.start_soon(function, *args)
                try:
                    await self._stopping.wait()
                except BaseException:
                    # Now, since a shielded task may go on until whoever is told has seen to it.
                    self.on_failure()
                    raise
                task_group.cancel_scope.cancel()
        except BaseException as error:  # noqa: BLE001 - told to whoever stops this
            failure = sole_exception(error)
            # Only the loop cancels this task, when it ends itself.
            if not isinstance(failure, anyio.get_cancelled_exc_class()):
                self._failure = failure
        finally:
            self._stopped.set()

    async def stop(self, error: BaseException | None) -> None:
        """Cancel the tasks and wait for their end, in any task of the same event loop.

        Args:
            error: the exception that is on its way, if any.

        Raises:
            BaseException: what one of the tasks has failed with, unless ``error`` is there; what is no
                ``Exception`` in any case, such as ``KeyboardInterrupt``, or asyncio's cancellation of
                the task that waits, which would not come again.
        """
        self._stopping.set()
        interruption: BaseException | None = None
        while self._host is not None and not self._stopped.is_set():
            try:
                with anyio.CancelScope(shield=True):
                    await self._stopped.wait()
            except GeneratorExit:
                raise
            except BaseException as caught:  # noqa: BLE001 - raised again below
                interruption = caught
        failure = interruption or self._failure
        if failure is not None and (error is None or not isinstance(failure, Exception)):
            raise failure
