# cython: language_level=3, boundscheck=False, wraparound=False, annotation_typing=False
"""The payload of one frame that does not lie whole in the receive buffer."""

from __future__ import annotations

import anyws._wire.mask as mask  # noqa: PLR0402 - the form that a cimport can stand in for

__all__ = ["Payload"]


class Payload:
    """Collects a payload whose size is known, unmasked, so that it need not be copied again.

    Args:
        size: bytes that will come, no more; their memory is taken as they come.
    """

    __slots__ = ("_data", "_expected", "size")

    def __init__(self, size: int) -> None:
        self._data = mask.new_payload(size)
        self._expected = size
        #: Bytes that have come.
        self.size = 0

    def append(self, buffer: bytearray, start: int, end: int, key: bytes) -> None:
        """Take ``buffer[start:end]``, masked with ``key`` unless that is empty."""
        if end - start > self._expected - self.size:
            raise ValueError("more payload than was announced")
        mask.append_payload(self._data, self.size, buffer, start, end, key)
        self.size += end - start

    def taken(self) -> bytes:
        """Return what has come; nothing may be appended any more."""
        return mask.finish_payload(self._data, self.size, self._expected)
