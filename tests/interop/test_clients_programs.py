"""Programs in other languages talk to our server: ws and undici on Node, and what follows here."""

import json
import os
import pathlib
import subprocess

import anyio
import pytest

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
    """Give ``await node(script, package, *arguments)``, which runs a script on Node."""

    async def run_node(script, package, *arguments):
        program = need_program("node")
        modules = pathlib.Path(os.environ.get("ANYWS_NODE_MODULES", "nowhere"))
        if not (modules / "node_modules" / package).is_dir():
            missing(
                f"Node's {package}",
                f"npm install {package}, and name the directory in ANYWS_NODE_MODULES",
            )
        return await run(program, PROGRAMS / script, *arguments)

    return run_node


@pytest.mark.parametrize("compressed", [True, False])
async def test_ws(serve_visits, node, compressed):
    async with serve_visits() as visited:
        word = "compressed" if compressed else "plain"
        saw = await node("client_ws.mjs", "ws", visited.url, word)
        await check(visited, saw, [*MESSAGES, "one two"], compressed=compressed)


async def test_undici(serve_visits, node):
    async with serve_visits() as visited:
        saw = await node("client_undici.mjs", "undici", visited.url)
        await check(visited, saw, MESSAGES, compressed=True)


# gorilla and nhooyr, in Go


@pytest.fixture
def go(need_program, missing, tmp_path):
    """Give ``await go(name, package, *arguments)``, which builds and runs a client in Go."""

    async def run_go(name, package, *arguments):
        program = need_program("go")
        folder = pathlib.Path("/usr/share/gocode")
        if not (folder / "src" / package).is_dir():
            missing(f"Go's {package}", "tests/interop/install.sh")
        sources = [PROGRAMS / "client_common.go", PROGRAMS / f"client_{name}.go"]
        environment = {"GO111MODULE": "off", "GOPATH": str(folder), "GOFLAGS": ""}
        # Without what install.sh has built already, this takes a while.
        with anyio.fail_after(90):
            await anyio.run_process(
                [program, "build", "-o", str(tmp_path / name), *map(str, sources)],
                env=os.environ | environment,
            )
        return await run(tmp_path / name, *arguments)

    return run_go


@pytest.mark.parametrize("compressed", [True, False])
async def test_gorilla(serve_visits, go, compressed):
    async with serve_visits() as visited:
        word = "compressed" if compressed else "plain"
        saw = await go("gorilla", "github.com/gorilla/websocket", visited.url, word)
        await check(visited, saw, [*MESSAGES, *AFTER], compressed=compressed)


@pytest.mark.parametrize("compressed", [True, False])
async def test_nhooyr(serve_visits, go, compressed):
    async with serve_visits() as visited:
        word = "compressed" if compressed else "plain"
        saw = await go("nhooyr", "nhooyr.io/websocket", visited.url, word)
        await check(visited, saw, [*MESSAGES, *AFTER], compressed=compressed)
