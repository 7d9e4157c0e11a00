# cython: language_level=3, annotation_typing=False
"""The lock that keeps one message together on the wire."""

from __future__ import annotations

from collections import deque

import anyio

__all__ = ["SendLock"]


class SendLock:
    """A fair lock that costs one attribute when nobody holds it.

    ``anyio.Lock`` costs as much as the rest of a small send. Who finds ``locked`` False and does
    not await needs no lock at all.
    """

    __slots__ = ("_waiters", "locked", "owner")

    def __init__(self) -> None:
        self.locked = False
        #: The id of the task that has a fragmented message open, if any.
        self.owner: int | None = None
        self._waiters: deque[anyio.Event] | None = None

    async def acquire(self) -> None:
        """Wait for the lock, in the order in which it was asked for.

        Raises:
            RuntimeError: this task has a fragmented message open, and would wait for itself.

        If cancelled: the lock is not held, and whoever is next is not delayed.
        """
        if not self.locked:
            self.locked = True
            return
        if self.owner is not None and self.owner == anyio.get_current_task().id:
            raise RuntimeError(
                "this task has a fragment() open; send through it, or leave it before sending"
            )
        event = anyio.Event()
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(event)
        try:
            await event.wait()
        except BaseException:
            if event.is_set():
                self.release()
            else:
                self._waiters.remove(event)
            raise

    def release(self) -> None:
        """Hand the lock to whoever is next; it stays ``locked`` then."""
        if self._waiters:
            self._waiters.popleft().set()
        else:
            self.locked = False
            self._waiters = None
