"""What the system does: no descriptors left, warnings as errors, other threads, clocks, memory."""

import ast
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import sys

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

import anyws
from anyws.testing import WebSocketPair

PROGRAMS = pathlib.Path(__file__).parent / "programs"
LOOPS = ["asyncio", "uvloop", "trio"]
#: What reads a clock that may be set, or that counts in wall time.
WALL_CLOCKS = {"time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime"}


def run(program, loop, *options):
    """Run a program of this directory; return what it wrote."""
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONASYNCIODEBUG": "1"}
    command = [sys.executable, *options, str(PROGRAMS / program), loop]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_runs_out_of_descriptors(loop):
    """Those that are connected go on, and new clients are served once there are descriptors again."""
    assert run("descriptors.py", loop).stdout.split() == ["before", "during", "after"]


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_is_left_to_warn_of(loop):
    """Development mode, asyncio's debug mode and warnings as errors: many ways to end, and not a word."""
    result = run("endings.py", loop, "-X", "dev")
    assert result.stderr == ""
    assert result.stdout.split() == ["done"]


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["fin", "reset", "garbage"])
@pytest.mark.parametrize("phase", ["at once", "in the middle"])
async def test_a_loss_during_tls(end, phase, contexts):
    """Of the same type on each loop; what is no TLS is an error of TLS."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def fail(stream):
        async with stream:
            if phase == "in the middle":
                await stream.receive()
            if end == "garbage":
                await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await stream.receive()
            elif end == "reset":
                sock = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    expected = ssl.SSLError if end == "garbage" else ConnectionResetError
    async with listener, anyio.create_task_group() as tg:
        tg.start_soon(listener.serve, fail)
        with anyio.fail_after(10), pytest.raises(expected):
            async with anyws.connect(f"wss://localhost:{port}/", ssl_context=contexts[1]):
                pytest.fail("it did not open")
        tg.cancel_scope.cancel()


@pytest.mark.anyio
async def test_another_thread_goes_through_the_loop():
    """``anyio.from_thread`` is the way in; it is what the reference says."""
    async with WebSocketPair() as (client, server):

        def work():
            anyio.from_thread.run(client.send, "from a thread")
            return anyio.from_thread.run(client.receive)

        async with anyio.create_task_group() as tg:

            async def answer():
                await server.send(f"to you: {await server.receive()}")

            tg.start_soon(answer)
            assert await anyio.to_thread.run_sync(work) == "to you: from a thread"


def test_no_clock_that_can_be_set():
    """Time limits, pings and latencies come from clocks that only go forward."""
    package = pathlib.Path(anyws.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.parent.name == "demo":
            continue  # It shows the time of day.
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in WALL_CLOCKS:
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                if owner in ("time", "datetime", "date"):
                    found.append(f"{path.relative_to(package)}:{node.lineno}")
            if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
                found += [
                    f"{path.relative_to(package)}:{node.lineno}"
                    for alias in node.names
                    if alias.name in WALL_CLOCKS | {"datetime"}
                ]
    assert found == []
