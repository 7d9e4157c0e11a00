# cython: language_level=3, annotation_typing=False
"""Counting operations that found work ready, so that a task that never has to wait lets others run."""

from __future__ import annotations

__all__ = ["CHECKPOINT_INTERVAL", "Turns"]

#: Operations that found work ready between two checkpoints, unless set.
CHECKPOINT_INTERVAL = 128


class Turns:
    """How many operations may follow each other before a checkpoint is due.

    Args:
        interval: operations between two checkpoints.
    """

    __slots__ = ("interval", "left")

    def __init__(self, interval: int) -> None:
        self.interval = interval
        #: Operations before the next checkpoint; at zero or below it is due.
        self.left = interval

    def spend(self) -> bool:
        """Count one operation; False when a checkpoint is due instead."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def renew(self) -> None:
        """Begin to count anew, since others have run or are about to."""
        self.left = self.interval
