"""Run Autobahn|Testsuite against anyws, strictly, and compare with what is expected.

    python tests/autobahn/run.py --cases full                 # everything, as the figures in docs/
    python tests/autobahn/run.py --role client --loop trio --cases 9.*,12.1.1
    python tests/autobahn/run.py --suite kosoku --cases fast  # seconds, without Python 2.7

``wstest`` is the original; ``install.sh`` installs it. ``kosoku`` runs the same cases. A case passes if its
verdict is the one in ``expected.json``; NON-STRICT is a failure, and so is a case that did not run.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
LOOPS = ("asyncio", "uvloop", "trio")
ROLES = ("server", "client")

_BASE = [f"{chapter}.*" for chapter in (1, 2, 3, 4, 5, 6, 7, 10)]
_COMPRESSED = [f"12.{n}" for n in range(1, 6)] + [f"13.{n}" for n in range(1, 8)]
#: What ``--cases`` has names for. 9 is about limits and speed, 12 and 13 about compression.
SELECTIONS = {
    "fast": _BASE,
    "quick": [*_BASE, "9.*", *(f"{group}.{n}" for group in _COMPRESSED for n in (1, 3))],
    "full": [*_BASE, "9.*", "12.*", "13.*"],
}
_SECONDS_TO_START = 20


def expand(patterns):
    """Return the numbers of the cases that the patterns take, in the suite's order."""
    expression = "|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns)
    return [case for case in EXPECTED if re.fullmatch(expression, case)]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, log, **options):
    """Start a process; end it, and only it, when the block is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stderr=output, **{"stdout": output, **options})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def wait_for_port(port, process, log):
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}; {log} says:\n{log.read_text()[-2000:]}")


class Run:
    """One role on one loop."""

    def __init__(self, options, role, loop, cases, folder):
        self.suite, self.cases, self.limit = options.suite, cases, options.limit
        self.role, self.loop, self.folder = role, loop, folder
        self.peer = [sys.executable, str(HERE / "peer.py"), role, loop]
        self.wstest = options.wstest
        self.kosoku = str(pathlib.Path(sys.executable).with_name("kosoku"))
        self.agent = f"{options.library}-{loop}"
        if options.library != "anyws":
            self.peer[1] = str(HERE / f"peer_{options.library}.py")
        folder.mkdir(parents=True)

    def results(self):
        """Run the cases and return ``{case: (behavior, behaviorClose)}``."""
        self.test_server() if self.role == "server" else self.test_client()
        (results,) = json.loads((self.folder / "index.json").read_text()).values()
        return {
            case: (result["behavior"], result["behaviorClose"]) for case, result in results.items()
        }

    def command(self, mode, port):
        address = f"ws://127.0.0.1:{port}"
        if self.suite == "kosoku":
            command = [self.kosoku, "-m", mode, "-o", str(self.folder)]
            for case in self.cases:
                command += ["-i", case]
            parallel = ["-p", "4"] if mode == "fuzzingclient" else []
            return [*command, *parallel, address.removeprefix("ws://")]
        specification = {"outdir": str(self.folder), "cases": self.cases}
        if mode == "fuzzingclient":
            specification["servers"] = [{"agent": self.agent, "url": address}]
        else:
            specification["url"] = address
        file = self.folder / "specification.json"
        file.write_text(json.dumps(specification))
        # "-u 0" keeps it from serving its web page too.
        return [
            self.wstest,
            "-m",
            mode,
            "-s",
            str(file),
            *(["-u", "0"] if mode != "fuzzingclient" else []),
        ]

    def test_server(self):
        log = self.folder / "server.log"
        with running([*self.peer], log, stdout=subprocess.PIPE, text=True) as server:
            port = server.stdout.readline().strip()
            if not port:
                raise SystemExit(f"the server did not start:\n{log.read_text()[-2000:]}")
            with (self.folder / "suite.log").open("wb") as output:
                subprocess.run(
                    self.command("fuzzingclient", port),
                    stdout=output, stderr=output, timeout=self.limit, check=self.suite == "wstest",
                )  # fmt: skip

    def test_client(self):
        port = free_port()
        log = self.folder / "suite.log"
        with running(self.command("fuzzingserver", port), log) as suite:
            wait_for_port(port, suite, log)
            with (self.folder / "client.log").open("wb") as output:
                subprocess.run(
                    [*self.peer, f"ws://127.0.0.1:{port}", self.agent],
                    stdout=output, stderr=output, timeout=self.limit, check=True,
                )  # fmt: skip
            if self.suite == "kosoku":
                # It writes its reports when it ends.
                suite.wait(30)


def judge(results, cases):
    """Return what differs from the expected verdicts, a line each."""
    lines = []
    for case in cases:
        behavior, close = results.get(case, ("did not run", "did not run"))
        if behavior != EXPECTED[case] or close not in {"OK", "INFORMATIONAL"}:
            lines.append(f"  {case}: {behavior}, closing {close}; expected {EXPECTED[case]}")
    return lines


def tried(options, role, loop, cases, folder):
    """Run the cases in one role on one loop; return whether the verdicts are the expected ones."""
    start = time.monotonic()
    results = Run(options, role, loop, cases, folder / f"{role}-{loop}").results()
    seconds = time.monotonic() - start
    differences = judge(results, cases)
    verdicts = collections.Counter(behavior for behavior, _ in results.values())
    counted = ", ".join(f"{count} {name}" for name, count in verdicts.most_common())
    lines = [f"{options.library} {role} on {loop}: {len(cases)} cases, {counted}; {seconds:.0f} s"]
    print(*lines, *differences, sep="\n", flush=True)
    return not differences


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--suite", choices=["wstest", "kosoku"], default="wstest")
    parser.add_argument("--role", choices=[*ROLES, "both"], default="both")
    parser.add_argument("--loop", choices=LOOPS, nargs="+", default=LOOPS)
    parser.add_argument("--at-once", type=int, default=1, help="roles and loops side by side")
    parser.add_argument("--cases", default="quick", help="fast, quick, full or a list of patterns")
    parser.add_argument("--library", default="anyws", help="anyws, or websockets to compare with")
    parser.add_argument("--wstest", default=os.environ.get("WSTEST") or shutil.which("wstest"))
    parser.add_argument(
        "--limit", type=float, default=3600, help="seconds for one role on one loop"
    )
    parser.add_argument("--report", type=pathlib.Path, help="where to keep the suite's reports")
    return parser.parse_args()


def main():
    options = arguments()
    if options.suite == "wstest" and not (options.wstest and os.path.exists(options.wstest)):
        print("NOT TESTED: there is no wstest; tests/autobahn/install.sh DIRECTORY installs it")
        return 1 if os.environ.get("ANYWS_REQUIRE_AUTOBAHN") else 0
    cases = expand(SELECTIONS.get(options.cases) or options.cases.split(","))
    folder = options.report or pathlib.Path(tempfile.mkdtemp(prefix="autobahn-"))
    roles = ROLES if options.role == "both" else [options.role]
    with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
        runs = [
            pool.submit(tried, options, role, loop, cases, folder)
            for loop in options.loop
            for role in roles
        ]
        failed = False in [run.result() for run in runs]
    print(f"reports are in {folder}" if failed or options.report else "as expected")
    if not failed and not options.report:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
