"""The bounds of a whole server: connections, and bytes of all of them together."""

import zlib
from contextlib import AsyncExitStack

import anyio
import pytest

import anyws

pytestmark = pytest.mark.anyio

REFUSED = b"HTTP/1.1 503 "


@pytest.mark.parametrize("name", ["max_connections", "max_buffer_size"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
async def test_bounds_are_whole_numbers_from_one_on(name, value, error):
    with pytest.raises(error, match=rf"^{name} must be "):
        await anyws.serve(never_receive, "127.0.0.1", **{name: value})


@pytest.mark.parametrize("open_connections", [2, 3, 4])
async def test_max_connections(serving, open_connections, read_all):
    """One below the bound and at it there is room; one above it the answer is 503."""
    async with serving(max_connections=4) as serve, AsyncExitStack() as stack:
        for _ in range(open_connections):
            await stack.enter_async_context(serve.peer())
        if open_connections < 4:
            await serve.echoes()
            return
        with pytest.raises(anyws.RejectedHandshake) as caught:
            await serve.echoes()
        assert caught.value.status == 503
        assert caught.value.body == b"The server has no room for another connection.\n"
        assert ("Connection", "close") in caught.value.headers


async def test_max_connections_gives_a_place_back(serving, until):
    """Whatever way a connection ends: closed, cut off, refused, or with a handler that fails."""

    async def handler(websocket):
        if await websocket.receive() == "fail":
            raise anyws.HandshakeError("a handler may raise anything")

    async with serving(handler, max_connections=1) as serve:
        for end in ("close", "cut", "fail", "refused"):
            if end == "refused":
                async with serve.stream() as stream:
                    await stream.send(b"GET / HTTP/1.1\r\n\r\n")
                    assert (await stream.receive()).startswith(b"HTTP/1.1 4")
            else:
                async with serve.peer() as peer:
                    if end == "close":
                        await peer.send_close()
                        await peer.receive_close()
                    elif end == "fail":
                        await peer.send_frame(0x81, b"fail")
                        assert (await peer.receive_close())[0] == 1011
            await until(lambda: serve.server._connections == 0)
        async with serve.peer():
            assert serve.server._connections == 1


async def test_max_connections_counts_handshakes(serving, read_all):
    """A client that says nothing takes a place, until ``open_timeout`` at most."""
    async with serving(max_connections=1, open_timeout=0.2) as serve:
        async with serve.stream() as silent:
            await silent.send(b"GET / HT")
            async with serve.stream() as other:
                assert (await read_all(other)).startswith(REFUSED)
            await read_all(silent)
            await serve.echoes()


async def test_max_connections_holds_up_nobody(serving, read_all, raw_peer):
    """Clients too many that never read their answer neither wait nor take a place."""
    async with serving(max_connections=1) as serve, AsyncExitStack() as stack:
        peer = await stack.enter_async_context(serve.peer())
        for _ in range(80):
            stream = await stack.enter_async_context(serve.stream())
        # The last of them was not given time to read: it is closed already.
        assert (await read_all(stream)).startswith(REFUSED)
        await peer.send_frame(0x81, b"x")
        assert (await peer.receive_frame()).payload == b"x"
        assert serve.server._connections == 1


def text(size):
    return b"x" * size


async def never_receive(websocket):
    await anyio.sleep_forever()


@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_max_buffer_size_of_received_bytes(serving, until, more):
    """One below the bound and at it nothing happens; one above it who holds most is closed, 1013."""
    limits = anyws.Limits(receive_buffer=4000)
    options = {"ping_interval": 0.2, "ping_timeout": None, "limits": limits}
    async with serving(never_receive, max_buffer_size=1000, **options) as serve:
        async with serve.peer() as small, serve.peer() as large:
            # Six bytes of each frame are its header, eight above 125.
            await small.send_frame(0x82, text(94))
            await until(lambda: total(serve) == 100)
            await large.send_frame(0x82, text(892 + more))
            if more <= 0:
                await until(lambda: total(serve) == 1000 + more)
                assert len(serve.server.clients) == 2
                return
            assert (await large.receive_close())[0] == 1013
            await until(lambda: total(serve) == 100)
            await small.send_frame(0x89, b"still here")
            assert (await small.receive_frame()).payload == b"still here"


def total(serve):
    return sum(websocket.buffered for websocket in serve.server.clients)


async def test_max_buffer_size_of_unfinished_messages(serving, until):
    """A handler that waits for the rest of a message is told what happened, and why."""
    told = []

    async def handler(websocket):
        try:
            await websocket.receive()
        except anyws.ConnectionClosed as error:
            told.append(error)

    async with serving(handler, max_buffer_size=100_000) as serve:
        async with serve.peer() as one, serve.peer() as other:
            for peer, size in ((one, 30_000), (other, 40_000)):
                await peer.send_frame(0x02, text(size))
            await until(lambda: total(serve) == 70_000)
            await one.send_frame(0x00, text(30_001))
            assert await one.receive_close() == (
                1013,
                "the server holds too much, try again later",
            )
            await one.receive_eof()
            await one.stream.aclose()
            await until(lambda: told)
            (error,) = told
            assert isinstance(error, anyws.ConnectionClosedError)
            assert error.cause is anyws.CloseCause.OVER_LIMIT
            assert error.sent.code == 1013
            assert "100000 bytes" in str(error)
            await other.send_frame(0x80, b"")
            assert (await other.receive_close())[0] == 1000


async def test_max_buffer_size_of_bytes_to_send(serving, until):
    """Who never reads its answers is dropped; its handler meets the end in ``send``."""
    told = []

    async def handler(websocket):
        try:
            await websocket.receive()
            while True:
                await websocket.send(bytes(10_000))
        except anyws.ConnectionClosed as error:
            told.append(error)
            raise

    limits = anyws.Limits(send_buffer=10**6)
    async with serving(handler, max_buffer_size=100_000, limits=limits) as serve:
        async with serve.peer() as idle, serve.peer() as greedy:
            await greedy.send_frame(0x81, b"go")
            await until(lambda: told)
            assert told[0].cause is anyws.CloseCause.OVER_LIMIT
            await idle.send_frame(0x89, b"still here")
            assert (await idle.receive_frame()).payload == b"still here"


async def test_max_buffer_size_of_a_queue_that_is_taken(serving, until):
    """What was taken counts no more, however much came in all."""
    async with serving(max_buffer_size=100_000) as serve, anyws.connect(serve.url) as websocket:
        for _ in range(50):
            await websocket.send(bytes(50_000))
            assert len(await websocket.receive()) == 50_000
        await until(lambda: total(serve) == 0)


async def test_max_buffer_size_of_a_bomb(serving):
    """Inflated bytes count, not those on the wire; without a budget this message would be fine."""
    deflate = "Sec-WebSocket-Extensions: permessage-deflate"
    limits = anyws.Limits(message_size=None)
    compressor = zlib.compressobj(wbits=-15)
    bomb = compressor.compress(bytes(1_000_000)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    async with serving(max_buffer_size=500_000, limits=limits) as serve:
        async with serve.peer(deflate) as peer:
            await peer.send_frame(0x42, bomb)
            assert (await peer.receive_close())[0] == 1013
        await serve.echoes()


async def test_a_peer_that_ignores_1013_is_dropped(serving, until):
    """The closing handshake has its time limit; what comes meanwhile is not kept."""
    async with serving(max_buffer_size=1000, close_timeout=0.1) as serve:
        async with serve.peer() as peer:
            await peer.send_frame(0x02, text(2000))
            assert (await peer.receive_close())[0] == 1013
            await peer.send_frame(0x02, text(50_000))
            await until(lambda: not serve.server.clients)
