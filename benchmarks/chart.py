"""Charts of what was measured, if matplotlib is there."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from report import verdicts
from scenarios import LOOPS, SCENARIOS

if TYPE_CHECKING:
    import pathlib

    from report import Results

__all__ = ["draw_bars", "draw_targets"]

COLOURS = {"asyncio": "tab:blue", "uvloop": "tab:green", "trio": "tab:orange"}


def pyplot() -> Any:
    """Return matplotlib's interface, or ``None``."""
    if importlib.util.find_spec("matplotlib") is None:
        print("matplotlib is not installed: no chart is drawn", file=sys.stderr)
        return None
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    return plt


def draw_bars(results: Results, path: pathlib.Path) -> None:
    """Draw what everything cost: a bar chart for each scenario, of the first interpreter."""
    plt = pyplot()
    if plt is None:
        return
    scenarios = next(iter(results.values()))["scenarios"]
    rows = (len(scenarios) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(14, 5 * rows), squeeze=False)
    for axis in axes.flat[len(scenarios) :]:
        axis.remove()
    for axis, (name, found) in zip(axes.flat, scenarios.items(), strict=False):
        bars = sorted(found.items(), key=lambda item: -item[1]["median"])
        colours = ["tab:orange" if server.startswith("anyws") else "tab:blue" for server, _ in bars]
        axis.barh([server for server, _ in bars], [b["median"] for _, b in bars], color=colours)
        axis.set_title(SCENARIOS[name].title)
        axis.set_xlabel(SCENARIOS[name].unit)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


def draw_targets(results: Results, path: pathlib.Path) -> None:
    """Draw how the compiled build does: what was measured over what was aimed at, 1 is the target."""
    plt = pyplot()
    if plt is None:
        return
    names = list(next(iter(results.values()))["scenarios"])
    figure, axes = plt.subplots(
        1, len(results), figsize=(5 + 4 * len(results), 1 + 0.3 * len(names)), squeeze=False
    )
    for column, (version, facts) in enumerate(results.items()):
        axis = axes[0][column]
        scenarios = facts["scenarios"]
        for loop in LOOPS:
            points = [
                (verdict.ratio / verdict.target.ratio, len(names) - names.index(name))
                for name in scenarios
                for verdict in verdicts(name, scenarios)
                if verdict.target.subject == "anyws" and verdict.target.loop == loop
            ]
            axis.plot(
                [max(x, 0.05) for x, _ in points],
                [y for _, y in points],
                "o",
                color=COLOURS[loop],
                label=loop,
                alpha=0.8,
            )
        axis.axvline(1, color="black", linewidth=1)
        axis.set_xscale("log")
        ticks = [0.1, 0.25, 0.5, 1, 2, 4]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        labels = [SCENARIOS[name].title if column == 0 else "" for name in names]
        axis.set_yticks([len(names) - row for row in range(len(names))], labels, fontsize=8)
        axis.grid(visible=True, alpha=0.3)
        axis.set_title(f"CPython {version}: cost / target (left of 1: met)", fontsize=9)
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
