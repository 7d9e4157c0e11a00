"""The command as a process of its own."""

import datetime as dt
import importlib.util
import os
import pathlib
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import anyio
import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream

import anyws

_LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


def environment(**more):
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}
    # In development mode asyncio has something to say on a busy machine.
    found.pop("PYTHONDEVMODE", None)
    return found


class Command:
    """``anyws`` as it runs for a user."""

    def __init__(self, process):
        self.process = process
        self.output = BufferedByteReceiveStream(process.stdout)
        self.port = 0

    async def line(self):
        with anyio.fail_after(20):
            return (await self.output.receive_until(b"\n", 100_000)).decode()

    async def listening(self):
        """Return the line that says where it listens."""
        line = await self.line()
        address = re.search(r"wss?://\S+:(\d+)/ ", line)
        self.port = int(address[1]) if address else 0
        return line

    async def rest(self):
        """Return what it wrote until its end."""
        with anyio.fail_after(20):
            return b"".join([piece async for piece in self.output]).decode()

    async def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return await self.exit_code()

    async def exit_code(self):
        with anyio.fail_after(20):
            return await self.process.wait()


@asynccontextmanager
async def _run_command(*arguments, cwd=None, **variables):
    process = await anyio.open_process(
        [sys.executable, "-m", "anyws", *map(str, arguments)],
        stderr=subprocess.STDOUT, cwd=cwd, env=environment(**variables),
    )  # fmt: skip
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


@pytest.fixture
def run_command():
    """Give ``async with run_command(*arguments)``, a running command."""
    return _run_command


def _call(*arguments, cwd=None, text="", **variables):
    return subprocess.run(
        [sys.executable, "-m", "anyws", *map(str, arguments)],
        capture_output=True, input=text, text=True, cwd=cwd, env=environment(**variables), timeout=60,
    )  # fmt: skip


@pytest.fixture
def call():
    """Give ``call(*arguments)``, which runs a command to its end."""
    return _call


def _load(name):
    """Load a module that lies here; the tests are not a package."""
    spec = importlib.util.spec_from_file_location(
        name, pathlib.Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


emulator = _load("terminal_emulator")


@pytest.fixture
def on_terminal():
    """Give ``on_terminal(*arguments)``, which starts a command on a pseudo-terminal."""
    terminals = []

    def start(*arguments, width=80, height=24, own_session=True, **variables):
        variables = {"TERM": "xterm", "XDG_STATE_HOME": "/nonexistent", **variables}
        shape = {"width": width, "height": height, "own_session": own_session}
        terminals.append(emulator.Terminal(arguments, environment(**variables), **shape))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


@pytest.fixture
def make_screen():
    return emulator.Screen


@contextmanager
def _serving(handler, **options):
    async def start(task_status):
        async with anyio.create_task_group() as task_group:
            server = await task_group.start(partial(anyws.serve, handler, "127.0.0.1", **options))
            task_status.started((server, task_group.cancel_scope))

    with start_blocking_portal("asyncio") as portal:
        future, (server, scope) = portal.start_task(lambda *, task_status: start(task_status))
        try:
            yield server.port
        finally:
            portal.call(scope.cancel)
            future.result(20)


@pytest.fixture
def serving():
    """Give ``with serving(handler) as port``, a server in a thread of its own."""
    return _serving


@pytest.fixture
def echo_port():
    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)

    with _serving(echo) as port:
        yield port


@pytest.fixture
def loop_name(anyio_backend):
    """The name that the command line has for the loop that this test runs on."""
    name, options = anyio_backend
    return "uvloop" if options.get("use_uvloop") else name


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority, and PEM files of what it vouches for."""
    folder = tmp_path_factory.mktemp("authority")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    expired = authority.issue_cert(
        "localhost", "127.0.0.1",
        not_before=_LONG_AGO, not_after=_LONG_AGO + dt.timedelta(days=1),
    )  # fmt: skip
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(folder / "chain.pem", append=True)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    expired.private_key_and_cert_chain_pem.write_to_path(folder / "expired.pem")
    return folder
