"""Messages that are read while they arrive."""

import anyio
import pytest

from anyws.enums import DataType
from anyws.errors import ConnectionClosedError, ConnectionClosedOK
from anyws.limits import Limits
from anyws.stream.reader import WebSocketReader
from anyws.testing import WebSocketPair

pytestmark = pytest.mark.anyio


async def next_reader(websocket):
    return await anext(aiter(websocket.readers()))


async def test_each_message_is_a_reader():
    async with WebSocketPair() as (client, server):
        for message in ("text", b"binary", "", b"", "é" * 5000):
            await client.send(message)
        kinds, whole = [], []
        async for reader in server.readers():
            assert isinstance(reader, WebSocketReader)
            kinds.append(reader.data_type)
            whole.append(await reader.get())
            if len(whole) == 5:
                break
        assert kinds == [1, 2, 1, 2, 1]
        assert whole == ["text", b"binary", "", b"", "é" * 5000]


async def test_reads_while_the_message_arrives(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x01, b"first")
        reader = await next_reader(websocket)
        assert reader.data_type is DataType.TEXT
        assert await reader.read(100) == b"first"
        assert not reader.at_eof()
        await peer.send_frame(0x00, b"second")
        assert await reader.receive() == b"second"
        await peer.send_frame(0x80, b"third")
        assert await reader.get() == "third"
        assert reader.at_eof()
        assert await reader.read(1) == b""
        assert websocket.statistics().messages_received == 1


async def test_reads_the_middle_of_a_frame(raw_client):
    async with raw_client() as (websocket, peer):
        frame = peer.frame(0x82, b"0123456789", mask=b"mask")
        await peer.send(frame[:-4])
        reader = await next_reader(websocket)
        assert await reader.read(100) == b"012345"
        await peer.send(frame[-4:])
        assert [piece async for piece in reader] == [b"6789"]


async def test_ends_with_the_connection():
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        await client.send("last")
        tg.start_soon(client.close)
        assert [await reader.get() async for reader in server.readers()] == ["last"]
        tg.start_soon(server.close)


async def test_error_end(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x81, b"last")
        await peer.send_close(1011)
        got = []
        with pytest.raises(ConnectionClosedError):
            async for reader in websocket.readers():
                got.append(await reader.get())
        assert got == ["last"]


async def test_abandoned_reader_is_skipped(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x01, b"first")
        reader = await next_reader(websocket)
        assert await reader.read(1) == b"f"
        await peer.send_frame(0x00, b"dropped")
        await peer.send_frame(0x80, b"dropped too")
        await peer.send_frame(0x81, b"next")
        assert await (await next_reader(websocket)).get() == "next"


async def test_abandoned_reader_is_skipped_by_receive(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x02, b"first")
        await next_reader(websocket)
        await peer.send_frame(0x80, b"dropped")
        await peer.send_frame(0x82, b"next")
        assert await websocket.receive() == b"next"


async def test_abandoned_big_message_does_not_fill_the_buffer():
    async with (
        WebSocketPair(limits=Limits(receive_buffer=1000, message_size=None)) as (client, server),
        anyio.create_task_group() as tg,
    ):
        tg.start_soon(client.send, bytes(500000))
        await next_reader(server)
        await server.send("ready")
        assert await client.receive() == "ready"
        tg.start_soon(client.send, "next")
        assert await server.receive() == "next"


async def test_reading_on_in_a_skipped_reader_ends(raw_client):
    """A task that still holds a reader whose message was skipped must not wait for ever."""
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x01, b"first")
        reader = await next_reader(websocket)
        assert await reader.read(100) == b"first"
        await peer.send_frame(0x80, b"dropped")
        await peer.send_frame(0x81, b"next")
        assert await websocket.receive() == "next"
        with anyio.move_on_after(0.5) as scope, pytest.raises(anyio.ClosedResourceError):
            await reader.read(100)
        assert not scope.cancelled_caught


async def test_closed_reader(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x01, b"first")
        reader = await next_reader(websocket)
        await reader.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await reader.read(1)
        await peer.send_frame(0x80, b"dropped")
        await peer.send_frame(0x81, b"next")
        assert await websocket.receive() == "next"


async def test_get_as_the_other_kind():
    async with WebSocketPair() as (client, server):
        await client.send("é")
        await client.send("é".encode())
        await client.send(b"\xff")
        readers = server.readers()
        assert await (await anext(readers)).get(DataType.BINARY) == "é".encode()
        assert await (await anext(readers)).get(DataType.TEXT) == "é"
        with pytest.raises(UnicodeDecodeError):
            await (await anext(readers)).get(DataType.TEXT)
        await client.send("open")
        assert await server.receive() == "open"


async def test_cancelled_get_loses_nothing(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x01, b"one ")
        reader = await next_reader(websocket)
        with anyio.move_on_after(0.01) as scope:
            await reader.get()
        assert scope.cancelled_caught
        await peer.send_frame(0x80, b"two")
        assert await reader.get() == "one two"


async def test_get_beyond_the_receive_buffer():
    async with (
        WebSocketPair(limits=Limits(receive_buffer=1000)) as (client, server),
        anyio.create_task_group() as tg,
    ):
        tg.start_soon(client.send, bytes(300000))
        assert await (await next_reader(server)).get() == bytes(300000)


async def test_unread_reader_holds_up_the_peer():
    async with (
        WebSocketPair(limits=Limits(receive_buffer=1000, message_size=None)) as (client, server),
        anyio.create_task_group() as tg,
    ):
        tg.start_soon(client.send, bytes(1000000))
        reader = await next_reader(server)
        await anyio.wait_all_tasks_blocked()
        # One read of the stream, at most, goes beyond the limit.
        assert reader.size <= 1000 + 65536
        total = 0
        while data := await reader.read(1000):
            total += len(data)
            assert reader.size <= 1000 + 65536
        assert total == 1000000


async def test_connection_ends_in_the_middle(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x01, b"half")
        reader = await next_reader(websocket)
        await peer.stream.aclose()
        with pytest.raises(ConnectionClosedError) as caught:
            await reader.get()
        assert caught.value.code == 1006
        assert await reader.read(10) == b"half"
        with pytest.raises(ConnectionClosedError):
            await reader.read(10)


async def test_bad_text_in_the_middle(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x01, b"good ")
        reader = await next_reader(websocket)
        await peer.send_frame(0x00, b"\xff")
        assert await reader.read(10) == b"good "
        with pytest.raises(ConnectionClosedError):
            await reader.get()
        assert (await peer.receive_close())[0] == 1007


async def test_second_task_is_told_and_the_reader_is_unharmed(raw_client):
    got = []

    async def get(reader):
        got.append(await reader.get())

    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        await peer.send_frame(0x01, b"a")
        reader = await next_reader(websocket)
        tg.start_soon(get, reader)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await websocket.receive()
        await peer.send_frame(0x80, b"b")
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert got == ["ab"]


@pytest.mark.parametrize("message", ["text " * 5000, bytes(30000), "", b""])
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_relay(message, compression):
    """What comes on one connection is fed into another."""
    async with (
        WebSocketPair(compression=compression) as (client, relay_in),
        WebSocketPair(compression=compression) as (relay_out, server),
        anyio.create_task_group() as tg,
    ):

        async def relay():
            async for reader in relay_in.readers():
                await relay_out.writer.feed(reader)
            await relay_out.aclose()

        tg.start_soon(relay)
        await client.send(message)
        received = await server.receive()
        assert received == message
        assert type(received) is type(message)
        await client.aclose()
        assert [message async for message in server] == []
        await server.aclose()


async def test_echo_reader_while_the_message_arrives(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        await peer.send_frame(0x01, b"one")
        reader = await next_reader(websocket)
        tg.start_soon(websocket.writer.feed, reader)
        frame = await peer.receive_frame()
        assert (frame.first, frame.payload) == (0x01, b"one")
        await peer.send_frame(0x80, b"two")
        rest = []
        while not rest or not rest[-1].final:
            rest.append(await peer.receive_frame())
        assert b"".join(frame.payload for frame in rest) == b"two"
        assert all(frame.opcode == 0 for frame in rest)


@pytest.mark.parametrize("how", ["read", "anext", "get"])
async def test_what_has_come_is_read_with_checkpoints(how):
    """Whole messages that wait already must not starve the loop."""
    async with WebSocketPair() as (client, server):
        for _ in range(300):
            await client.send("x")
        readers = server.readers()
        first = await anext(readers)
        assert await first.get() == "x"
        ran = anyio.Event()

        async def other():
            ran.set()

        async with anyio.create_task_group() as tg:
            tg.start_soon(other)
            for _ in range(299):
                reader = await anext(readers)
                if how == "read":
                    await reader.read(10)
                elif how == "anext":
                    await anext(reader)
                else:
                    await reader.get()
            assert ran.is_set()


async def test_half_a_message_is_no_end_of_the_stream(raw_client):
    """Though the connection is closed in good order: who reads bytes would take it for the whole."""
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x01, b"half")
        await peer.send_close(1000)
        async for reader in websocket.readers():
            assert await reader.receive() == b"half"
            for read in (reader.receive, reader.read, reader.get):
                with pytest.raises(ConnectionClosedError) as caught:
                    await read()
                assert caught.value.code == 1000
                assert isinstance(caught.value.__cause__, ConnectionClosedOK)
            assert not reader.at_eof()


async def test_a_large_message_that_was_left_does_not_hold_up_the_next_one():
    limits = Limits(receive_buffer=1000, message_size=None)
    async with WebSocketPair(limits=limits) as (client, server), anyio.create_task_group() as tg:
        tg.start_soon(client.send, bytes(500_000))
        readers = aiter(server.readers())
        await anext(readers)
        tg.start_soon(client.send, "next")
        with anyio.fail_after(10):
            assert await (await anext(readers)).get() == "next"
