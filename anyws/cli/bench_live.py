"""What ``anyws bench`` shows where rich is installed: a table that changes in place, and bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.bar import Bar as RichBar
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from anyws.cli.bench_report import shares
from anyws.cli.histogram import format_seconds

if TYPE_CHECKING:
    from types import TracebackType

    from anyws.cli.bench_report import Progress
    from anyws.cli.histogram import Bar

__all__ = ["LiveTable", "print_tables"]


class LiveTable:
    """A table on standard error that is there inside a block, and gone after it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        # No thread of rich's: it is drawn when the load lets it.
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self) -> None:
        """Draw what has been measured by now."""
        share = self._progress.share
        bar = ProgressBar(total=1.0, completed=share, width=40)
        head = Table.grid(padding=(0, 1))
        head.add_row(bar, f"{100 * share:.0f} %")
        self._live.update(Group(head, _grid(self._progress.rows())), refresh=True)


def _grid(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def print_tables(
    rows: list[tuple[str, str]], bars: list[Bar], notes: list[str], title: str
) -> None:
    """Print the result on standard output, a terminal."""
    console = Console(highlight=False)
    console.print(Text(f"bench of {title}", "bold"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    for name, value in rows:
        facts.add_row(Text(name), Text(value))
    console.print(facts)
    if bars:
        console.print(Text("round-trip times", "bold"))
    histogram = Table.grid(padding=(0, 1))
    for _ in range(2):
        histogram.add_column(justify="right")
    histogram.add_column()
    most = max((bar.number for bar in bars), default=1)
    for bar, share in zip(bars, shares(bars), strict=True):
        drawn = RichBar(most, 0, bar.number, width=40, color="cyan")
        histogram.add_row(Text(f"to {format_seconds(bar.upper)}"), Text(share, "dim"), drawn)
    console.print(histogram)
    for note in notes:
        console.print(Text(f"note: {note}", "yellow"))
