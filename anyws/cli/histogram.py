"""Round-trip times, as many as there may be, in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Bar", "Histogram", "format_seconds"]

#: Each power of two is cut into this many buckets, so a time is known to about 3 %.
_SUB_BITS = 5
_SUB = 1 << _SUB_BITS
#: Bounds of what is drawn, within a power of ten.
_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


class Bar(NamedTuple):
    """How many were up to ``upper`` seconds, and longer than those of the bar before."""

    upper: float
    number: int


class Histogram:
    """Counts times in buckets whose width grows with the time.

    Attributes:
        count: how many times were recorded.
        total: their sum, in nanoseconds.
        shortest: the shortest in nanoseconds, 0 when there is none.
        longest: the longest.
    """

    def __init__(self) -> None:
        self._buckets: list[int] = []
        self.count = 0
        self.total = 0
        self.shortest = 0
        self.longest = 0

    def record(self, nanoseconds: int) -> None:
        """Count one time."""
        shift = max(nanoseconds.bit_length() - _SUB_BITS - 1, 0)
        index = (shift << _SUB_BITS) + (nanoseconds >> shift)
        try:
            self._buckets[index] += 1
        except IndexError:
            self._buckets.extend([0] * (index + 1 - len(self._buckets)))
            self._buckets[index] = 1
        if nanoseconds > self.longest:  # noqa: PLR1730 - max() takes longer
            self.longest = nanoseconds
        if not self.count or nanoseconds < self.shortest:
            self.shortest = nanoseconds
        self.count += 1
        self.total += nanoseconds

    @property
    def mean(self) -> float:
        """The mean in seconds, 0 when there is none."""
        return self.total / self.count / 1e9 if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Return the seconds that ``percent`` of the times do not exceed, 0 when there are none."""
        left = self.count * percent / 100
        for index, count in enumerate(self._buckets):
            left -= count
            if count and left <= 1e-9:
                return min(_upper(index), self.longest) / 1e9
        return self.longest / 1e9

    def bars(self) -> list[Bar]:
        """Return what is to be drawn: bars of about the same width on a logarithmic scale."""
        bars: list[Bar] = []
        bounds = _bounds()
        bound = next(bounds)
        count = 0
        for index, found in enumerate(self._buckets):
            upper = _upper(index)
            while upper > bound * 1e9:
                if count or bars:
                    bars.append(Bar(bound, count))
                count = 0
                bound = next(bounds)
            count += found
        if count:
            bars.append(Bar(bound, count))
        return bars


def _upper(index: int) -> int:
    """Return the longest time in nanoseconds that is counted in a bucket."""
    shift = max((index >> _SUB_BITS) - 1, 0)
    return ((index - (shift << _SUB_BITS) + 1) << shift) - 1


def _bounds() -> Iterator[float]:
    power = 1e-6
    while True:
        for step in _STEPS:
            yield step * power
        power *= 10


def format_seconds(seconds: float) -> str:
    """Return a time as people read it, such as ``"1.25 ms"``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s"
