"""Peers to talk to, our server for foreign clients, and what is done about missing programs."""

import importlib
import os
import shutil
import sys
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

import anyws

LIMITS = anyws.Limits(message_size=2**25)
MESSAGES = ["", b"", "text", b"binary", "\U0001f40d" * 300, bytes(range(256)) * 2**12]


@pytest.fixture
def messages():
    return MESSAGES


@pytest.fixture
def limits():
    return LIMITS


class Visit:
    """What our server saw of one client."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.request = websocket.request
        self.extensions = websocket.response.headers.get("sec-websocket-extensions", "")
        self.messages = []
        self.ponged = False
        self.error = None
        self.ended = anyio.Event()

    @property
    def closed(self):
        """The code and the reason that the client's close frame had."""
        return self.websocket.close_code, self.websocket.close_reason

    async def serve(self):
        websocket = self.websocket
        async with anyio.create_task_group() as tg:
            try:
                async for message in websocket:
                    if message == "ping please":
                        tg.start_soon(self._ping)
                    else:
                        await self._answer(websocket, message)
            except anyws.ConnectionClosedError as error:
                self.error = error
        await websocket.aclose()

    async def _answer(self, websocket, message):
        if message == "pieces please":
            async with websocket.writer.fragment() as stream:
                for piece in ("one ", "two ", "three " * 1000):
                    await stream.send(piece)
        elif message == "close please":
            await websocket.close(4001, "enough ✓")
        else:
            self.messages.append(message)
            await websocket.send(message)

    async def _ping(self):
        await self.websocket.ping()
        self.ponged = True
        await self.websocket.send("pong came")


class Visited:
    """Our server: it echoes, does what a few messages ask for, and remembers who came."""

    def __init__(self, server, visits):
        self.server = server
        self._visits = visits

    @property
    def port(self):
        return self.server.port

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/visit"

    @property
    def waiting(self):
        """How many clients came that ``visit`` has not given yet."""
        return self._visits.statistics().current_buffer_used

    async def visit(self):
        """The next client that came, once it is gone."""
        with anyio.fail_after(20):
            visit = await self._visits.receive()
            await visit.ended.wait()
        return visit


@asynccontextmanager
async def _serve_visits(**options):
    arriving, visits = anyio.create_memory_object_stream(100)

    async def handle(websocket):
        visit = Visit(websocket)
        await arriving.send(visit)
        try:
            await visit.serve()
        finally:
            visit.ended.set()

    options.setdefault("limits", LIMITS)
    with arriving, visits:
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, handle, "127.0.0.1", 0, **options))
            yield Visited(server, visits)
            await server.aclose()


@pytest.fixture
def serve_visits():
    """Give ``async with serve_visits() as visited``, our server on this test's loop."""
    return _serve_visits


def _missing(name, how):
    text = f"{name} is not installed ({how}); it was NOT tried"
    if os.environ.get("ANYWS_REQUIRE_PROGRAMS"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture
def missing():
    """Give ``missing(name, how)``: skip, or fail where all programs are required."""
    return _missing


@pytest.fixture
def need_module():
    """Give ``need_module(name)``, which imports an optional module."""

    def load(name):
        try:
            return importlib.import_module(name)
        except ImportError:
            _missing(f"the module {name}", "pip install --group interop")

    return load


@pytest.fixture
def need_program():
    """Give ``need_program(name)``, the path of an optional program."""

    def find(name, how="tests/interop/install.sh"):
        folders = [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
        return shutil.which(name, path=os.pathsep.join(folders)) or _missing(name, how)

    return find
