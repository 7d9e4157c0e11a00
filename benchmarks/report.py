"""What was measured, beside what is aimed at: in print, as JSON and as tables of Markdown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenarios import LOOPS, SCENARIOS

if TYPE_CHECKING:
    import pathlib

    from scenarios import Target

__all__ = ["Results", "Verdict", "print_scenario", "print_summary", "verdicts", "write"]

#: By version of Python: "versions" of the libraries, and "scenarios" by name, which have for each
#: server its "median" and its "samples".
Results = dict[str, dict[str, Any]]
Scenarios = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Verdict:
    """How one of ours did.

    Attributes:
        scenario: its name.
        target: what was aimed at.
        value: what was measured.
        ratio: to the cheapest peer; without peers, the value itself.
        peer: that peer, with its loop.
    """

    scenario: str
    target: Target
    value: float
    ratio: float
    peer: str | None

    @property
    def met(self) -> bool:
        """Whether the target was met."""
        return self.ratio <= self.target.ratio

    def __str__(self) -> str:
        """Say the ratio, the target and whether it was met."""
        state = "met" if self.met else "MISSED"
        if self.peer is None:
            return f"target {self.target.ratio:g} {SCENARIOS[self.scenario].unit}: {state}"
        at = f" with {self.target.scenario}" if self.target.scenario else ""
        return f"{self.ratio:.3g} x {self.peer}{at}, target {self.target.ratio:.3g}: {state}"


def verdicts(name: str, scenarios: Scenarios) -> list[Verdict]:
    """Compare what was measured in a scenario with its targets."""
    found = []
    for target in SCENARIOS[name].targets:
        ours = scenarios[name].get(f"{target.subject}:{target.loop}")
        others = scenarios.get(target.scenario or name, {})
        peers = [peer for peer in (f"{p}:{target.loop}" for p in target.peers) if peer in others]
        if ours is None or (target.peers and not peers):
            continue
        value = ours["median"]
        if not target.peers:
            found.append(Verdict(name, target, value, value, None))
            continue
        best = min(peers, key=lambda peer: float(others[peer]["median"]))
        found.append(Verdict(name, target, value, value / others[best]["median"], best))
    return found


def print_scenario(version: str, name: str, scenarios: Scenarios) -> None:
    """Print a scenario's table."""
    scenario = SCENARIOS[name]
    notes = {
        f"{verdict.target.subject}:{verdict.target.loop}": str(verdict)
        for verdict in verdicts(name, scenarios)
    }
    print(f"\n{scenario.title} ({name}), Python {version}: {scenario.unit}")
    for server, found in sorted(scenarios[name].items(), key=lambda item: item[1]["median"]):
        print(
            f"  {found['median']:10.2f}  {server:26} {notes.get(server, '')}".rstrip(), flush=True
        )


def print_summary(results: Results) -> None:
    """Print how many targets were met, and those that were not."""
    for version, facts in results.items():
        scenarios = facts["scenarios"]
        all_of_them = [verdict for name in scenarios for verdict in verdicts(name, scenarios)]
        missed = [verdict for verdict in all_of_them if not verdict.met]
        print(f"\nPython {version}: {len(all_of_them) - len(missed)} of {len(all_of_them)} met")
        for verdict in missed:
            subject = f"{verdict.target.subject}:{verdict.target.loop}"
            print(f"  {verdict.scenario:20} {subject:22} {verdict}")


def table(subjects: tuple[str, ...], scenarios: Scenarios) -> list[str]:
    """Return lines of Markdown: a row for each scenario and subject, a column for each loop."""
    lines = ["| scenario | asyncio | uvloop | trio |", "|---|---|---|---|"]
    for name in scenarios:
        found = verdicts(name, scenarios)
        for subject in subjects:
            cells = {v.target.loop: cell(v) for v in found if v.target.subject == subject}
            if cells:
                kind = f" ({subject.removeprefix('anyws ')})" if len(subjects) > 1 else ""
                kind = kind if subject != "anyws" else ""
                row = [SCENARIOS[name].title + kind, *(cells.get(loop, "") for loop in LOOPS)]
                lines.append("| " + " | ".join(row) + " |")
    return lines


def cell(verdict: Verdict) -> str:
    """Return a verdict for a table: the ratio, the target, the peer; bold where it was missed."""
    target = verdict.target
    if verdict.peer is None:
        text = f"{verdict.value:.2f} KiB ≤ {target.ratio:g}"
    else:
        peer = verdict.peer.rpartition(":")[0]
        others = f"{peer} ({target.scenario})" if target.scenario else peer
        text = f"{verdict.ratio:.3g} ≤ {target.ratio:.3g} x {others}"
    return text if verdict.met else f"**{text.replace('≤', '>')}**"


def costs(scenarios: Scenarios) -> list[str]:
    """Return lines of Markdown with all that was measured: a row for each server."""
    names = list(scenarios)
    servers: dict[str, None] = {}
    for name in names:
        servers |= dict.fromkeys(scenarios[name])
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for server in sorted(servers, key=lambda s: (s.rpartition(":")[2], s)):
        cells = [scenarios[name].get(server) for name in names]
        values = [f"{found['median']:.3g}" if found else "" for found in cells]
        lines.append(f"| {server} | " + " | ".join(values) + " |")
    return lines


def write(results: Results, folder: pathlib.Path) -> None:
    """Write ``results.json`` and ``targets.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    lines = []
    for version, facts in results.items():
        scenarios = facts["scenarios"]
        subjects = ("anyws", "anyws zlib-ng", "anyws isal")
        lines += [f"## CPython {version}", "", *table(subjects, scenarios), ""]
        lines += ["### Plain build", "", *table(("anyws plain",), scenarios), ""]
        lines += ["### Costs", "", *costs(scenarios), ""]
    (folder / "targets.md").write_text("\n".join(lines), encoding="utf-8")
