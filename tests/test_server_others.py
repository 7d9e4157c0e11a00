"""What one client, or an unlucky moment, must not do to a server and its other clients."""

import math
import socket
import struct
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute

import anyws
from anyws.net.network import current_network

pytestmark = pytest.mark.anyio

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@asynccontextmanager
async def serving(handler=echo, **options):
    """Give a running server; leaving the block cancels it."""
    if "unix_path" not in options:
        options["host"] = "127.0.0.1"
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tg:
            yield await tg.start(partial(anyws.serve, handler, **options))
            tg.cancel_scope.cancel()


async def one_is_answered(port):
    """Have a new client answered; by then the loop, where it reads by itself, has read what came before."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET / HTTP/1.1\r\n\r\n")
        await stream.receive()


async def fails_when_cancelled():
    """A task group of which a task fails when it is cancelled; on trio that is a group with the cancellation."""

    async def failing():
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("cleanup failed")

    async with anyio.create_task_group() as tg:
        tg.start_soon(failing)
        await anyio.sleep_forever()


async def test_a_process_request_that_fails_when_its_time_is_up(caplog):
    """The others are untouched."""

    async def process_request(request):
        if request.path == "/slow":
            await fails_when_cancelled()

    options = {"process_request": process_request, "open_timeout": 0.5}
    async with serving(**options) as server:
        async with anyws.connect(f"ws://127.0.0.1:{server.port}/") as good:
            with pytest.raises((anyws.RejectedHandshake, anyws.InvalidHandshake)):
                async with anyws.connect(f"ws://127.0.0.1:{server.port}/slow"):
                    pass
            await good.send("still there?")
            assert await good.receive() == "still there?"
    assert [
        record.exc_info[1].exceptions[0].args for record in caplog.records if record.exc_info
    ] == [("cleanup failed",)]


async def test_a_handler_that_fails_when_the_server_is_cancelled(caplog):
    """It is logged, and does not come out of ``serve``."""

    async def handler(websocket):
        await websocket.send("begun")
        await fails_when_cancelled()

    async with serving(handler) as server:
        scope = anyio.CancelScope(shield=True)
        with scope:
            async with anyws.connect(f"ws://127.0.0.1:{server.port}/") as client:
                assert await client.receive() == "begun"
                server._task_group.cancel_scope.cancel()
                with pytest.raises(anyws.ConnectionClosed) as caught:
                    await client.receive()
    assert caught.value.code == 1011
    assert len([record for record in caplog.records if record.exc_info]) == 1


@pytest.mark.parametrize("status", [204, 101, 99, 1000, 600])
async def test_a_refusal_with_a_status_that_refuses_nothing(caplog, status):
    def select_subprotocol(request, offered):
        raise anyws.InvalidHandshake("no", status)

    async with serving(select_subprotocol=select_subprotocol) as server:
        for _ in range(2):
            with pytest.raises(anyws.RejectedHandshake) as caught:
                async with anyws.connect(f"ws://127.0.0.1:{server.port}/"):
                    pass
            assert caught.value.status == 500
    assert "from 400 to 599" in caplog.text


async def test_two_tasks_close_the_server():
    """Both return when it is closed."""
    leave = anyio.Event()

    async def handler(websocket):
        await websocket.send("begun")
        await leave.wait()

    async with (
        serving(handler) as server,
        anyws.connect(f"ws://127.0.0.1:{server.port}/") as client,
    ):
        assert await client.receive() == "begun"
        async with anyio.create_task_group() as tg:
            for _ in range(2):
                tg.start_soon(server.aclose, math.inf)
            await anyio.wait_all_tasks_blocked()
            leave.set()


async def test_a_connection_that_opens_while_the_server_closes():
    """It is told as well, and nobody waits for it in vain."""
    asked, go_on, leave = anyio.Event(), anyio.Event(), anyio.Event()

    async def process_request(request):
        if request.path == "/slow":
            asked.set()
            await go_on.wait()

    async def handler(websocket):
        if websocket.request.path == "/slow":
            async for _ in websocket:
                pass
        else:
            await leave.wait()

    async def slow(server):
        async with anyws.connect(f"ws://127.0.0.1:{server.port}/slow") as late:
            with pytest.raises(anyws.ConnectionClosed) as caught:
                await late.receive()
            assert caught.value.code == 1001
        leave.set()

    async with serving(handler, process_request=process_request) as server:
        async with anyws.connect(f"ws://127.0.0.1:{server.port}/"), anyio.create_task_group() as tg:
            tg.start_soon(slow, server)
            await asked.wait()
            tg.start_soon(server.aclose, math.inf)
            await anyio.wait_all_tasks_blocked()
            go_on.set()


async def test_a_connection_that_opens_before_all_sockets_are_listened_on(monkeypatch):
    """A loop that accepts by itself may serve the first of them already."""
    network = type(current_network(None))
    listen = network.listen

    async def served_before(self, sockets, *arguments, **options):
        listening = await listen(self, sockets, *arguments, **options)
        port = sockets[0].getsockname()[1]
        async with anyws.connect(f"ws://127.0.0.1:{port}/") as client:
            await client.send("early")
            assert await client.receive() == "early"
        return listening

    monkeypatch.setattr(network, "listen", served_before)
    async with serving() as server, anyws.connect(f"ws://127.0.0.1:{server.port}/") as client:
        await client.send("later")
        assert await client.receive() == "later"


async def test_what_a_client_sent_before_it_reset_the_connection_counts():
    """Though the connection was lost before it was open, since ``process_request`` took its time."""
    asked, reset, ended = anyio.Event(), anyio.Event(), anyio.Event()
    met = []

    async def think(request):
        asked.set()
        await reset.wait()

    async def handler(websocket):
        with pytest.raises(anyws.ConnectionClosedOK) as caught:
            while True:
                met.append(await websocket.receive())
        met.append(caught.value.received)
        ended.set()

    async with serving(handler, process_request=think) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(REQUEST + b"\x81\x82\0\0\0\0hi" + b"\x88\x82\0\0\0\0\x03\xe8")
            await asked.wait()
            await anyio.wait_all_tasks_blocked()
            sock = stream.extra(SocketAttribute.raw_socket)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await one_is_answered(server.port)
        reset.set()
        await ended.wait()
    assert met == ["hi", anyws.Close(1000, "")]


@pytest.mark.parametrize("rounds", range(8))
async def test_a_server_that_is_cancelled_while_it_begins_leaves_no_file(tmp_path, rounds):
    path = tmp_path / "socket"
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tg:
            tg.start_soon(partial(anyws.serve, echo, unix_path=path))
            while not path.exists():
                await anyio.lowlevel.checkpoint()
            for _ in range(rounds):
                await anyio.lowlevel.checkpoint()
            tg.cancel_scope.cancel()
    assert not path.exists()


async def test_a_server_that_follows_on_the_same_path_keeps_it(tmp_path):
    path = tmp_path / "socket"
    async with serving(unix_path=path) as first, serving(unix_path=path):
        await first.aclose()
        async with anyws.connect("ws://localhost/", unix_path=path) as client:
            await client.send("here")
            assert await client.receive() == "here"
    assert not path.exists()


@pytest.mark.parametrize("how", ["receives", "closes", "is busy"])
async def test_what_lies_before_the_end_of_the_stream_counts(how):
    """More than fits into the receive buffer has come with the request, and the end behind it is known."""
    ask = REQUEST.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    first = b"\x82\xfe\x03\xe8" + bytes(4) + bytes(1000)
    second = b"\x02\xfe\x03\xe8" + bytes(4) + bytes(1000) + b"\x80\x80" + bytes(4)
    asked, go_on, ended = anyio.Event(), anyio.Event(), anyio.Event()
    found = []

    async def think(request):
        asked.set()
        await go_on.wait()

    async def handler(websocket):
        found.append(await websocket.receive())
        if how == "is busy":
            # As long as it takes for the ticker to find nobody there.
            for _ in range(3):
                websocket.tick(0, 0.5, websocket._ticker.task_group)
        if how == "closes":
            await websocket.close()
        else:
            with pytest.raises(anyws.ConnectionClosedOK):
                while True:
                    found.append(await websocket.receive())
        found.append(websocket.close_code)
        ended.set()

    limits = anyws.Limits(receive_buffer=1000)
    async with serving(handler, process_request=think, limits=limits) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(ask + first + second + b"\x88\x82" + bytes(4) + b"\x03\xe8")
            await stream.send_eof()
            await asked.wait()
            await one_is_answered(server.port)
            go_on.set()
            await ended.wait()
    messages = [bytes(1000)] if how == "closes" else [bytes(1000), bytes(1000)]
    assert found == [*messages, 1000]
