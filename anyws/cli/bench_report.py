"""What ``anyws bench`` shows: while it runs, and at the end."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from anyws.cli.histogram import format_seconds
from anyws.demo.status import format_bytes

if TYPE_CHECKING:
    import argparse

    from anyws.cli.histogram import Bar
    from anyws.cli.load import Load

__all__ = ["Progress", "print_json", "print_report", "show_progress"]

_PERCENTILES = (50, 90, 99, 99.9)
_INTERVAL = 0.25
_BAR = 40
#: A process that uses so much of its time cannot be waited for by the server.
_BUSY = 0.9


class Facts(NamedTuple):
    """What has been measured by now."""

    elapsed: float
    messages: int
    rate: float
    last_rate: float


class Progress:
    """How far the measurement is.

    Args:
        load: what runs.
        options: the command line.
    """

    def __init__(self, load: Load, options: argparse.Namespace) -> None:
        self.load = load
        self.options = options
        self._before = (0.0, 0)

    @property
    def share(self) -> float:
        """How much of the time is over, from 0 to 1."""
        if not self.load.began or not self.options.seconds:
            return 0.0
        seconds: float = self.options.seconds
        return min((time.perf_counter() - self.load.began) / seconds, 1.0)

    def facts(self) -> Facts:
        """Return what has been measured, and the rate since the last call."""
        elapsed = time.perf_counter() - self.load.began if self.load.began else 0.0
        messages = self.load.histogram.count
        then, count = self._before
        self._before = (elapsed, messages)
        return Facts(
            elapsed,
            messages,
            messages / elapsed if elapsed else 0.0,
            (messages - count) / (elapsed - then) if elapsed > then else 0.0,
        )

    def rows(self) -> list[tuple[str, str]]:
        """Return what is shown while it runs, each with its name."""
        facts = self.facts()
        histogram = self.load.histogram
        rows = [
            ("connections", f"{self.load.opened - self.load.lost} of {self.options.connections}"),
            ("messages", f"{facts.messages:,}"),
            ("now", f"{facts.last_rate:,.0f} messages/s"),
            ("on average", f"{facts.rate:,.0f} messages/s"),
        ]
        if histogram.count:
            rows += [
                ("median", format_seconds(histogram.percentile(50))),
                ("99 %", format_seconds(histogram.percentile(99))),
                ("longest", format_seconds(histogram.longest / 1e9)),
            ]
        return rows


async def show_progress(progress: Progress) -> None:
    """Show on standard error, a terminal, how far it is, until cancelled."""
    try:
        from anyws.cli.bench_live import LiveTable
    except ImportError:
        await _show_line(progress)
        return
    with LiveTable(progress) as table:
        while True:
            table.update()
            await anyio.sleep(_INTERVAL)


async def _show_line(progress: Progress) -> None:
    try:
        while True:
            filled = round(20 * progress.share)
            line = " | ".join(f"{name} {value}" for name, value in progress.rows()[1:5:2])
            sys.stderr.write(f"\r\x1b[2K[{'#' * filled}{'.' * (20 - filled)}] {line}")
            sys.stderr.flush()
            await anyio.sleep(_INTERVAL)
    finally:
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()


def print_report(load: Load, options: argparse.Namespace) -> None:
    """Print the result for people."""
    rows = _rows(load, options)
    bars = load.histogram.bars()
    notes = _notes(load)
    if sys.stdout.isatty():
        try:
            from anyws.cli.bench_live import print_tables
        except ImportError:
            pass
        else:
            print_tables(rows, bars, notes, options.uri)
            return
    print(f"bench of {options.uri}")
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")
    if bars:
        print("round-trip times")
    for bar, share in zip(bars, shares(bars), strict=True):
        mark = "#" * round(_BAR * bar.number / max(other.number for other in bars))
        print(f"  to {format_seconds(bar.upper):>7}  {share:>6}  {mark}".rstrip())
    for note in notes:
        print(f"note: {note}")


def shares(bars: list[Bar]) -> list[str]:
    """Return how much of all each bar is, in percent."""
    total = sum(bar.number for bar in bars)
    return [f"{100 * bar.number / total:.1f} %" for bar in bars]


def _rows(load: Load, options: argparse.Namespace) -> list[tuple[str, str]]:
    histogram = load.histogram
    rate = histogram.count / load.seconds if load.seconds else 0.0
    rows = [
        ("connections", f"{options.connections}, opened in {format_seconds(load.opening_seconds)}"),
        ("in flight", f"{options.in_flight} on each"),
        ("size", f"{options.size:,} bytes of {'text' if options.text else 'binary'}"),
        ("event loop", options.backend),
        ("measured", f"{load.seconds:.2f} s"),
        ("messages", f"{histogram.count:,}"),
        ("rate", f"{rate:,.0f} messages/s, {format_bytes(rate * options.size)}/s each way"),
    ]
    if histogram.count:
        rows.append(("mean", format_seconds(histogram.mean)))
        rows += [(f"{p:g} %", format_seconds(histogram.percentile(p))) for p in _PERCENTILES]
        rows.append(("longest", format_seconds(histogram.longest / 1e9)))
    return rows


def _notes(load: Load) -> list[str]:
    share = load.processor_seconds / load.seconds if load.seconds else 0.0
    if share < _BUSY:
        return []
    return [
        f"this client used {100 * share:.0f} % of a processor: the server may be faster than this"
    ]


def print_json(load: Load, options: argparse.Namespace) -> None:
    """Print the result for programs: times in seconds, sizes in bytes."""
    histogram = load.histogram
    rate = histogram.count / load.seconds if load.seconds else 0.0
    latency: dict[str, Any] = {"min": histogram.shortest / 1e9, "mean": histogram.mean}
    for percent in _PERCENTILES:
        latency[f"p{percent:g}"] = histogram.percentile(percent)
    latency["max"] = histogram.longest / 1e9
    result = {
        "uri": options.uri,
        "backend": options.backend,
        "connections": options.connections,
        "connections_lost": load.lost,
        "in_flight": options.in_flight,
        "size": options.size,
        "type": "text" if options.text else "binary",
        "opening_seconds": load.opening_seconds,
        "seconds": load.seconds,
        "processor_seconds": load.processor_seconds,
        "messages": histogram.count,
        "messages_per_second": rate,
        "bytes_per_second": rate * options.size,
        "latency": latency if histogram.count else None,
        "histogram": [{"up_to": bar.upper, "count": bar.number} for bar in histogram.bars()],
    }
    print(json.dumps(result, indent=2))
