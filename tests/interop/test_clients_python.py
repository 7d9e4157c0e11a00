"""Python's other clients talk to our server: websocket-client, tornado, picows, httpx-ws, niquests."""

import asyncio
from functools import partial

import anyio
import pytest

import anyws

pytestmark = pytest.mark.anyio

BIG = bytes(range(256)) * 2**12
LONG = "to be or not to be, " * 10_000
MESSAGES = ["grüße", bytes(range(256)), "", b"", LONG, BIG]
PIECES = "one two " + "three " * 1000
LATER = 15  # seconds after which a blocking client gives up
ON_ASYNCIO = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"debug": True}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)


async def in_thread(function, *arguments):
    with anyio.fail_after(30):
        return await anyio.to_thread.run_sync(partial(function, *arguments), abandon_on_cancel=True)


# websocket-client: blocking, without compression


def websocket_client(module, url):
    socket = module.create_connection(url, timeout=LATER, skip_utf8_validation=False)
    binary = module.ABNF.OPCODE_BINARY
    for message in MESSAGES:
        if isinstance(message, str):
            socket.send(message)
        else:
            socket.send_binary(message)
        assert socket.recv() == message
    for number, piece in enumerate((b"one ", b"", b"two")):
        opcode = module.ABNF.OPCODE_CONT if number else binary
        socket.send_frame(module.ABNF.create_frame(piece, opcode, number == 2))
    assert socket.recv() == b"one two"
    socket.send("pieces please")
    assert socket.recv() == PIECES
    socket.ping(b"hello")
    assert socket.recv_data_frame(control_frame=True)[1].data == b"hello"
    socket.send("ping please")
    assert socket.recv() == "pong came"
    socket.close(3456, "bye ✓".encode())


def websocket_client_is_closed(module, url):
    socket = module.create_connection(url, timeout=LATER)
    socket.send("close please")
    opcode, data = socket.recv_data()
    assert opcode == module.ABNF.OPCODE_CLOSE
    socket.shutdown()
    return int.from_bytes(data[:2], "big"), data[2:].decode()


async def test_websocket_client(serve_visits, need_module):
    module = need_module("websocket")
    async with serve_visits() as visited:
        await in_thread(websocket_client, module, visited.url)
        visit = await visited.visit()
        assert visit.messages == [*MESSAGES, b"one two"]
        assert visit.extensions == ""
        assert visit.ponged
        assert visit.closed == (3456, "bye ✓")
        assert await in_thread(websocket_client_is_closed, module, visited.url) == (
            4001,
            "enough ✓",
        )
        assert (await visited.visit()).closed == (1000, "")


# tornado: on asyncio, with compression; its interface sends whole messages only


@ON_ASYNCIO
@pytest.mark.parametrize("compression", [None, {}], ids=["plain", "compressed"])
async def test_tornado(serve_visits, need_module, compression):
    module = need_module("tornado.websocket")
    async with serve_visits() as visited:
        client = await module.websocket_connect(visited.url, compression_options=compression)
        for message in MESSAGES:
            await client.write_message(message, binary=isinstance(message, bytes))
            assert await client.read_message() == message
        await client.write_message("pieces please")
        assert await client.read_message() == PIECES
        await client.write_message("ping please")
        assert await client.read_message() == "pong came"
        client.close(3456, "bye ✓")
        visit = await visited.visit()
        assert visit.messages == MESSAGES
        assert visit.extensions.startswith("permessage-deflate") is (compression is not None)
        assert visit.ponged
        assert visit.closed == (3456, "bye ✓")


@ON_ASYNCIO
async def test_tornado_is_closed_and_pings(serve_visits, need_module):
    module = need_module("tornado.websocket")
    ponged = asyncio.Event()

    class Client(module.WebSocketClientConnection):
        def on_pong(self, data):
            assert data == b"hello"
            ponged.set()

    async with serve_visits() as visited:
        request = module.httpclient.HTTPRequest(visited.url)
        client = Client(
            module.httpclient._RequestProxy(request, module.httpclient.HTTPRequest._DEFAULTS)
        )
        await client.connect_future
        client.ping(b"hello")
        with anyio.fail_after(10):
            await ponged.wait()
        await client.write_message("close please")
        assert await client.read_message() is None
        assert (client.close_code, client.close_reason) == (4001, "enough ✓")
        client.close()
        assert (await visited.visit()).closed == (4001, "")


# picows: on asyncio, frame by frame, without compression


@ON_ASYNCIO
async def test_picows(serve_visits, need_module):
    picows = need_module("picows")
    kinds = picows.WSMsgType
    frames = asyncio.Queue()

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport, frame):
            kind = frame.msg_type
            if kind == kinds.CLOSE:
                frames.put_nowait((kind, (frame.get_close_code(), frame.get_close_reason())))
                transport.send_close(frame.get_close_code(), b"right")
                transport.disconnect()
            else:
                frames.put_nowait((kind, frame.get_payload_as_bytes(), frame.fin))

    async def connect():
        return (await picows.ws_connect(Listener, visited.url))[0]

    async def next_frame():
        with anyio.fail_after(10):
            return await frames.get()

    async with serve_visits() as visited:
        client = await connect()
        for message in MESSAGES:
            data, kind = message, kinds.BINARY
            if isinstance(message, str):
                data, kind = message.encode(), kinds.TEXT
            client.send(kind, data)
            assert await next_frame() == (kind, data, True)
        client.send(kinds.TEXT, "grü".encode()[:-1], fin=False)
        client.send(kinds.CONTINUATION, "ü".encode()[-1:], fin=False)
        client.send_ping(b"between")
        client.send(kinds.CONTINUATION, "ße".encode())
        assert await next_frame() == (kinds.PONG, b"between", True)
        assert await next_frame() == (kinds.TEXT, "grüße".encode(), True)
        client.send(kinds.TEXT, b"pieces please")
        text, fin = b"", False
        while not fin:
            kind, piece, fin = await next_frame()
            assert kind == (kinds.CONTINUATION if text else kinds.TEXT)
            text += piece
        assert text.decode() == PIECES
        client.send(kinds.TEXT, b"ping please")
        assert await next_frame() == (kinds.TEXT, b"pong came", True)
        client.send_close(3456, "bye ✓".encode())
        visit = await visited.visit()
        assert visit.messages == [*MESSAGES, "grüße"]
        assert visit.ponged
        assert visit.closed == (3456, "bye ✓")
        await client.wait_disconnected()
        assert await next_frame() == (kinds.CLOSE, (3456, None))

        client = await connect()
        client.send(kinds.TEXT, b"close please")
        assert await next_frame() == (kinds.CLOSE, (4001, "enough ✓"))
        assert (await visited.visit()).closed == (4001, "right")
        await client.wait_disconnected()


# httpx-ws: on every loop, without compression


async def test_httpx_ws(serve_visits, need_module):
    module = need_module("httpx_ws")
    events = need_module("wsproto.events")
    async with serve_visits() as visited:
        async with module.aconnect_ws(visited.url, max_message_size_bytes=2**22) as client:
            for message in MESSAGES:
                if isinstance(message, str):
                    await client.send_text(message)
                    assert await client.receive_text(LATER) == message
                else:
                    await client.send_bytes(message)
                    assert await client.receive_bytes(LATER) == message
            for piece in ("one ", "", "two"):
                await client.send(events.TextMessage(piece, message_finished=piece == "two"))
            assert await client.receive_text(LATER) == "one two"
            await client.send_text("pieces please")
            assert await client.receive_text(LATER) == PIECES
            ponged = await client.ping(b"hello")
            with anyio.fail_after(10):
                await ponged.wait()
            await client.send_text("ping please")
            assert await client.receive_text(LATER) == "pong came"
            await client.close(3456, "bye ✓")
        visit = await visited.visit()
        assert visit.messages == [*MESSAGES, "one two"]
        assert visit.ponged
        assert visit.closed == (3456, "bye ✓")

        async with module.aconnect_ws(visited.url) as client:
            await client.send_text("close please")
            with pytest.raises(module.WebSocketDisconnect) as caught:
                await client.receive_text(LATER)
            assert (caught.value.code, caught.value.reason) == (4001, "enough ✓")
        assert (await visited.visit()).closed == (1000, "")


# niquests: blocking, with compression; it tells no close codes


def niquests_client(niquests, url):
    with niquests.Session() as session:
        response = session.get(url, timeout=LATER)
        assert response.status_code == 101
        client = response.extension
        for message in MESSAGES:
            client.send_payload(message)
            assert client.next_payload() == message
        client.send_payload("pieces please")
        assert client.next_payload() == PIECES
        client.ping()
        client.send_payload("ping please")
        assert client.next_payload() == "pong came"
        client.close()
        response = session.get(url, timeout=LATER)
        response.extension.send_payload("close please")
        assert response.extension.next_payload() is None


async def test_niquests(serve_visits, need_module):
    niquests = need_module("niquests")
    async with serve_visits() as visited:
        await in_thread(niquests_client, niquests, visited.url)
        visit = await visited.visit()
        assert visit.messages == MESSAGES
        assert visit.extensions.startswith("permessage-deflate")
        assert visit.ponged
        # Its close frame has the code 0, which nobody may send (RFC 6455, section 7.4.2).
        assert visit.error is None or visit.error.sent.code == 1002
        # It does not answer a close frame, but ends the stream.
        visit = await visited.visit()
        assert visit.error.sent == anyws.Close(4001, "enough ✓")
        assert visit.error.received is None
