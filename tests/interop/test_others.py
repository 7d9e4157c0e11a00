"""aiohttp, wsproto and trio-websocket, as the server and as the client."""

import contextlib
import itertools
from functools import partial

import anyio
import pytest

import anyws

aiohttp = pytest.importorskip("aiohttp")
wsproto = pytest.importorskip("wsproto")
trio_websocket = pytest.importorskip("trio_websocket")

from aiohttp import web  # noqa: E402
from wsproto.events import (  # noqa: E402
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate  # noqa: E402

pytestmark = pytest.mark.anyio

BIG = bytes(20 * 2**20)
TEXTS = [f"{number}: {'to be or not to be, ' * number}" for number in range(1, 12)]


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@contextlib.asynccontextmanager
async def our_server(handler=echo, **options):
    options.setdefault("limits", anyws.Limits(message_size=2**25))
    async with anyio.create_task_group() as tg:
        server = await tg.start(partial(anyws.serve, handler, "127.0.0.1", 0, **options))
        yield server
        await server.aclose()


async def check_echo(websocket, messages):
    for message in messages:
        await websocket.send(message)
        assert await websocket.receive() == message


# aiohttp


@contextlib.asynccontextmanager
async def aiohttp_server(**options):
    async def handle(request):
        websocket = web.WebSocketResponse(max_msg_size=0, **options)
        await websocket.prepare(request)
        async for message in websocket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await websocket.send_str(message.data)
            else:
                await websocket.send_bytes(message.data)
        return websocket

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


ON_ASYNCIO = [("asyncio", {"debug": True}), ("asyncio", {"use_uvloop": True})]


@pytest.mark.parametrize("anyio_backend", ON_ASYNCIO, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("compress", [True, False])
async def test_aiohttp_server(messages, limits, compress):
    async with aiohttp_server(compress=compress) as port:
        async with anyws.connect(f"ws://127.0.0.1:{port}/", limits=limits) as websocket:
            assert ("sec-websocket-extensions" in websocket.response.headers) is compress
            await check_echo(websocket, [*messages, *TEXTS, BIG])
            async with websocket.writer.fragment() as stream:
                await stream.send("one ")
                await stream.send("two")
            assert await websocket.receive() == "one two"
        assert websocket.close_code == 1000


@pytest.mark.parametrize("anyio_backend", ON_ASYNCIO, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("compress", [0, 9, 12, 15])
async def test_aiohttp_client(messages, compress):
    async with our_server() as server, aiohttp.ClientSession() as session:
        async with session.ws_connect(
            f"http://127.0.0.1:{server.port}/", compress=compress, max_msg_size=0
        ) as websocket:
            for message in [*messages, *TEXTS, BIG]:
                if isinstance(message, str):
                    await websocket.send_str(message)
                else:
                    await websocket.send_bytes(message)
                assert (await websocket.receive()).data == message
            await websocket.close(code=3000, message=b"bye")


@pytest.mark.parametrize("anyio_backend", ON_ASYNCIO, ids=["asyncio", "uvloop"])
async def test_aiohttp_sees_our_close():
    async def closing(websocket):
        await websocket.close(3999, "enough")

    async with our_server(closing) as server, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"http://127.0.0.1:{server.port}/") as websocket:
            message = await websocket.receive()
            assert (message.type, message.data, message.extra) == (
                aiohttp.WSMsgType.CLOSE,
                3999,
                "enough",
            )


# wsproto, which brings no input and output of its own, on every loop


async def wsproto_echo(extension, stream):
    connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    text, data = "", b""
    async with stream:
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                connection.receive_data(await stream.receive())
                for event in connection.events():
                    answer = b""
                    if isinstance(event, Request):
                        extensions = [extension] if extension else []
                        answer = connection.send(AcceptConnection(extensions=extensions))
                    elif isinstance(event, TextMessage):
                        text += event.data
                        if event.message_finished:
                            answer, text = connection.send(TextMessage(text)), ""
                    elif isinstance(event, BytesMessage):
                        data += event.data
                        if event.message_finished:
                            answer, data = connection.send(BytesMessage(data)), b""
                    elif isinstance(event, (Ping, CloseConnection)):
                        answer = connection.send(event.response())
                    if answer:
                        await stream.send(answer)
                    if isinstance(event, CloseConnection):
                        return


@contextlib.asynccontextmanager
async def wsproto_server(extension):
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tg:
        tg.start_soon(listener.serve, partial(wsproto_echo, extension))
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tg.cancel_scope.cancel()


COMBINATIONS = list(itertools.product((False, True), (False, True), (None, 9, 15), (None, 9, 15)))


@pytest.mark.parametrize(
    ("server_drops", "client_drops", "server_bits", "client_bits"), COMBINATIONS
)
async def test_wsproto_server(server_drops, client_drops, server_bits, client_bits):
    extension = PerMessageDeflate(
        server_no_context_takeover=server_drops,
        client_no_context_takeover=client_drops,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )
    settings = anyws.Deflate(threshold=0, server_max_window_bits=15, client_max_window_bits=15)
    async with wsproto_server(extension) as port:
        async with anyws.connect(f"ws://127.0.0.1:{port}/", compression=settings) as websocket:
            await check_echo(websocket, TEXTS)
            assert "sec-websocket-extensions" in websocket.response.headers
        assert websocket.close_code == 1000


async def test_wsproto_server_without_compression(messages, limits):
    async with wsproto_server(None) as port:
        async with anyws.connect(f"ws://127.0.0.1:{port}/", limits=limits) as websocket:
            await check_echo(websocket, messages)
            assert "sec-websocket-extensions" not in websocket.response.headers


@pytest.mark.parametrize(
    ("server_drops", "client_drops", "server_bits", "client_bits"), COMBINATIONS
)
async def test_wsproto_client(server_drops, client_drops, server_bits, client_bits):
    extension = PerMessageDeflate(
        server_no_context_takeover=server_drops,
        client_no_context_takeover=client_drops,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )
    settings = anyws.Deflate(threshold=0)
    async with our_server(compression=settings) as server:
        connection = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            events = []

            async def next_event():
                while not events:
                    connection.receive_data(await stream.receive())
                    events.extend(connection.events())
                return events.pop(0)

            request = Request(host="localhost", target="/", extensions=[extension])
            await stream.send(connection.send(request))
            assert (await next_event()).extensions
            for text in TEXTS:
                await stream.send(connection.send(TextMessage(text)))
                received = ""
                while True:
                    event = await next_event()
                    received += event.data
                    if event.message_finished:
                        break
                assert received == text
            await stream.send(connection.send(CloseConnection(code=3000, reason="bye")))
            assert (await next_event()).code == 3000


# trio-websocket


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_websocket_server(messages, limits):
    async def their_echo(request):
        websocket = await request.accept()
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                await websocket.send_message(await websocket.get_message())

    import trio

    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(
                trio_websocket.serve_websocket,
                their_echo,
                "127.0.0.1",
                0,
                None,
                max_message_size=2**25,
            )
        )
        async with anyws.connect(f"ws://127.0.0.1:{server.port}/", limits=limits) as websocket:
            await check_echo(websocket, [*messages, BIG])
            assert await websocket.ping() > 0
        assert websocket.close_code == 1000
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_websocket_client(messages):
    async with our_server() as server:
        async with trio_websocket.open_websocket_url(
            f"ws://127.0.0.1:{server.port}/", max_message_size=2**25
        ) as websocket:
            for message in [*messages, BIG]:
                await websocket.send_message(message)
                assert await websocket.get_message() == message
            await websocket.ping(b"hello")
            await websocket.aclose(3000, "bye")
        assert websocket.closed.code == 3000
