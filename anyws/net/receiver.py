# cython: language_level=3, annotation_typing=False
"""What a transport gives its bytes to."""

from __future__ import annotations

__all__ = ["Receiver"]


class Receiver:
    """Takes what a transport receives. None of its methods may block or raise.

    A transport that reads by itself pauses while ``full``.
    """

    __slots__ = ()

    @property
    def full(self) -> bool:
        """Whether enough was received for now."""
        raise NotImplementedError

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go; ``buffer_updated`` follows before anything else runs."""
        raise NotImplementedError

    def buffer_updated(self, count: int) -> bool:
        """``count`` bytes were put into the buffer; return whether who waits should look."""
        raise NotImplementedError

    def eof_received(self) -> None:
        """The peer sends no more."""
        raise NotImplementedError

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing can be received or sent any more."""
        raise NotImplementedError
