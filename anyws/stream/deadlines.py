"""One time limit for many transports, kept by one task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from anyws.net.network import current_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyws.net.network import TaskStarter
    from anyws.net.transport import Transport

__all__ = ["Deadline", "Deadlines"]


class Deadline:
    """When a transport is dropped.

    Attributes:
        passed: whether it was.
    """

    __slots__ = ("_at", "_transport", "passed")

    def __init__(self, at: float, transport: Transport) -> None:
        self._at = at
        self._transport = transport
        self.passed = False


class Deadlines:
    """Drops each transport that takes too long over something that most are quick with.

    A cancel scope does the same for whatever may be awaited, and costs as much as a system call. All have the
    same time here, so the one that came first is the next, and one task sleeps until then.

    Args:
        task_group: where that task runs.
        seconds: the time.
    """

    def __init__(self, task_group: TaskStarter, seconds: float) -> None:
        self._task_group = task_group
        self._seconds = seconds
        self._pending: dict[Deadline, None] = {}
        self._running = False
        self._clock: Callable[[], float] | None = None

    def start(self, transport: Transport) -> Deadline:
        """Drop ``transport`` when the time is up, unless ``stop`` is called before."""
        if self._clock is None:
            self._clock = current_network(self._task_group).clock
        deadline = Deadline(self._clock() + self._seconds, transport)
        self._pending[deadline] = None
        if not self._running:
            self._running = True
            self._task_group.start_soon(self._run)
        return deadline

    def stop(self, deadline: Deadline) -> None:
        """Forget ``deadline``; nothing happens when it has passed."""
        self._pending.pop(deadline, None)

    async def _run(self) -> None:
        try:
            while self._pending:
                deadline = next(iter(self._pending))
                if deadline._at > anyio.current_time():
                    await anyio.sleep_until(deadline._at)
                    continue
                del self._pending[deadline]
                deadline.passed = True
                deadline._transport.abort()
        finally:
            self._running = False
