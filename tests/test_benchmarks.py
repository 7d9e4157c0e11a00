"""The benchmarks measure what they say, and judge it as they say."""

import importlib
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from anyws.core.inbound import Inbound
from anyws.limits import Limits

FOLDER = pathlib.Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(FOLDER))
    known = {path.stem for path in FOLDER.glob("*.py")}
    yield importlib.import_module
    for name in known & set(sys.modules):
        del sys.modules[name]


def test_targets_name_who_is_measured(load):
    scenarios = load("scenarios").SCENARIOS
    servers, clients = load("servers").SERVERS, load("clients").CLIENTS
    for name, scenario in scenarios.items():
        known = clients if scenario.mode == "client" else servers
        for library in scenario.libraries:
            assert library == "C epoll" or any(found.startswith(f"{library}:") for found in known)
        for target in scenario.targets:
            where = scenarios[target.scenario or name]
            for library in (target.subject, *target.peers):
                assert library in where.libraries, (name, library)
            assert f"{target.subject}:{target.loop}" in known
            assert not target.peers or any(f"{p}:{target.loop}" in known for p in target.peers)


def test_frames_are_what_a_server_takes(load):
    frames_of = load("payloads").frames_of
    for scenario in load("scenarios").SCENARIOS.values():
        if scenario.payload == "deflate" or scenario.size > 2**16:
            continue
        inbound = Inbound(masked=True, limits=Limits(receive_buffer=2**20))
        frames = bytearray(frames_of(scenario))
        inbound.receive_data(frames, len(frames))
        assert inbound.messages
        for message in inbound.messages:
            if scenario.mode != "rounds":
                assert len(message) == scenario.size
            if scenario.payload == "json":
                assert json.loads(message)


def test_compressed_frames_are_smaller(load):
    scenarios, payloads = load("scenarios").SCENARIOS, load("payloads")
    frames = payloads.frames_of(scenarios["deflate"])
    assert frames[0] == 0xC1
    assert len(frames) < payloads.TEXTS * scenarios["deflate"].size / 2


def test_verdicts(load):
    report = load("report")
    found = {
        "anyws:asyncio": {"median": 5.0},
        "picows.websockets:asyncio": {"median": 4.0},
        "anyws:trio": {"median": 3.0},
        "raw trio:trio": {"median": 6.0},
    }
    missed, met = report.verdicts("ping-pong", {"ping-pong": found})
    assert (missed.ratio, missed.peer, missed.met) == (1.25, "picows.websockets:asyncio", False)
    assert (met.ratio, met.peer, met.met) == (0.5, "raw trio:trio", True)
    many = {"100": {"anyws:trio": {"median": 2.0}}, "10000": {"anyws:trio": {"median": 3.0}}}
    (growing,) = report.verdicts("10000", many)
    assert (growing.ratio, growing.met) == (1.5, False)
    (memory,) = report.verdicts("idle", {"idle": {"anyws:trio": {"median": 8.5}}})
    assert (memory.value, memory.peer, memory.met) == (8.5, None, True)


@pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("taskset")), reason="gcc and taskset are needed"
)
def test_a_run(tmp_path):
    scenarios = ["ping-pong", "client"]
    command = [sys.executable, str(FOLDER / "run.py"), "--seconds", "0.05", "--repeats", "1"]
    command += ["--server", "anyws:asyncio", "--out", str(tmp_path)]
    for scenario in scenarios:
        command += ["--scenario", scenario]
    done = subprocess.run(command, capture_output=True, text=True)
    if "two CPUs" in done.stderr:
        pytest.skip("two CPUs are needed")
    assert done.returncode == 0, done.stderr
    (facts,) = json.loads((tmp_path / "results.json").read_text()).values()
    assert list(facts["scenarios"]) == scenarios
    for found in facts["scenarios"].values():
        assert found["anyws:asyncio"]["median"] > 0
