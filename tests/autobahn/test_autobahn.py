"""Autobahn's cases at every commit, without those of size and compression; ``run.py`` has all of them."""

import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
pytest.importorskip("kosoku", reason="kosoku is not installed; Autobahn's cases were NOT tried")


def run(*arguments):
    command = [sys.executable, str(HERE / "run.py"), "--suite", "kosoku", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_fast_cases(role, loop):
    done = run("--role", role, "--loop", loop, "--cases", "fast")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "247 cases, 244 OK, 3 INFORMATIONAL" in done.stdout


def test_another_verdict_fails():
    """A server that reads ahead of its application is told so."""
    done = run("--role", "server", "--loop", "asyncio", "--cases", "3.*", "--library", "websockets")
    assert done.returncode == 1
    assert "3.2: NON-STRICT, closing OK; expected OK" in done.stdout


def test_every_case_has_its_verdict():
    expected = json.loads((HERE / "expected.json").read_text())
    assert len(expected) == 517
    others = {case: verdict for case, verdict in expected.items() if verdict != "OK"}
    assert others == dict.fromkeys(("7.1.6", "7.13.1", "7.13.2"), "INFORMATIONAL")
