"""Measures anyws and others in one run, and compares each value with its target.

Usage: python benchmarks/run.py [--scenario NAME ...] [--server NAME ...] [--python PATH ...] [--out DIR]

Linux, gcc and two CPUs are needed: what is measured has CPU 1, the load generator CPU 0. What counts
is the CPU time of the server's process (of the client's, where clients are measured), as the kernel
tells it. Servers take turns, and the median of the repeats counts, so that a busy machine does not favour
one of them. Libraries that are not installed are named and left out; ``pip install --group benchmarks .``
installs all of them.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from chart import draw_bars, draw_targets
from clients import CLIENTS
from memory import growth_kib, idle_kib
from payloads import WARM_UP, frames_of
from processes import C_ECHO, Failure, Python, Workshop
from report import Results, print_scenario, print_summary, write
from scenarios import LOOPS, SCENARIOS, Scenario
from servers import SERVERS

if TYPE_CHECKING:
    from processes import Server

#: Connections from which on a server is busy for a while when they end, and so is used once.
CROWD = 1000


def is_fresh(scenario: Scenario) -> bool:
    """Tell whether each measurement has a new server; one whose memory was taken once would use it again."""
    return scenario.connections >= CROWD or scenario.mode in {"idle", "growth"}


def names_of(scenario: Scenario, python: Python, wanted: list[str] | None) -> list[str]:
    """Return the servers or clients of a scenario that are installed and wanted."""
    known = CLIENTS if scenario.mode == "client" else SERVERS
    names = [C_ECHO] if C_ECHO in scenario.libraries else []
    for loop in LOOPS:
        names += [f"{name}:{loop}" for name in scenario.libraries if f"{name}:{loop}" in known]
    return [
        name
        for name in names
        if python.has(name)
        and (wanted is None or name in wanted or name.partition(":")[0] in wanted)
    ]


class Progress:
    """Shows what is under way, where somebody may be looking."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def show(self, text: str) -> None:
        """Replace the line on a terminal."""
        if sys.stderr.isatty():
            elapsed = time.monotonic() - self._begin
            print(f"\r\033[K{elapsed:5.0f} s  {text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def done(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        elapsed = time.monotonic() - self._begin
        print(f"{elapsed:5.0f} s  {text}", file=sys.stderr, flush=True)


class Run:
    """One run over one interpreter.

    Args:
        workshop: what starts processes.
        python: which interpreter.
        options: of the command line.
        progress: where to show what is under way.
    """

    def __init__(
        self,
        workshop: Workshop,
        python: Python,
        options: argparse.Namespace,
        progress: Progress,
    ) -> None:
        self._workshop = workshop
        self._python = python
        self._options = options
        self._progress = progress
        self._setup: dict[str, Any] = {}
        self._running: dict[str, Server] = {}

    def measure(self, name: str) -> dict[str, list[float]]:
        """Return the values of one scenario for each server, a value for each repeat."""
        scenario = SCENARIOS[name]
        servers = names_of(scenario, self._python, self._options.server)
        samples: dict[str, list[float]] = {server: [] for server in servers}
        repeats = self._options.repeats
        self._start(scenario, servers)
        for repeat in range(repeats):
            for server in servers:
                self._progress.show(f"{name}: {server} ({repeat + 1} of {repeats})")
                try:
                    samples[server].append(self._value(scenario, server))
                except Failure as failure:
                    self._progress.done(f"{name}: {server} failed: {failure}")
                    self._restart(scenario, server)
        self._progress.clear()
        return {server: found for server, found in samples.items() if found}

    def _start(self, scenario: Scenario, names: list[str]) -> None:
        """Start servers side by side, since an idle one costs nothing; those of an equal setup stay."""
        setup = {
            "task": scenario.task,
            "deflate": scenario.deflate,
            "certificate": self._workshop.certificate if scenario.tls else None,
        }
        if setup != self._setup:
            self.stop()
            self._setup = setup
        if scenario.mode == "client" or is_fresh(scenario):
            return
        started = [name for name in names if name not in self._running]
        for name in started:
            self._running[name] = self._workshop.start(self._python, name, setup)
        for name in started:
            try:
                self._running[name].wait_until_it_listens()
            except Failure as failure:
                self._progress.done(f"{name}: {failure}")

    def _restart(self, scenario: Scenario, name: str) -> None:
        """Start a server anew that failed; it may be fit for the next scenario."""
        if name in self._running:
            self._running.pop(name).stop()
            self._start(scenario, [name])

    def stop(self) -> None:
        """End all servers."""
        for server in self._running.values():
            server.stop()
        self._running.clear()

    def _value(self, scenario: Scenario, name: str) -> float:
        if scenario.mode == "client":
            echo = self._workshop.start_echo_for_clients()
            try:
                values = (echo.port, scenario.window, scenario.size, self._options.seconds)
                return self._workshop.run_client(self._python, name, *values)[scenario.value]
            finally:
                echo.stop()
        if not is_fresh(scenario):
            return self._load(scenario, self._running[name])
        server = self._workshop.start(self._python, name, self._setup)
        try:
            server.wait_until_it_listens()
            if scenario.mode == "idle":
                return idle_kib(server.pid, server.port, scenario)
            if scenario.mode == "growth":
                return growth_kib(server.pid, server.port, scenario)
            return self._load(scenario, server)
        finally:
            server.stop()

    def _load(self, scenario: Scenario, server: Server) -> float:
        found = self._workshop.load(
            server.port,
            self._options.seconds,
            frames_of(scenario),
            pid=server.pid,
            mode=scenario.mode,
            connections=scenario.connections,
            window=scenario.window,
            expect=scenario.expect,
            warm_up=WARM_UP,
            tls=int(scenario.tls),
            deflate=int(scenario.deflate),
        )
        return found[scenario.value]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    libraries = {name.partition(":")[0] for name in SERVERS | CLIENTS}
    known = sorted({C_ECHO, *SERVERS, *CLIENTS, *libraries})
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    parser.add_argument(
        "--server",
        action="append",
        choices=known,
        metavar="NAME",
        help="a library, or a library and a loop as in anyws:trio; clients too; default: all",
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--python", action="append", help="what runs the servers, for instance of another version"
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="directory for results.json, targets.md, targets.png and chart.png",
    )
    return parser.parse_args()


def raise_file_limit() -> None:
    """Let this process's children open as many files as the system lets them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def summary(samples: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Return the median of each server beside what it was taken from."""
    return {
        server: {"median": statistics.median(values), "samples": values}
        for server, values in samples.items()
    }


def main() -> None:
    """Measure, print and write what was asked for."""
    options = parse_arguments()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two CPUs are needed")
    raise_file_limit()
    progress = Progress()
    results: Results = {}
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(pathlib.Path(folder))
        for path in options.python or [sys.executable]:
            python = Python(path)
            if not python.compiled:
                progress.done(f"Python {python.version}: anyws is not compiled")
            for name in SERVERS | CLIENTS:
                if not python.has(name):
                    progress.done(f"Python {python.version}: {name} is not installed")
            found: dict[str, dict[str, Any]] = {}
            results[python.version] = {"versions": python.versions, "scenarios": found}
            run = Run(workshop, python, options, progress)
            try:
                for name in options.scenario or SCENARIOS:
                    if SCENARIOS[name].tls and not workshop.has_tls:
                        continue
                    found[name] = summary(run.measure(name))
                    progress.done(f"Python {python.version}: {name}")
                    print_scenario(python.version, name, found)
                    if options.out is not None:
                        write(results, options.out)
            finally:
                run.stop()
    print_summary(results)
    if options.out is not None:
        draw_bars(results, options.out / "chart.png")
        draw_targets(results, options.out / "targets.png")


if __name__ == "__main__":
    main()
