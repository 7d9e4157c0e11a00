"""What became of a message that was offered to a write buffer."""

from __future__ import annotations

__all__ = ["CLOGGED", "NOT_TAKEN", "TAKEN"]

#: The message is not in the buffer, its sender has to wait first.
NOT_TAKEN = 0
#: It is in the buffer.
TAKEN = 1
#: It is in the buffer, and its sender should wait until there is room again.
CLOGGED = 2
