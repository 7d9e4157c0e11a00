"""Other libraries to talk to, each in a thread with its own loop, so that ours runs on every loop.

``peer_scenarios`` says what happens, ``peer_adapters`` gives all libraries one face, ``peer_servers`` and
``peer_clients`` start them.
"""

import contextlib
import pathlib
import sys
from functools import partial

import anyio
import anyio.to_thread
import pytest
from anyio.from_thread import start_blocking_portal

import anyws

# Tests are no package, and are not on the path of what can be imported.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("peer_scenarios", "peer_adapters", "peer_servers", "peer_clients")

from peer_adapters import OurPeer  # noqa: E402
from peer_clients import CLIENTS, run_client  # noqa: E402
from peer_scenarios import Reports, serve_scenario  # noqa: E402
from peer_servers import SERVERS  # noqa: E402

LIMITS = anyws.Limits(message_size=2**25)


@pytest.fixture(scope="session")
def portals():
    """Return a function that gives the loop in a thread that runs peers of asyncio or of trio."""
    running = {}
    with contextlib.ExitStack() as stack:

        def portal(backend):
            if backend not in running:
                running[backend] = stack.enter_context(start_blocking_portal(backend))
            return running[backend]

        yield portal


def start_server(name, portals):
    """Return a context manager that runs their server and gives its port and what it reports."""
    package, backend, serve = SERVERS[name]
    pytest.importorskip(package)
    reports = Reports()
    context = serve(reports)
    if backend is not None:
        context = portals(backend).wrap_async_context_manager(context)
    return reports, context


class TheirServer:
    """A running server of another library."""

    def __init__(self, name, port, reports):
        self.name = name
        self.port = port
        self.reports = reports

    @contextlib.asynccontextmanager
    async def connect(self, target, **options):
        """Connect our client; it is closed in between, and the server's report is returned."""
        options.setdefault("compression", None)
        uri = f"ws://127.0.0.1:{self.port}{target.path}"
        async with anyws.connect(uri, limits=LIMITS, **options) as websocket:
            yield OurPeer(websocket)

    async def outcome(self, target):
        return await anyio.to_thread.run_sync(self.reports.wait, target.token)


@pytest.fixture(scope="session")
def server_of(portals):
    """Return a function that gives the server of a library, which is started once."""
    running = {}
    with contextlib.ExitStack() as stack:

        def server(name):
            if name not in running:
                reports, context = start_server(name, portals)
                running[name] = TheirServer(name, stack.enter_context(context), reports)
            return running[name]

        yield server


@pytest.fixture(params=SERVERS)
def their_server(request, server_of):
    return server_of(request.param)


class TheirClient:
    """A client of another library."""

    def __init__(self, name, portals):
        pytest.importorskip(CLIENTS[name][0])
        self.name = name
        self._portals = portals

    async def run(self, port, target, script):
        """Connect to our server, and run the coroutine function ``script`` with the connection."""
        call = partial(run_client, self.name, self._portals, port, target, script)
        await anyio.to_thread.run_sync(call)


@pytest.fixture
def client_of(portals):
    return lambda name: TheirClient(name, portals)


@pytest.fixture(params=CLIENTS)
def their_client(request, client_of):
    return client_of(request.param)


class OurServer:
    """Our server, on the test's loop."""

    def __init__(self, port, reports):
        self.port = port
        self._reports = reports

    async def outcome(self, target):
        return await anyio.to_thread.run_sync(self._reports.wait, target.token)


@pytest.fixture
def our_server():
    """Return an async context manager that runs our server, which does what the path asks for."""

    @contextlib.asynccontextmanager
    async def run(**options):
        reports = Reports()
        options.setdefault("compression", None)

        async def handler(websocket):
            await serve_scenario(OurPeer(websocket), websocket.request.target, reports)

        async with anyio.create_task_group() as tg:
            start = partial(anyws.serve, handler, "127.0.0.1", 0, limits=LIMITS, **options)
            server = await tg.start(start)
            yield OurServer(server.port, reports)
            await server.aclose()

    return run
