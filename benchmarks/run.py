"""Measures the CPU time of echo servers per message: ours, those of others, plain byte echoes, and one in C.

Usage: python benchmarks/run.py [--scenario NAME ...] [--server NAME ...] [--out DIRECTORY]

Linux, gcc and two CPUs are needed: the server has CPU 1, the load generator CPU 0. Servers take
turns, and the median of the repeats counts, so that a busy machine does not favour one of them.
Libraries that are not installed are named and left out; ``pip install --group benchmarks .``
installs all of them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from scenarios import SCENARIOS, Scenario
from servers import SERVERS

HERE = pathlib.Path(__file__).parent
C_ECHO = "C epoll"
NEEDS = {"picows.websockets": "picows", "trio-websocket": "trio_websocket"}
START_TIMEOUT = 10.0


def installed(server: str) -> bool:
    """Tell whether the libraries that ``server`` needs are there."""
    library, _, loop = server.partition(":")
    needed = [] if library.startswith("raw") else [NEEDS.get(library, library)]
    needed += [loop] if loop in {"uvloop", "trio"} else []
    return all(importlib.util.find_spec(name) for name in needed)


def compile_programs(folder: pathlib.Path) -> None:
    """Compile the load generator and the C echo into ``folder``."""
    for name in ("load", "echo"):
        subprocess.run(
            ["gcc", "-O2", "-o", str(folder / name), str(HERE / f"{name}.c")], check=True
        )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes], server: str) -> None:
    """Wait until a connection can be opened."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{server} does not start") from None
            time.sleep(0.05)
        else:
            return


def measure(
    folder: pathlib.Path, python: str, server: str, scenario: Scenario, seconds: float
) -> dict[str, Any]:
    """Run ``scenario`` once against ``server``; return what the load generator says."""
    port = free_port()
    command = [python, str(HERE / "servers.py"), server, str(port)]
    if server == C_ECHO:
        command = [str(folder / "echo"), str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", "1", *command], stdout=log, stderr=log, cwd=folder
        )
        try:
            wait_until_it_listens(port, process, server)
            load = [scenario.connections, scenario.window, scenario.size, seconds, scenario.kind]
            done = subprocess.run(
                ["taskset", "-c", "0", str(folder / "load"), str(port)]
                + [str(value) for value in (*load, process.pid)],
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds * 4 + 60,
            )
        finally:
            process.kill()
            process.wait()
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or "the load generator failed")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def progress(text: str) -> None:
    """Show what is under way, where somebody may be looking."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def run_scenario(
    folder: pathlib.Path, options: argparse.Namespace, name: str, servers: list[str]
) -> dict[str, float]:
    """Return the median of microseconds per message for each server."""
    samples: dict[str, list[float]] = {server: [] for server in servers}
    for repeat in range(options.repeats):
        for server in servers:
            progress(f"{name}: {server} ({repeat + 1} of {options.repeats})")
            try:
                result = measure(folder, options.python, server, SCENARIOS[name], options.seconds)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{name}: {server} failed: {error}", file=sys.stderr)
                continue
            samples[server].append(result["microseconds"])
    progress("")
    return {server: statistics.median(found) for server, found in samples.items() if found}


def verdict(scenario: Scenario, loop: str, medians: dict[str, float]) -> str:
    """Compare ours on ``loop`` with the target."""
    target = scenario.targets[loop]
    peers = [f"{peer}:{loop}" for peer in target.peers if f"{peer}:{loop}" in medians]
    ours = medians.get(f"anyws:{loop}")
    if ours is None or not peers:
        return ""
    best = min(peers, key=medians.__getitem__)
    ratio = ours / medians[best]
    state = "met" if ratio <= target.ratio else "MISSED"
    return f"{ratio:.2f} x {best}, target {target.ratio:.2f}: {state}"


def report(scenario: Scenario, medians: dict[str, float]) -> None:
    """Print a scenario's table."""
    print(f"\n{scenario.title}: microseconds of server CPU per message")
    for server, median in sorted(medians.items(), key=lambda item: item[1]):
        library, _, loop = server.partition(":")
        note = verdict(scenario, loop, medians) if library == "anyws" else ""
        print(f"  {median:10.2f}  {server:28} {note}".rstrip())


def draw(results: dict[str, dict[str, float]], path: pathlib.Path) -> None:
    """Draw one bar chart for each scenario, if matplotlib is there."""
    if importlib.util.find_spec("matplotlib") is None:
        print("matplotlib is not installed: no chart is drawn", file=sys.stderr)
        return
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    rows = (len(results) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(14, 5 * rows), squeeze=False)
    for axis in axes.flat[len(results) :]:
        axis.remove()
    for axis, (name, medians) in zip(axes.flat, results.items(), strict=False):
        found = sorted(medians.items(), key=lambda item: -item[1])
        colours = [
            "tab:orange" if server.startswith("anyws") else "tab:blue" for server, _ in found
        ]
        axis.barh([server for server, _ in found], [cost for _, cost in found], color=colours)
        axis.set_title(SCENARIOS[name].title)
        axis.set_xlabel("µs of server CPU per message")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    parser.add_argument(
        "--server", action="append", choices=[C_ECHO, *SERVERS], help="default: all"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="what runs the servers")
    parser.add_argument("--out", type=pathlib.Path, help="directory for results.json and chart.png")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write what was asked for."""
    options = parse_arguments()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two CPUs are needed")
    servers = [C_ECHO]
    for server in options.server or SERVERS:
        if server == C_ECHO:
            continue
        if installed(server):
            servers.append(server)
        else:
            print(f"{server} is not installed: it is left out", file=sys.stderr)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        compile_programs(pathlib.Path(folder))
        for name in options.scenario or SCENARIOS:
            results[name] = run_scenario(pathlib.Path(folder), options, name, servers)
            report(SCENARIOS[name], results[name])
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        facts = {"python": platform.python_version(), "microseconds per message": results}
        (options.out / "results.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
        draw(results, options.out / "chart.png")


if __name__ == "__main__":
    main()
