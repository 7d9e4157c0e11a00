"""The open connection as the application sees it."""

import anyio
import pytest
from anyio.abc import ObjectStream, SocketAttribute
from anyio.streams.stapled import StapledObjectStream

from anyws.enums import State
from anyws.errors import ConnectionClosedError, ConnectionClosedOK
from anyws.stream.websocket import WebSocket
from anyws.testing import FaultyStream, WebSocketPair, memory_pair

pytestmark = pytest.mark.anyio


async def test_it_is_an_object_stream():
    async with WebSocketPair() as (client, server):
        assert isinstance(client, ObjectStream)
        stapled = StapledObjectStream(client, server)
        await stapled.send("through")
        assert await stapled.receive() == "through"


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_messages(compression):
    async with WebSocketPair(compression=compression) as (client, server):
        for one, other in ((client, server), (server, client)):
            for message in ("", b"", "text é\U0001f40d", b"\0\xff", "x" * 50000, bytes(50000)):
                async with anyio.create_task_group() as tg:
                    tg.start_soon(one.send, message)
                    received = await other.receive()
                assert received == message
                assert type(received) is type(message)


async def test_iteration_ends_in_good_order():
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        for number in range(3):
            await client.send(str(number))
        tg.start_soon(client.close, 1001)
        assert [message async for message in server] == ["0", "1", "2"]
        assert [message async for message in server] == []
        with pytest.raises(ConnectionClosedOK):
            await server.receive()
        tg.start_soon(server.close)


async def test_iteration_raises_after_an_error(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x81, b"a")
        await peer.send_close(3000)
        got = []
        with pytest.raises(ConnectionClosedError) as caught:
            async for message in websocket:
                got.append(message)
        assert got == ["a"]
        assert caught.value.code == 3000


async def test_send_eof_goes_on_receiving(raw_client):
    async with raw_client() as (websocket, peer):
        await websocket.send("question")
        await websocket.send_eof()
        await websocket.send_eof()
        assert (await peer.receive_frame()).payload == b"question"
        assert (await peer.receive_close())[0] == 1000
        await peer.send_frame(0x81, b"answer")
        await peer.send_close()
        assert [message async for message in websocket] == ["answer"]
        assert websocket.close_code == 1000


async def test_facts():
    async with WebSocketPair(
        uri="ws://memory/path?query", subprotocols=["chat"], client={"headers": {"X-Mine": "1"}}
    ) as (client, server):
        for websocket in (client, server):
            assert isinstance(websocket, WebSocket)
            assert websocket.state is State.OPEN
            assert websocket.subprotocol == "chat"
            assert websocket.request.target == "/path?query"
            assert websocket.response.status == 101
            assert websocket.close_code is None
            assert websocket.close_reason is None
            assert websocket.latency is None
            assert websocket.remote_address is None
            assert not websocket.writer.closed
        async with anyio.create_task_group() as tg:
            tg.start_soon(client.close, 1000, "done")
            tg.start_soon(server.close)
        for websocket in (client, server):
            assert websocket.state is State.CLOSED
            assert websocket.close_code == 1000
            assert websocket.writer.closed


async def test_repr():
    async with WebSocketPair(uri="ws://memory/path") as (client, server):
        name = "<anyws.WebSocket client, connection to ws://memory/path"
        assert repr(client) == f"{name}, open>"
        assert repr(server) == "<anyws.WebSocket server, connection for '/path', open>"
        await client.send_eof()
        assert repr(client) == f"{name}, closing>"
    assert repr(client) == f"{name}, closed>"


async def test_statistics():
    async with WebSocketPair(compression=None) as (client, server):
        before = client.statistics()
        assert (before.messages_sent, before.messages_received) == (0, 0)
        await client.send("12345")
        await client.writer.feed([b"123", b"45"])
        async with client.writer.fragment() as stream:
            await stream.send("x", final=True)
        for _ in range(3):
            await server.receive()
        sent, received = client.statistics(), server.statistics()
        assert (sent.messages_sent, received.messages_received) == (3, 3)
        # Two header bytes and four of key for each frame.
        assert sent.bytes_sent == 5 + 3 + 2 + 0 + 1 + 6 * 5
        assert received.bytes_received == sent.bytes_sent
        assert (sent.messages_received, received.messages_sent) == (0, 0)


async def test_statistics_of_a_message_that_was_not_sent(raw_client):
    async with raw_client(capacity=10) as (websocket, _), anyio.create_task_group() as tg:
        tg.start_soon(websocket.send, bytes(70000))
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01):
            async with websocket.writer.fragment() as stream:
                await stream.send("never")
        assert websocket.statistics().messages_sent == 1
        tg.cancel_scope.cancel()


async def test_typed_attributes():
    class Addressed(FaultyStream):
        @property
        def extra_attributes(self):
            return {SocketAttribute.remote_address: lambda: ("198.51.100.1", 1234)}

    one, other = memory_pair()
    async with WebSocketPair((Addressed(one), other)) as (client, server):
        assert client.extra(SocketAttribute.remote_address) == ("198.51.100.1", 1234)
        assert client.remote_address == ("198.51.100.1", 1234)
        assert server.remote_address is None
        with pytest.raises(anyio.TypedAttributeLookupError):
            server.extra(SocketAttribute.remote_address)


async def test_two_receivers():
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        got = []

        async def receive():
            got.append(await server.receive())

        tg.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await server.receive()
        with pytest.raises(anyio.BusyResourceError):
            async for _ in server.readers():
                pass
        await client.send("first")
        await anyio.wait_all_tasks_blocked()
        assert got == ["first"]


async def test_a_checkpoint_for_messages_that_wait(raw_client):
    async with raw_client(checkpoint_interval=10) as (websocket, peer):
        await peer.send(peer.frame(0x81, b"x", mask=b"mask") * 100)
        assert await websocket.receive() == "x"
        count = 0
        with anyio.CancelScope() as scope:
            scope.cancel()
            for _ in range(99):
                await websocket.receive()
                count += 1
        assert scope.cancelled_caught
        assert count <= 10
        for _ in range(99 - count):
            assert await websocket.receive() == "x"


async def test_the_connection_outlives_garbage_in_user_code(raw_client):
    """Many cancelled calls of every kind leave the connection usable."""
    async with raw_client() as (websocket, peer):
        for call in (
            websocket.receive,
            websocket.ping,
            lambda: websocket.send("maybe"),
            lambda: websocket.writer.flush(),
            lambda: anext(websocket.readers()),
        ):
            for _ in range(3):
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await call()
        await websocket.send("end")
        while (await peer.receive_frame()).payload != b"end":
            pass
        await peer.send_frame(0x81, b"open")
        assert await websocket.receive() == "open"
