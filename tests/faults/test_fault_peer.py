"""A peer that vanishes, resets, ends, or stalls, at each phase of a connection, in both roles.

In memory, and over TCP, where each loop has a transport of its own.
"""

import logging

import anyio
import pytest

import anyws
from anyws import CloseCause

pytestmark = pytest.mark.anyio

KEEPALIVE = {"ping_interval": 0.02, "ping_timeout": 0.05}
NO_KEEPALIVE = {"ping_interval": None}


async def met_by(websocket):
    """Return what each call of a lost connection raises, which must be the same."""
    met = []
    for call in (websocket.receive, lambda: websocket.send("x"), websocket.ping, websocket.receive):
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await call()
        met.append(caught.value)
    assert len({error.args for error in met}) == 1
    return met[0]


async def fails(peer, way, task_group, received):
    """Let the peer fail; what it still reads goes to ``received``."""
    if way == "resets":
        await peer.reset()
    elif way == "half-closes":
        await peer.stream.send_eof()
    elif way == "stops sending":
        task_group.start_soon(peer.read_all, received)


WAYS = {
    "vanishes": CloseCause.PING_TIMEOUT,
    "stops sending": CloseCause.PING_TIMEOUT,
    "resets": CloseCause.CONNECTION_LOST,
    "half-closes": CloseCause.CONNECTION_LOST,
}


@pytest.mark.parametrize("phase", ["idle", "mid-header", "mid-frame", "mid-message", "mid-close"])
@pytest.mark.parametrize("way", WAYS)
async def test_while_open(way, phase, link):
    """What came whole is delivered, what did not is not, and each call names the cause."""
    cause = WAYS[way]
    keepalive = KEEPALIVE if cause is CloseCause.PING_TIMEOUT else NO_KEEPALIVE
    async with link.opened(**keepalive) as (websocket, peer), anyio.create_task_group() as tg:
        half = {
            "idle": b"",
            "mid-header": peer.make(0x82, bytes(70000))[:5],
            "mid-frame": peer.make(0x81, b"half")[:-2],
            "mid-message": peer.make(0x01, b"half"),
            "mid-close": peer.make(0x88, b"\x03\xe8")[:-1],
        }
        await peer.send(peer.make(0x81, b"before") + half[phase])
        assert await websocket.receive() == "before"
        received = bytearray()
        await fails(peer, way, tg, received)
        error = await met_by(websocket)
        assert (error.cause, error.code, error.received) == (cause, 1006, None)
        assert websocket.close_code == 1006
        if cause is CloseCause.PING_TIMEOUT:
            assert error.sent.code == 1011
        else:
            assert (error.sent, error.began_by_us) == (None, None)
            assert (error.__cause__ is not None) == (way == "resets")
        if way == "stops sending":
            await websocket.aclose()
            tg.cancel_scope.cancel()
            mask = 0 if peer.client else 0x80
            assert received.startswith(bytes((0x89, mask | 4)))


@pytest.mark.parametrize("way", WAYS)
async def test_while_it_is_read_as_a_stream(way, link):
    """A reader of an unfinished message gives what has come, and then meets the end; never a whole message."""
    cause = WAYS[way]
    keepalive = KEEPALIVE if cause is CloseCause.PING_TIMEOUT else NO_KEEPALIVE
    async with link.opened(**keepalive) as (websocket, peer), anyio.create_task_group() as tg:
        await peer.send(peer.make(0x01, b"half") + peer.make(0x80, b"rest")[:-2])
        async for reader in websocket.readers():
            text = b""
            while len(text) < 6:
                text += await reader.read(100)
            assert text == b"halfre"
            await fails(peer, way, tg, bytearray())
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await reader.read()
            assert caught.value.cause is cause
            break
        await websocket.aclose()
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("what", ["frame", "fragments", "feed"])
@pytest.mark.parametrize("way", ["resets", "half-closes"])
async def test_while_we_send(what, way, link):
    """Who waits in the middle of a message is told; what began it is closed; nobody waits for ever."""
    closed = []

    async def source():
        try:
            while True:
                yield bytes(100_000)
        finally:
            closed.append("source")

    async def send(websocket):
        if what == "feed":
            await websocket.writer.feed(source(), chunksize=100_000)
        elif what == "fragments":
            async with websocket.writer.fragment() as stream:
                while True:
                    await stream.send(bytes(100_000))
        while True:
            await websocket.send(bytes(1_000_000))

    # Half of its timeout is how soon a connection is looked at that nobody receives from.
    options = {"compression": None, "ping_timeout": 0.1}
    async with link.opened(**options) as (websocket, peer), anyio.create_task_group() as tg:

        async def sender():
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await send(websocket)
            closed.append(caught.value)

        async def fail():
            await peer.receive_exactly(150_000)
            await fails(peer, way, tg, bytearray())

        tg.start_soon(sender)
        tg.start_soon(fail)
        with anyio.fail_after(15):
            while not any(isinstance(error, Exception) for error in closed):
                await anyio.sleep(0.005)
        assert closed[:-1] == ["source"] * (what == "feed")
        assert closed[-1].cause is CloseCause.CONNECTION_LOST
        assert (closed[-1].__cause__ is not None) == (way == "resets")
        assert closed[-1].args == (await met_by(websocket)).args


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads nothing"])
async def test_breaks_a_rule_while_nobody_receives(reads, link):
    """It gets 1002 and the end of the stream; who waits in ``send`` is told the rule."""
    options = {"compression": None, "ping_timeout": 0.1}
    async with link.opened(**options) as (websocket, peer), anyio.create_task_group() as tg:
        met = []
        told = anyio.Event()

        async def send():
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                while True:
                    await websocket.send(bytes(1_000_000))
            met.append(caught.value)
            told.set()

        if not reads:
            tg.start_soon(send)
        await peer.send(peer.make(0x81, b"before") + peer.make(0x83, b"bad"))
        if reads:
            assert (await peer.receive_close())[0] == 1002
            await peer.receive_eof()
        else:
            with anyio.fail_after(15):
                await told.wait()
            assert met[0].cause is CloseCause.PROTOCOL_ERROR
        assert await websocket.receive() == "before"
        error = await met_by(websocket)
        assert (error.cause, error.sent.code) == (CloseCause.PROTOCOL_ERROR, 1002)
        assert isinstance(error.__cause__, anyws.ProtocolError)


CLOSING = {
    "vanishes": CloseCause.CLOSE_TIMEOUT,
    "stops sending": CloseCause.CLOSE_TIMEOUT,
    "resets": CloseCause.CLOSED_BY_US,
    "half-closes": CloseCause.CLOSED_BY_US,
}


@pytest.mark.parametrize("way", CLOSING)
async def test_while_we_close(way, link):
    """``close`` returns, it does not raise; what came before stays for ``receive``; the code is 1006."""
    async with link.opened() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.close, 4000, "enough")
        assert await peer.receive_close() == (4000, "enough")
        await peer.send(peer.make(0x81, b"before") + peer.make(0x88, b"\x03\xe8")[:-1])
        with anyio.fail_after(10):
            assert await websocket.receive() == "before"
        await fails(peer, way, tg, bytearray())
        error = await met_by(websocket)
        assert (error.cause, error.code) == (CLOSING[way], 1006)
        assert error.sent == (4000, "enough")
        assert error.began_by_us is True
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("way", WAYS)
async def test_after_its_close_frame(way, link):
    """Both close frames make the end; how TCP ends after them is nobody's error."""
    async with link.opened() as (websocket, peer), anyio.create_task_group() as tg:
        await peer.send(peer.make(0x81, b"before") + peer.make(0x88, b"\x03\xe8bye"))
        assert await websocket.receive() == "before"
        with pytest.raises(anyws.ConnectionClosedOK) as caught:
            await websocket.receive()
        await fails(peer, way, tg, bytearray())
        await websocket.aclose()
        with pytest.raises(anyws.ConnectionClosedOK) as again:
            await websocket.send("late")
        assert caught.value.args == again.value.args
        assert caught.value.cause is CloseCause.CLOSED_BY_PEER
        assert caught.value.reason == "bye"
        assert caught.value.__cause__ is None
        tg.cancel_scope.cancel()


HALF_REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\nUpgr"
HALF_RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\nUpgr"


@pytest.mark.parametrize("way", WAYS)
async def test_while_we_open(caplog, way, link):
    """One exception for a client, of the same type on each loop; a server goes on, and logs nothing."""
    silent = WAYS[way] is CloseCause.PING_TIMEOUT
    expected = {"server": anyio.BrokenResourceError, "client": anyws.InvalidHandshake}[link.role]
    options = {"open_timeout": 0.05 if silent else 10}
    with anyio.fail_after(20):
        async with link.stream(**options) as (opening, peer), anyio.create_task_group() as tg:

            async def play():
                far = await link.met(peer)
                await far.send(HALF_REQUEST if far.client else HALF_RESPONSE)
                await fails(far, way, tg, bytearray())

            if link.serves:
                await play()
                if way == "vanishes":
                    await peer.read_all(bytearray())
            else:
                tg.start_soon(play)
                with pytest.raises(TimeoutError if silent else expected):
                    async with opening:
                        pytest.fail("it did not open")
                tg.cancel_scope.cancel()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
