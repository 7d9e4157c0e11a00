"""Serving: handlers, the end of them, plain HTTP, and clients that are none."""

import logging
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

import anyws
from anyws.testing import RawPeer

pytestmark = pytest.mark.anyio


async def echo(client):
    async for message in client:
        await client.send(message)


async def until_closed(client):
    async for _ in client:
        pass


@asynccontextmanager
async def serving(handler=echo, host="127.0.0.1", **options):
    """Give a running server; leaving the block cancels it."""
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(anyws.serve, handler, host, **options))
            yield server
            tg.cancel_scope.cancel()


def url(server, path="/"):
    return f"ws://127.0.0.1:{server.port}{path}"


async def ask(server, data):
    """Send bytes, and return all that is answered."""
    async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        await stream.send(data)
        answer = b""
        try:
            while True:
                answer += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return answer


GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_port_sockets_and_clients():
    inside = anyio.Event()

    async def handler(client):
        inside.set()
        await echo(client)

    async with serving(handler) as server:
        assert isinstance(server, anyws.Server)
        assert server.sockets[0].getsockname() == ("127.0.0.1", server.port)
        assert server.port > 0
        assert server.clients == frozenset()
        async with anyws.connect(url(server)) as ws:
            await inside.wait()
            (client,) = server.clients
            assert isinstance(client, anyws.WebSocket)
            assert client.request.path == "/"
            await ws.send("hi")
            assert await ws.receive() == "hi"
        await anyio.wait_all_tasks_blocked()
        assert server.clients == frozenset()


async def test_a_port_that_is_taken():
    async with serving() as server:
        with pytest.raises(OSError):
            await anyws.serve(echo, "127.0.0.1", server.port)


async def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError, match="unknown"):
        anyws.serve(echo, unknown=1)
    with pytest.raises(TypeError, match="unknown"):
        anyws.accept(None, unknown=1)


@pytest.mark.parametrize(
    "options",
    [{"compression": "zstd"}, {"ping_interval": -1}, {"close_timeout": -1}],
)
async def test_wrong_settings_are_refused(options):
    with pytest.raises(ValueError):
        await anyws.serve(echo, "127.0.0.1", **options)


async def test_aclose_closes_clients_and_ends_serve():
    ended = anyio.Event()

    async def run(task_status):
        await anyws.serve(echo, "127.0.0.1", task_status=task_status)
        ended.set()

    async def wrapped(*, task_status=anyio.TASK_STATUS_IGNORED):
        await run(task_status)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            server = await tg.start(wrapped)
            async with anyws.connect(url(server)) as ws:
                await ws.send("x")
                await ws.receive()
                async with anyio.create_task_group() as closing:
                    closing.start_soon(server.aclose)
                    with pytest.raises(anyws.ConnectionClosed) as caught:
                        await ws.receive()
                    assert caught.value.code == 1001
                    await ws.aclose()
            await ended.wait()
            with pytest.raises(OSError):
                await anyio.connect_tcp("127.0.0.1", server.port)


async def test_aclose_cancels_handlers_when_the_grace_is_over():
    cancelled = anyio.Event()
    started = anyio.Event()

    async def stubborn(client):
        started.set()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.set()
            raise

    async with serving(stubborn) as server:
        async with anyws.connect(url(server)) as ws:
            await started.wait()
            await server.aclose(grace=0.05)
            await cancelled.wait()
            with pytest.raises(anyws.ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.code == 1001


async def test_a_cancelled_aclose_ends_the_server_at_once():
    started = anyio.Event()

    async def stubborn(client):
        started.set()
        await anyio.sleep_forever()

    async with serving(stubborn) as server, anyws.connect(url(server)) as ws:
        await started.wait()
        with anyio.move_on_after(0.05):
            await server.aclose(grace=60)
        with pytest.raises(anyws.ConnectionClosed):
            await ws.receive()


async def test_aclose_without_clients():
    async with serving() as server:
        await server.aclose()
        await server.aclose()


async def test_aclose_does_not_wait_for_a_client_that_asks_for_nothing():
    # Browsers open connections in advance.
    async with serving(open_timeout=None) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port):
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(5):
                await server.aclose(grace=60)


async def test_cancelling_serve_closes_clients_with_1001():
    codes = []
    open_clients = anyio.Semaphore(0)
    handlers_ended = []

    async def handler(client):
        try:
            await echo(client)
        finally:
            handlers_ended.append(client)

    async def client(port):
        async with anyws.connect(f"ws://127.0.0.1:{port}") as ws:
            await ws.send("x")
            await ws.receive()
            open_clients.release()
            with pytest.raises(anyws.ConnectionClosed) as caught:
                await ws.receive()
            codes.append(caught.value.code)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as clients:
            async with anyio.create_task_group() as servers:
                server = await servers.start(anyws.serve, handler, "127.0.0.1")
                for _ in range(5):
                    clients.start_soon(client, server.port)
                for _ in range(5):
                    await open_clients.acquire()
                servers.cancel_scope.cancel()
    assert codes == [1001] * 5
    assert len(handlers_ended) == 5


async def test_cancelling_serve_does_not_wait_for_a_silent_client_for_ever():
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            server = await tg.start(
                partial(anyws.serve, until_closed, "127.0.0.1", close_timeout=0.1)
            )
            async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
                peer = RawPeer(stream)
                assert (await peer.request()).startswith(b"HTTP/1.1 101 ")
                async with anyio.create_task_group() as ended:
                    tg.cancel_scope.cancel()
                    with anyio.CancelScope(shield=True):
                        assert (await peer.receive_close())[0] == 1001
                    ended.cancel_scope.cancel()


async def test_a_handler_that_raises(caplog):
    async def handler(client):
        message = await client.receive()
        if message == "fail":
            raise LookupError("a private detail")
        await client.send(message)
        await echo(client)

    async with serving(handler) as server, anyws.connect(url(server)) as bystander:
        await bystander.send("x")
        assert await bystander.receive() == "x"
        async with anyws.connect(url(server)) as ws:
            await ws.send("fail")
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await ws.receive()
        assert caught.value.code == 1011
        assert "private" not in caught.value.reason
        await bystander.send("still here")
        assert await bystander.receive() == "still here"
        async with anyws.connect(url(server)) as ws:
            await ws.send("new")
            assert await ws.receive() == "new"
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].name == "anyws.server"
    assert isinstance(errors[0].exc_info[1], LookupError)
    assert "WebSocket" in errors[0].getMessage()


async def test_a_handler_that_raises_a_group(caplog):
    async def handler(client):
        async with anyio.create_task_group():
            raise LookupError

    async with serving(handler) as server, anyws.connect(url(server)) as ws:
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await ws.receive()
        assert caught.value.code == 1011
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


async def test_a_handler_that_returns():
    async def handler(client):
        await client.send("bye")

    async with serving(handler) as server, anyws.connect(url(server)) as ws:
        assert await ws.receive() == "bye"
        with pytest.raises(anyws.ConnectionClosedOK) as caught:
            await ws.receive()
        assert caught.value.code == 1000


async def test_a_client_that_goes_away_is_no_error(caplog):
    ended = anyio.Event()

    async def handler(client):
        try:
            await client.receive()
        finally:
            ended.set()

    async with serving(handler) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await RawPeer(stream).request()
        await ended.wait()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_cancelled_handler_ends_the_whole_server_only_with_its_scope():
    async def handler(client):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await client.receive()
        await client.send("alive")
        await until_closed(client)

    async with serving(handler) as server, anyws.connect(url(server)) as ws:
        assert await ws.receive() == "alive"


async def test_subprotocols():
    async with serving(subprotocols=["a", "b"]) as server:
        for offered, expected in [(["b", "a"], "a"), (["a"], "a"), (["c"], None), ([], None)]:
            async with anyws.connect(url(server), subprotocols=offered) as ws:
                assert ws.subprotocol == expected


async def test_a_chosen_subprotocol():
    def select(request, names):
        assert request.path == "/x"
        return names[-1]

    async with serving(subprotocols=["a", "b"], select_subprotocol=select) as server:
        async with anyws.connect(url(server, "/x"), subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        (None, None, 101),
        (None, "same", 101),
        (None, "https://elsewhere.example", 403),
        (["*"], "https://elsewhere.example", 101),
        (["https://good.example"], "https://good.example", 101),
        (["https://good.example"], "https://bad.example", 403),
        (["https://good.example"], None, 403),
        (["https://good.example", None], None, 101),
    ],
)
async def test_origins(origins, origin, status):
    async with serving(origins=origins) as server:
        if origin == "same":
            origin = f"http://127.0.0.1:{server.port}"
        try:
            async with anyws.connect(url(server), origin=origin) as ws:
                await ws.send("x")
                await ws.receive()
            assert status == 101
        except anyws.RejectedHandshake as error:
            assert error.status == status


@pytest.mark.parametrize("flavour", ["sync", "async"])
async def test_process_request(flavour):
    def decide(request):
        if request.path == "/health":
            return anyws.Response(200, body="fine\n")
        if request.path == "/private" and "Authorization" not in request.headers:
            return anyws.Response(401, {"WWW-Authenticate": "Basic"}, body="who?\n")
        return None if request.path in ("/", "/private") else anyws.Response(404, body="no\n")

    async def decide_later(request):
        await anyio.lowlevel.checkpoint()
        return decide(request)

    process_request = decide if flavour == "sync" else decide_later
    async with serving(process_request=process_request) as server:
        answer = await ask(server, GET % b"/health")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Length: 5\r\n" in answer
        assert answer.endswith(b"\r\n\r\nfine\n")
        for path, status in (("/private", 401), ("/elsewhere", 404)):
            with pytest.raises(anyws.RejectedHandshake) as caught:
                async with anyws.connect(url(server, path)):
                    pass
            assert caught.value.status == status
        async with anyws.connect(url(server, "/private"), headers={"Authorization": "x"}) as ws:
            await ws.send("x")
            assert await ws.receive() == "x"


@pytest.mark.parametrize("wrong", ["raises", "nonsense"])
async def test_a_process_request_that_fails(caplog, wrong):
    def process_request(request):
        if request.path == "/good":
            return None
        if wrong == "nonsense":
            return "not a response"
        raise LookupError("a private detail")

    async with serving(process_request=process_request) as server:
        with pytest.raises(anyws.RejectedHandshake) as caught:
            async with anyws.connect(url(server)):
                pass
        assert caught.value.status == 500
        assert b"private" not in caught.value.body
        async with anyws.connect(url(server, "/good")) as ws:
            await ws.send("alive")
            assert await ws.receive() == "alive"
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
