"""The demo as a process of its own."""

import os
import pathlib
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

import anyws


class DemoProcess:
    """``anyws demo`` as it runs for a user."""

    def __init__(self, process, backend):
        self.process = process
        self.backend = backend
        self.output = BufferedByteReceiveStream(process.stdout)
        self.first_line = ""
        self.port = 0

    async def read_line(self):
        return (await self.output.receive_until(b"\n", 10_000)).decode()

    async def rest(self):
        """Return what it wrote until its end."""
        return b"".join([piece async for piece in self.output])

    async def started(self):
        with anyio.fail_after(20):
            self.first_line = await self.read_line()
        address = re.search(r"http://\S+:(\d+)/ ", self.first_line)
        assert address is not None, f"the demo did not start, but says {self.first_line!r}"
        self.port = int(address[1])

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def connect(self, path="/chat", **options):
        return anyws.connect(f"ws://127.0.0.1:{self.port}{path}", **options)

    async def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return await self.exit_code()

    async def exit_code(self):
        with anyio.fail_after(15):
            return await self.process.wait()

    def memory(self, name="VmRSS"):
        """Bytes of resident memory now, or with ``VmHWM`` the most since ``forget_peak``."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@asynccontextmanager
async def _run_demo(backend, *arguments):
    command = [sys.executable, "-m", "anyws", "demo", "--backend", backend, "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = await anyio.open_process(
        [*command, *arguments], stderr=subprocess.STDOUT, env=environment
    )
    try:
        demo = DemoProcess(process, backend)
        await demo.started()
        yield demo
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


@pytest.fixture
def run_demo():
    """Give ``async with run_demo(backend)``, a demo on any free port."""
    return _run_demo


@pytest.fixture
def loop_name(anyio_backend):
    """The name that the command line has for the loop that this test runs on."""
    name, options = anyio_backend
    return "uvloop" if options.get("use_uvloop") else name
