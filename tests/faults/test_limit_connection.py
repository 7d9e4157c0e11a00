"""Each field of ``Limits`` one below its bound, at it, and one above it, over a whole connection."""

import dataclasses
import zlib

import anyio
import pytest

import anyws
from anyws import Limits
from anyws.testing import memory_pair

pytestmark = pytest.mark.anyio

BELOW_AT_ABOVE = pytest.mark.parametrize("more", [-1, 0, 1], ids=["below", "at", "above"])


def compress(data):
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def received(websocket, *, how):
    """Return the next message whole, however it is asked for."""
    if how == "receive":
        return await websocket.receive()
    return await (await anext(aiter(websocket.readers()))).get()


@BELOW_AT_ABOVE
@pytest.mark.parametrize("how", ["receive", "readers"])
@pytest.mark.parametrize("form", ["one frame", "fragments", "compressed", "compressed fragments"])
async def test_message_size(raw_client, form, how, more):
    limit = 1000
    message = bytes(limit + more)
    payload = compress(message) if "compressed" in form else message
    first = 0x42 if "compressed" in form else 0x02
    deflate = "compressed" in form
    async with raw_client(deflate=deflate, limits=Limits(message_size=limit)) as (websocket, peer):
        if "fragments" in form:
            await peer.send_frame(first, payload[: len(payload) // 2])
            await peer.send_frame(0x80, payload[len(payload) // 2 :])
        else:
            await peer.send_frame(0x80 | first, payload)
        if more <= 0:
            assert await received(websocket, how=how) == message
            await websocket.send("usable")
            assert (await peer.receive_frame()).payload
            return
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await received(websocket, how=how)
        assert caught.value.cause is anyws.CloseCause.OVER_LIMIT
        assert caught.value.sent.code == 1009
        assert (await peer.receive_close())[0] == 1009


@BELOW_AT_ABOVE
async def test_message_size_of_what_a_server_sends(raw_server, more):
    async with raw_server(limits=Limits(message_size=1000), compression=None) as (client, peer):
        await peer.send_frame(0x82, bytes(1000 + more))
        if more <= 0:
            assert len(await client.receive()) == 1000 + more
            return
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await client.receive()
        assert caught.value.cause is anyws.CloseCause.OVER_LIMIT
        assert (await peer.receive_close())[0] == 1009


@pytest.mark.parametrize("declared", [1001, 2**16, 2**62, 2**63 - 1])
async def test_message_size_is_judged_by_the_header(raw_client, declared):
    """Not a byte of payload has come, and none is waited for."""
    async with raw_client(limits=Limits(message_size=1000)) as (websocket, peer):
        size = (126, 2) if declared < 2**16 else (127, 8)
        await peer.send(bytes((0x82, 0x80 | size[0])) + declared.to_bytes(size[1], "big"))
        with pytest.raises(anyws.ConnectionClosedError):
            await websocket.receive()
        assert (await peer.receive_close())[0] == 1009


@BELOW_AT_ABOVE
async def test_fragments(raw_client, more):
    async with raw_client(limits=Limits(fragments=5)) as (websocket, peer):
        for number in range(5 + more):
            last = number == 4 + more
            await peer.send_frame((0x80 if last else 0) | (0 if number else 1), b"x")
        if more <= 0:
            assert await websocket.receive() == "x" * (5 + more)
            return
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.cause is anyws.CloseCause.OVER_LIMIT
        assert (await peer.receive_close())[0] == 1009


async def next_but_pings(peer):
    while (frame := await peer.receive_frame()).opcode == 9:
        pass
    return frame


@BELOW_AT_ABOVE
async def test_receive_buffer(raw_client, more):
    """With that much held nothing more is read, until the application takes it."""
    options = {"limits": Limits(receive_buffer=1000), "ping_interval": 0.04, "ping_timeout": None}
    async with raw_client(**options) as (websocket, peer):
        await peer.send_frame(0x82, bytes(1000 - 8 + more))
        await peer.send_frame(0x89, b"behind it")
        if more < 0:
            assert (await next_but_pings(peer)).payload == b"behind it"
            assert len(await websocket.receive()) == 1000 - 8 + more
            return
        with anyio.fail_after(5):
            while websocket.buffered < 1000:
                await anyio.sleep(0.002)
        with anyio.move_on_after(0.05) as scope:
            await next_but_pings(peer)
        assert scope.cancelled_caught
        assert len(await websocket.receive()) == 1000 - 8 + more
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.receive)
            assert (await next_but_pings(peer)).payload == b"behind it"
            await peer.send_frame(0x81, b"last")


@BELOW_AT_ABOVE
async def test_send_buffer(raw_client, more):
    """Up to the bound a send returns at once; above it, when a quarter is left."""
    async with raw_client(capacity=0, limits=Limits(send_buffer=1000)) as (websocket, peer):
        done = []

        async def send():
            await websocket.send(bytes(1000 - 4 + more))
            done.append(True)

        async with anyio.create_task_group() as tg:
            tg.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            assert bool(done) == (more <= 0)
            assert websocket.buffered == 1000 + more
            assert len((await peer.receive_frame()).payload) == 1000 - 4 + more
        assert done


@BELOW_AT_ABOVE
async def test_pending_pongs(raw_client, more):
    """Answers that the peer does not read are kept up to the bound, then the oldest are dropped."""
    async with raw_client(limits=Limits(pending_pongs=3, send_buffer=100)) as (websocket, peer):
        count = 3 + more
        peer.stream._incoming.capacity = 0
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.send, bytes(1000))
            tg.start_soon(websocket.receive)
            await anyio.wait_all_tasks_blocked()
            for number in range(count):
                await peer.send_frame(0x89, bytes([number]))
            await anyio.wait_all_tasks_blocked()
            assert (await peer.receive_frame()).opcode == 2
            await peer.send_frame(0x81, b"x")
            pongs = [(await peer.receive_frame()).payload[0] for _ in range(min(count, 3))]
        assert pongs == list(range(count))[-3:]


HEAD = [
    b"GET / HTTP/1.1",
    b"Host: memory",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
]
REQUEST = b"\r\n".join(HEAD) + b"\r\n\r\n"
#: What a bound counts in ``REQUEST``.
COUNTED = {
    "handshake_size": len(REQUEST),
    "handshake_line": max(map(len, HEAD)),
    "handshake_headers": len(HEAD) - 1,
}


@BELOW_AT_ABOVE
@pytest.mark.parametrize("name", sorted(COUNTED))
async def test_handshake_of_a_client(name, more):
    """Over a bound the answer is 431, as soon as it is passed."""
    ours, theirs = memory_pair()
    await theirs.send(REQUEST)
    limits = Limits(**{name: COUNTED[name] - more})
    with anyio.fail_after(10):
        if more <= 0:
            async with anyws.accept(ours, limits=limits):
                assert (await theirs.receive()).startswith(b"HTTP/1.1 101 ")
                await theirs.aclose()
            return
        async with anyio.create_task_group() as tg:
            tg.start_soon(refused, ours, limits)
            assert (await theirs.receive()).startswith(b"HTTP/1.1 431 ")
            await theirs.aclose()


async def refused(stream, limits):
    with pytest.raises(anyws.HandshakeError):
        async with anyws.accept(stream, limits=limits):
            pass


@BELOW_AT_ABOVE
@pytest.mark.parametrize("name", sorted(COUNTED))
async def test_handshake_of_a_server(name, more):
    """Over a bound the client gives up."""
    answer = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ]
    data = b"\r\n".join(answer) + b"\r\n\r\n"
    counted = {
        "handshake_size": len(data),
        "handshake_line": max(map(len, answer)),
        "handshake_headers": len(answer) - 1,
    }[name]
    limits = Limits(**{name: counted - more})
    ours, theirs = memory_pair()
    await theirs.send(data)
    with anyio.fail_after(10), pytest.raises(anyws.HandshakeError) as caught:
        async with anyws.client_over(ours, "ws://memory/", limits=limits):
            pass
    # The key of the example is not the one that was asked with: within the bounds it is looked at.
    assert ("Sec-WebSocket-Accept" in str(caught.value)) == (more <= 0)


def test_every_limit_has_its_test():
    names = {field.name for field in dataclasses.fields(Limits)}
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert names <= tested | COUNTED.keys()
