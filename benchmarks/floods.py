"""Floods servers, ours beside those of others, and tells what each flood costs and what comes of it.

    python benchmarks/floods.py                     # all servers, all floods: about a quarter of an hour
    python benchmarks/floods.py --server anyws:trio --flood bomb

Each server is a process of its own, new for each flood. A flood comes twice, a quarter of it first, so that
CPU which grows faster than the flood shows. Per cell:

* by how many MiB the server's resident memory was larger at its peak,
* the seconds of CPU for the whole flood, and "!" when that was over six times that of the quarter,
* what became of the flooder: a close code, an HTTP status, "cut", or in words,
* the longest that another client's echo took meanwhile, if it was over 50 ms.

Peers that are not installed are left out, and so is the compression of those that have none.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pathlib
import sys
from typing import Any, NamedTuple

import flood_peer
from flood_attacks import FLOODS, Flood
from flood_servers import SERVERS

_MODULES = {"trio-websocket": "trio_websocket"}
#: Seconds of CPU below which their growth says nothing.
_LITTLE = 0.2


class Cost(NamedTuple):
    """What a flood did to a server."""

    memory: float
    cpu: float
    quarter: float
    slowest: float
    reaction: str

    @property
    def superlinear(self) -> bool:
        """Whether four times as much took far more than four times the CPU."""
        return self.cpu > max(_LITTLE, 6 * self.quarter)

    def __str__(self) -> str:
        """Say it in a cell of a table."""
        cell = f"{self.memory:.1f} MiB, {self.cpu:.2f}{'!' if self.superlinear else ''} s"
        if self.slowest > 0.05:
            found = f"{1000 * self.slowest:.0f} ms" if self.slowest < 1e9 else "no echo in 30 s"
            cell += f" ({found})"
        return f"{cell}, {self.reaction}"


def installed(server: str) -> bool:
    """Tell whether a server's library and loop are there."""
    library, _, loop = server.partition(":")
    modules = [_MODULES.get(library, library), *([loop] if loop != "asyncio" else [])]
    return all(importlib.util.find_spec(module) is not None for module in modules)


def measure(server: str, flood: Flood, python: str) -> Cost:
    """Flood a new server."""
    with flood_peer.start(server, python=python) as victim:
        for _ in range(20):
            victim.serves()
        victim.settle()
        victim.start_counting()
        began = victim.cpu()
        if flood.size >= 4 and flood.scales:
            flood.run(victim, flood.size // 4)
            victim.settle()
        quarter = victim.cpu()
        with flood_peer.Neighbour(victim) as neighbour:
            reaction = flood.run(victim, flood.size)
        victim.settle()
        spent = victim.cpu() - quarter
        return Cost(
            victim.growth(),
            spent,
            (quarter - began) or spent / 4,
            neighbour.slowest,
            reaction,
        )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", action="append", choices=SERVERS, help="default: all")
    parser.add_argument("--flood", action="append", choices=FLOODS, help="default: all")
    parser.add_argument("--python", default=sys.executable, help="what runs the servers")
    parser.add_argument("--out", type=pathlib.Path, help="write the figures to this file, as JSON")
    return parser.parse_args()


def main() -> None:
    """Measure and print what was asked for."""
    options = parse_arguments()
    servers = [server for server in options.server or SERVERS if installed(server)]
    print("| flood | " + " | ".join(servers) + " |")
    print("|---|" + "---|" * len(servers), flush=True)
    figures: dict[str, dict[str, Any]] = {}
    for name in options.flood or FLOODS:
        flood = FLOODS[name]
        cells = []
        for server in servers:
            if sys.stderr.isatty():
                print(f"\r\033[K{name}: {server}", end="", file=sys.stderr, flush=True)
            try:
                cost = measure(server, flood, options.python)
            except (OSError, RuntimeError) as error:
                cells.append(f"fails: {error}")
                continue
            figures.setdefault(name, {})[server] = cost._asdict()
            cells.append("-" if cost.reaction == "-" else str(cost))
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(f"| {flood.title.format(flood.size)} | " + " | ".join(cells) + " |", flush=True)
        if options.out is not None:
            options.out.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
