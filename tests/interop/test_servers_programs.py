"""Our client talks to servers that others wrote, each in a process of its own.

ANYWS_NODE_MODULES names the directory that holds ``node_modules`` with ``ws``. A program that is not
installed skips its tests; with ANYWS_REQUIRE_PROGRAMS=1 they fail instead.
"""

import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import anyio
import anyio.to_thread
import psutil
import pytest

import anyws

pytestmark = pytest.mark.anyio

PROGRAMS = pathlib.Path(__file__).parent / "programs"
PATIENCE = 60
MEBIBYTE = os.urandom(2**20)
TEXTS = [f"{number}: {'to be or not to be, ' * number}" for number in range(1, 12)]


@dataclasses.dataclass(frozen=True)
class Program:
    """A server that another wrote, and in what it differs from the others."""

    name: str
    source: str
    packages: tuple = ()
    compresses: bool = True
    #: the largest message that it takes, in MiB
    largest: int = 20
    #: whether it loses messages without content
    loses_empty: bool = False
    #: "told" if it pings when we say "ping", "alone" if it does so by itself all the time
    pings: str = ""
    #: whether it sends a message in fragments when we say "fragments"
    fragments: bool = False
    #: the code with which it answers our close frame with code 3001
    answer: int = 3001
    #: whether it puts a reason in its close frame
    gives_reason: bool = True
    #: what its application gets to know of our close frame
    told: str = "closed 3001 bye \U0001f40d"


SERVERS = [
    Program(
        "uvicorn-websockets",
        "server_asgi.py",
        ("uvicorn", "starlette", "websockets"),
        pings="alone",
    ),
    Program(
        "uvicorn-websockets-sansio",
        "server_asgi.py",
        ("uvicorn", "starlette", "websockets"),
        pings="alone",
    ),
    Program(
        "uvicorn-wsproto", "server_asgi.py", ("uvicorn", "starlette", "wsproto"), pings="alone"
    ),
    Program(
        "hypercorn", "server_asgi.py", ("hypercorn", "starlette"), pings="alone", told="closed 1006"
    ),
    Program(
        "daphne",
        "server_asgi.py",
        ("daphne", "starlette"),
        compresses=False,
        loses_empty=True,
        answer=1000,
        told="closed 3001",
        gives_reason=False,
    ),
    Program(
        "granian",
        "server_asgi.py",
        ("granian", "starlette"),
        compresses=False,
        largest=15,
        told="closed 3001",
    ),
    Program("tornado", "server_python.py", ("tornado",), pings="told"),
    Program("picows", "server_python.py", ("picows",), compresses=False, pings="told"),
    Program("picows-websockets", "server_python.py", ("picows",), pings="told", fragments=True),
    Program("ws", "server_ws.mjs", pings="told", fragments=True),
    Program("gorilla", "server_gorilla.go", pings="told", fragments=True),
]


def missing(program, remedy):
    text = f"{program} is not installed ({remedy}): our client was NOT tried with it"
    if os.environ.get("ANYWS_REQUIRE_PROGRAMS") == "1":
        pytest.fail(text)
    pytest.skip(text)


def command_of(program, folder):
    source = PROGRAMS / program.source
    if source.suffix == ".mjs":
        node = shutil.which("node") or missing("Node", "Debian: apt install nodejs")
        modules = os.environ.get("ANYWS_NODE_MODULES")
        if not modules or not (pathlib.Path(modules) / "node_modules" / "ws").is_dir():
            missing("ws", "npm install ws, and name the directory in ANYWS_NODE_MODULES")
        return [node, str(source)]
    if source.suffix == ".go":
        go = shutil.which("go") or missing("Go", "Debian: apt install golang-go")
        path = pathlib.Path("/usr/share/gocode")
        if not (path / "src/github.com/gorilla/websocket").is_dir():
            missing("gorilla", "Debian: apt install golang-github-gorilla-websocket-dev")
        environment = os.environ | {"GO111MODULE": "off", "GOPATH": str(path), "GOFLAGS": ""}
        executable = folder / program.name
        subprocess.run([go, "build", "-o", executable, source], env=environment, check=True)
        return [str(executable)]
    for package in program.packages:
        if importlib.util.find_spec(package) is None:
            missing(package, f"pip install {package}")
    return [sys.executable, str(source), program.name]


class RunningServer:
    """A server's process, and the lines that it prints."""

    def __init__(self, program, command):
        self.program = program
        self.lines = queue.Queue()
        self.seen = []
        # How our own tests are run is no business of the other's.
        ours = ("COVERAGE_", "PYTHONDEVMODE", "PYTHONWARNINGS")
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(ours)
        }
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.reading = threading.Thread(target=self._read)
        self.reading.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip())
        self.lines.put(None)

    def wait_for(self, beginning):
        """Return the next line that begins so."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                line = self.lines.get(timeout=1)
            except queue.Empty:
                continue
            if line is None:
                break
            self.seen.append(line)
            if line.startswith(beginning):
                return line
        text = "\n".join(self.seen)
        raise AssertionError(f"{self.program.name} never printed {beginning!r}, but:\n{text}")

    def started(self):
        self.port = int(self.wait_for("port ").split()[1])
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self):
        parent = psutil.Process(self.process.pid)
        family = [parent, *parent.children(recursive=True)]
        self.process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=5)
        for process in alive:
            process.kill()
        _, alive = psutil.wait_procs(alive, timeout=5)
        self.process.wait()
        self.reading.join(5)
        self.process.stdout.close()
        assert not alive
        assert not self.reading.is_alive()

    def uri(self, path="/"):
        return f"ws://127.0.0.1:{self.port}{path}"

    def forget_lines(self):
        while not self.lines.empty():
            self.seen.append(self.lines.get())

    async def printed(self, beginning):
        return await anyio.to_thread.run_sync(self.wait_for, beginning)


@pytest.fixture(scope="module", params=SERVERS, ids=lambda program: program.name)
def server(request, tmp_path_factory):
    command = command_of(request.param, tmp_path_factory.mktemp(request.param.name))
    running = RunningServer(request.param, command)
    try:
        running.started()
        yield running
    finally:
        running.stop()


@contextlib.asynccontextmanager
async def connection(server, **options):
    limits = anyws.Limits(message_size=2**25)
    with anyio.fail_after(PATIENCE):
        async with anyws.connect(server.uri(), limits=limits, **options) as websocket:
            yield websocket


async def check_echo(websocket, messages):
    for message in messages:
        await websocket.send(message)
        assert await websocket.receive() == message


async def test_messages(server, messages):
    if server.program.loses_empty:
        messages = [message for message in messages if message]
    async with connection(server, compression=None) as websocket:
        assert "sec-websocket-extensions" not in websocket.response.headers
        await check_echo(websocket, [*messages, *TEXTS])
    assert websocket.close_code == 1000


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True}), ("trio", {})])
async def test_large_message(server):
    async with connection(server, compression=None) as websocket:
        await check_echo(websocket, [MEBIBYTE * server.program.largest])


SETTINGS = {
    "small": anyws.Deflate(),
    "full": anyws.Deflate(
        server_max_window_bits=15, client_max_window_bits=None, mem_level=8, threshold=0
    ),
    "smallest": anyws.Deflate(
        server_max_window_bits=9,
        client_max_window_bits=9,
        server_context_takeover=False,
        client_context_takeover=False,
        threshold=0,
    ),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_compressed(server, settings, messages):
    async with connection(server, compression=settings) as websocket:
        agreed = "permessage-deflate" in websocket.response.headers.get(
            "sec-websocket-extensions", ""
        )
        assert agreed is server.program.compresses
        if agreed:
            await check_echo(websocket, messages)
        await check_echo(websocket, TEXTS)
        before = websocket.statistics()
        await check_echo(websocket, ["to be or not to be, " * 10000])
        after = websocket.statistics()
        assert (after.bytes_sent - before.bytes_sent < 20000) is agreed
        assert (after.bytes_received - before.bytes_received < 20000) is agreed
    assert websocket.close_code == 1000


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_fragments(server, compression):
    async with connection(server, compression=compression) as websocket:
        async with websocket.writer.fragment() as stream:
            await stream.send("one ")
            await websocket.writer.ping(b"in between")
            await stream.send("")
            await stream.send("two " * 1000)
        assert await websocket.receive() == "one " + "two " * 1000
        pieces = [bytes([number]) * number * 10 for number in range(50)]
        async with websocket.writer.fragment() as stream:
            for piece in pieces:
                await stream.send(piece)
        assert await websocket.receive() == b"".join(pieces)
        if server.program.fragments:
            await websocket.send("fragments")
            received = await websocket.receive()
            assert received in ("one two three", "one two three " * 1000)
            await websocket.send("fragments")
            async for reader in websocket.readers():
                assert b"".join([piece async for piece in reader]).decode() == received
                break


async def test_pings(server):
    async with connection(server, ping_interval=None) as websocket:
        if server.program.pings == "told":
            await websocket.send("ping")
            assert await websocket.receive() == "pong are you there"
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.receive)
            assert await websocket.ping() > 0
            before = websocket.statistics().bytes_sent
            while server.program.pings == "alone" and websocket.statistics().bytes_sent == before:
                await anyio.sleep(0.05)
            await websocket.send("the last message")


async def test_we_close(server):
    server.forget_lines()
    async with connection(server) as websocket:
        await check_echo(websocket, ["hello"])
        await websocket.close(3001, "bye \U0001f40d")
        assert websocket.close_code == server.program.answer
    assert await server.printed(server.program.told)


async def test_they_close(server):
    reason = "enough \U0001f40d" if server.program.gives_reason else ""
    async with connection(server) as websocket:
        await websocket.send("close 4001 enough \U0001f40d")
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.received == anyws.Close(4001, reason)
        assert caught.value.sent.code == 4001
        assert caught.value.cause is anyws.CloseCause.CLOSED_BY_PEER
        assert caught.value.began_by_us is False
    assert (websocket.close_code, websocket.close_reason) == (4001, reason)


async def test_they_close_in_order(server):
    async with connection(server) as websocket:
        await websocket.send("before it")
        await websocket.send("close 1000 done")
        assert [message async for message in websocket] == ["before it"]
    assert websocket.close_code == 1000


async def test_subprotocol(server):
    async with connection(server, subprotocols=["talk", "chat"]) as websocket:
        assert websocket.subprotocol == "chat"
        await check_echo(websocket, ["hello"])
    async with connection(server, subprotocols=["talk"]) as websocket:
        assert websocket.subprotocol is None
        await check_echo(websocket, ["hello"])


async def test_refusal(server):
    with pytest.raises(anyws.RejectedHandshake, match="the server answered 403") as caught:
        async with anyws.connect(server.uri("/refused")):
            pass
    assert caught.value.status == 403


async def test_many_connections(server):
    async def talk(number):
        async with connection(server) as websocket:
            await check_echo(websocket, [f"{number}: {text}" for text in TEXTS])

    async with anyio.create_task_group() as tg:
        for number in range(8):
            tg.start_soon(talk, number)
