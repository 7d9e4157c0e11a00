"""Keepalive opposite real peers: a busy application keeps its connection, and a dead peer is found.

Ticks are given by hand, so that minutes pass at once.
"""

import contextlib
import itertools
import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest

import anyws

websockets = pytest.importorskip("websockets")
aiohttp = pytest.importorskip("aiohttp")
trio_websocket = pytest.importorskip("trio_websocket")

from aiohttp import web  # noqa: E402
from websockets.sync.client import connect as sync_connect  # noqa: E402
from websockets.sync.server import serve as sync_serve  # noqa: E402

pytestmark = pytest.mark.anyio

ASYNCIO = ("asyncio", {"debug": True})
UVLOOP = ("asyncio", {"use_uvloop": True})
TRIO = ("trio", {"strict_exception_groups": True})
#: More than both sides and the kernel hold.
FLOOD = [f"{number:4000}" for number in range(2000)]
INTERVAL, TIMEOUT, TICK = 20, 20, 0.5


@contextlib.asynccontextmanager
async def websockets_peer():
    """A server of websockets in a thread, for every loop."""

    def serve(connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            for message in connection:
                for answer in FLOOD if message == "flood" else [message]:
                    connection.send(answer)

    with sync_serve(serve, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            with anyio.CancelScope(shield=True):
                # The loop must go on: its streams may be closed by its next round only.
                await anyio.to_thread.run_sync(thread.join)


@contextlib.asynccontextmanager
async def aiohttp_peer():
    async def handle(request):
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            for answer in FLOOD if message.data == "flood" else [message.data]:
                await websocket.send_str(answer)
        return websocket

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def trio_websocket_peer():
    async def handle(request):
        websocket = await request.accept()
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                message = await websocket.get_message()
                for answer in FLOOD if message == "flood" else [message]:
                    await websocket.send_message(answer)

    async with anyio.create_task_group() as tg:
        start = partial(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, ssl_context=None)
        server = await tg.start(start)
        yield server.port
        tg.cancel_scope.cancel()


PEERS = pytest.mark.parametrize(
    ("anyio_backend", "peer"),
    [
        pytest.param(ASYNCIO, websockets_peer, id="asyncio-websockets"),
        pytest.param(UVLOOP, websockets_peer, id="uvloop-websockets"),
        pytest.param(TRIO, websockets_peer, id="trio-websockets"),
        pytest.param(ASYNCIO, aiohttp_peer, id="asyncio-aiohttp"),
        pytest.param(UVLOOP, aiohttp_peer, id="uvloop-aiohttp"),
        pytest.param(TRIO, trio_websocket_peer, id="trio-trio-websocket"),
    ],
)


class Line:
    """Carries bytes to a peer, until it is cut: then it neither carries them nor says so."""

    def __init__(self, port):
        self._port = port
        self._cut = anyio.Event()
        self.listener = None

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port):
        line = cls(port)
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as line.listener,
            anyio.create_task_group() as tg,
        ):
            tg.start_soon(line.listener.serve, line._carry)
            yield line
            tg.cancel_scope.cancel()

    @property
    def url(self):
        port = self.listener.extra(anyio.abc.SocketAttribute.local_port)
        return f"ws://127.0.0.1:{port}/"

    def cut(self):
        """Carry nothing more of the connections that there are."""
        self._cut.set()
        self._cut = anyio.Event()

    async def _carry(self, near):
        cut = self._cut
        async with near, await anyio.connect_tcp("127.0.0.1", self._port) as far:
            async with anyio.create_task_group() as tg:
                for source, target in (near, far), (far, near):
                    tg.start_soon(self._copy, source, target, cut, tg.cancel_scope)

    @staticmethod
    async def _copy(source, target, cut, scope):
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for data in source:
                if cut.is_set():
                    await anyio.sleep_forever()
                await target.send(data)
        if not cut.is_set():
            scope.cancel()


class Clock:
    """Lets time pass for one connection, beside the true time, which lies behind."""

    def __init__(self, websocket, task_group):
        self.websocket = websocket
        self.now = anyio.current_time() + 1000
        self._task_group = task_group
        self.tick(0)

    def tick(self, elapsed=TICK):
        self.now += elapsed
        self.websocket.tick(self.now, elapsed, self._task_group)

    async def pass_by(self, seconds):
        """Let ``seconds`` pass, a tick at a time."""
        for _ in range(int(seconds / TICK)):
            self.tick()
            await anyio.sleep(0)

    async def until(self, condition):
        """Wait until ``condition()`` holds; no time passes, but the connection is looked after."""
        with anyio.fail_after(20):
            while not condition():
                self.tick(0)
                await anyio.sleep(0.001)


@contextlib.asynccontextmanager
async def ticked(websocket):
    """Give a ``Clock`` for ``websocket``."""
    async with anyio.create_task_group() as tg:
        yield Clock(websocket, tg)
        tg.cancel_scope.cancel()


async def check_echo(websocket):
    await websocket.send("there?")
    assert await websocket.receive() == "there?"


def connect(url):
    return anyws.connect(url, compression=None, ping_interval=INTERVAL, ping_timeout=TIMEOUT)


RECEIVE_BUFFER = anyws.Limits().receive_buffer


@PEERS
async def test_an_application_that_does_not_read_keeps_its_connection(peer):
    """For ten intervals, with a healthy peer that floods it; then every message is there."""
    async with peer() as port, connect(f"ws://127.0.0.1:{port}/") as websocket:
        async with ticked(websocket) as clock:
            await websocket.send("flood")
            await clock.until(lambda: websocket.buffered >= RECEIVE_BUFFER)
            await clock.pass_by(10 * INTERVAL)
            assert websocket.state is anyws.State.OPEN
        for message in FLOOD:
            assert await websocket.receive() == message
        await check_echo(websocket)


async def test_a_handler_that_does_not_read_keeps_its_client():
    """The same on a server, opposite a client of websockets."""
    served, done = [], anyio.Event()

    async def handler(websocket):
        served.append(websocket)
        await done.wait()

    def flood():
        with sync_connect(url, ping_interval=None, compression=None) as connection:
            for message in FLOOD:
                connection.send(message)
            return connection.recv()

    async with anyio.create_task_group() as tg:
        options = {"ping_interval": INTERVAL, "ping_timeout": TIMEOUT}
        server = await tg.start(partial(anyws.serve, handler, "127.0.0.1", **options))
        url = f"ws://127.0.0.1:{server.port}/"
        got = []

        async def client():
            got.append(await anyio.to_thread.run_sync(flood))

        tg.start_soon(client)
        while not served:
            await anyio.sleep(0.001)
        (websocket,) = served
        async with ticked(websocket) as clock:
            await clock.until(lambda: websocket.buffered >= RECEIVE_BUFFER)
            await clock.pass_by(10 * INTERVAL)
        for message in FLOOD:
            assert await websocket.receive() == message
        await websocket.send("thanks")
        while not got:
            await anyio.sleep(0.001)
        done.set()
        await server.aclose()
    assert got == ["thanks"]


@PEERS
async def test_a_dead_peer_is_found_in_time(peer):
    """Within the interval and the timeout, and not before; each tick may come late by its own length."""
    async with peer() as port, Line.to(port) as line:
        async with connect(line.url) as websocket, ticked(websocket) as clock:
            await check_echo(websocket)
            line.cut()
            clock.tick()
            await clock.pass_by(INTERVAL + TIMEOUT - TICK)
            assert websocket.state is anyws.State.OPEN
            await clock.pass_by(2 * TICK)
            assert websocket.state is anyws.State.CLOSED
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await websocket.receive()
            assert caught.value.cause is anyws.CloseCause.PING_TIMEOUT


@PEERS
async def test_a_suspended_machine_keeps_a_living_peer(peer):
    """The clock jumps by an hour: one ping finds out that the peer is still there."""
    async with peer() as port, connect(f"ws://127.0.0.1:{port}/") as websocket:
        async with ticked(websocket) as clock:
            await check_echo(websocket)
            for _ in range(3):
                clock.tick()
                before = websocket.statistics()
                clock.tick(3600)
                assert websocket.statistics().bytes_sent == before.bytes_sent + 10
                await clock.until(
                    lambda before=before: (
                        websocket.statistics().bytes_received == before.bytes_received + 6
                    )
                )
            await check_echo(websocket)


@PEERS
async def test_a_suspended_machine_reconnects(peer):
    """Meanwhile the line was cut without a word: found within the timeout, and a new connection works."""
    causes = []
    async with peer() as port, Line.to(port) as line:
        for suspended in (True, False):
            try:
                async with connect(line.url) as websocket:
                    await check_echo(websocket)
                    if suspended:
                        line.cut()
                        async with ticked(websocket) as clock:
                            clock.tick(3600)
                            await clock.pass_by(TIMEOUT + 2 * TICK)
                        await websocket.receive()
            except anyws.ConnectionClosedError as error:
                causes.append(error.cause)
    assert causes == [anyws.CloseCause.PING_TIMEOUT]
    assert websocket.close_code == 1000


@pytest.mark.parametrize("sends", [True, False])
async def test_a_handler_that_never_receives(sends):
    """It answers pings, and meets the client's close frame."""
    outcomes = []

    async def handler(websocket):
        try:
            for number in itertools.count():
                if sends:
                    await websocket.send(str(number))
                elif websocket.state is not anyws.State.OPEN:
                    await websocket.send("")
                await anyio.sleep(0.01)
        except anyws.ConnectionClosed as error:
            outcomes.append(error)
            raise

    def client():
        with sync_connect(url, ping_interval=None) as connection:
            assert connection.ping().wait(10)
            connection.close(4001, "seen")

    async with anyio.create_task_group() as tg:
        server = await tg.start(partial(anyws.serve, handler, "127.0.0.1", ping_interval=0.2))
        url = f"ws://127.0.0.1:{server.port}/"
        with anyio.fail_after(20):
            await anyio.to_thread.run_sync(client)
            while not outcomes:
                await anyio.sleep(0.001)
        tg.cancel_scope.cancel()
    assert outcomes[0].received == anyws.Close(4001, "seen")
    assert outcomes[0].cause is anyws.CloseCause.CLOSED_BY_PEER
