"""Closing twice, at once, in the middle of everything else, and with a peer that does its own."""

import gc
import weakref
from functools import partial

import anyio
import pytest

import anyws
from anyws import CloseCause, State
from anyws.stream import closing
from anyws.testing import WebSocketPair

pytestmark = pytest.mark.anyio


async def collect(errors, call, *args):
    """Note what a call of a connection ends with."""
    try:
        while True:
            await call(*args)
    except anyws.ConnectionClosed as closed:
        errors.append(closed)


async def test_closed_by_several_tasks_and_again(raw_client):
    """They return after the same handshake, in which one close frame was sent, with the first code."""
    async with raw_client(close_timeout=5) as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.close, 4000, "first")
            await anyio.wait_all_tasks_blocked()
            tg.start_soon(websocket.close, 4001, "second")
            tg.start_soon(websocket.aclose)
            tg.start_soon(websocket.send_eof)
            assert await peer.receive_close() == (4000, "first")
            await peer.send_close(4000)
            await peer.receive_eof()
            await peer.stream.aclose()
        await websocket.close(4002)
        await websocket.aclose()
        await websocket.send_eof()
        assert (websocket.close_code, websocket.close_reason) == (4000, "")


async def test_closed_by_both_at_once():
    """The frames cross; each side takes the other's for the answer, and both end in good order."""
    async with WebSocketPair() as pair:
        async with anyio.create_task_group() as tg:
            for websocket in pair:
                tg.start_soon(websocket.close)
        for websocket in pair:
            with pytest.raises(anyws.ConnectionClosedOK) as caught:
                await websocket.receive()
            assert caught.value.cause is CloseCause.CLOSED_BY_US
            assert caught.value.began_by_us is True


@pytest.mark.parametrize("lockstep", [False, True])
async def test_closed_while_others_send_and_receive(lockstep):
    """Each of them is told once, by one exception that names the cause; nobody is left waiting."""
    pair = WebSocketPair.lockstep() if lockstep else WebSocketPair()
    async with pair as (client, server):
        ours, theirs = [], []
        async with anyio.create_task_group() as tg:
            for errors, websocket in ((ours, client), (theirs, server)):
                tg.start_soon(collect, errors, websocket.receive)
                tg.start_soon(collect, errors, websocket.ping)
                for _ in range(5):
                    tg.start_soon(collect, errors, websocket.send, "x" * 2000)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            await client.close(4000, "enough")
        assert [error.cause for error in ours] == [CloseCause.CLOSED_BY_US] * 7
        assert [error.cause for error in theirs] == [CloseCause.CLOSED_BY_PEER] * 7
        # Who sends is told before the peer has answered.
        assert {error.sent.code for error in ours + theirs} == {4000}
        assert {error.received for error in theirs} == {(4000, "enough")}


async def test_dropped_while_others_send_and_receive():
    """A scope that is cancelled around ``aclose`` drops the connection; nobody is left waiting."""
    async with WebSocketPair() as (client, server):
        ours, theirs = [], []
        async with anyio.create_task_group() as tg:
            tg.start_soon(collect, ours, client.receive)
            tg.start_soon(collect, theirs, server.receive)
            for _ in range(5):
                tg.start_soon(collect, ours, client.send, "x" * 2000)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await client.aclose()
        assert len(ours) == 6
        # Who comes between our close frame and the drop hears of the first.
        assert {error.cause for error in ours} <= {CloseCause.CLOSED_BY_US, CloseCause.ABORTED}
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await client.send("late")
        assert caught.value.cause is CloseCause.ABORTED
        # Our close frame was tried, and may have got through.
        (error,) = theirs
        assert error.cause in (CloseCause.CLOSED_BY_PEER, CloseCause.CONNECTION_LOST)
        assert {error.code for error in ours} == {1006}


async def test_closed_in_the_middle_of_a_message(raw_client):
    """The close frame goes between two fragments; no final frame makes half a message whole."""
    async with raw_client(close_timeout=0.1) as (websocket, peer):
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            async with websocket.writer.fragment() as stream:
                await stream.send("half")
                await websocket.close(4000)
                await stream.send("late")
        assert caught.value.cause is CloseCause.CLOSE_TIMEOUT
        assert (await peer.receive_frame())[:2] == (0x01, b"half")
        assert await peer.receive_close() == (4000, "")
        await peer.receive_eof()


@pytest.mark.parametrize("deflate", [False, True])
async def test_a_server_keeps_tcp_open(raw_server, monkeypatch, deflate):
    """After both close frames a client waits a second for the server's end of TCP, not ``close_timeout``."""
    monkeypatch.setattr(closing, "LINGER", 0.01)
    compression = "deflate" if deflate else None
    async with raw_server(close_timeout=60, compression=compression) as (websocket, peer):
        await peer.send_frame(0x88, b"\x03\xe8")
        with anyio.fail_after(10):
            with pytest.raises(anyws.ConnectionClosedOK):
                await websocket.receive()
            await websocket.aclose()
        assert await peer.receive_close() == (1000, "")
        await peer.receive_eof()


async def test_a_client_keeps_tcp_open(serving, until, monkeypatch):
    """After both close frames a server waits a second for the client's end of TCP, not ``close_timeout``."""
    monkeypatch.setattr(closing, "LINGER", 0.01)
    async with serving(close_timeout=60) as serve, serve.peer() as peer:
        await peer.send_close()
        assert await peer.receive_close() == (1000, "")
        await peer.receive_eof()
        await until(lambda: serve.server._connections == 0)


async def test_a_server_ends_while_it_waits_for_the_end_of_tcp(serving, until, monkeypatch):
    """The client has its time all the same, so that no reset overtakes the close frame."""
    monkeypatch.setattr(closing, "LINGER", 60)
    over = False
    async with anyio.create_task_group() as tg:

        async def serve_for_a_while(*, task_status):
            nonlocal over
            with anyio.CancelScope() as scope:
                async with serving(close_timeout=60) as serve:
                    task_status.started((serve, scope))
                    await anyio.sleep_forever()
            over = True

        serve, scope = await tg.start(serve_for_a_while)
        async with serve.peer() as peer:
            await peer.send_close()
            assert await peer.receive_close() == (1000, "")
            await peer.receive_eof()
            await until(lambda: serve.server._ticker.lingering._pending)
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert not over
        await until(lambda: over)


async def test_a_closed_connection_leaves_no_circles(serving, until):
    """Its memory is free when its handler has ended; the garbage collector need not look for it."""
    references = []

    async def handler(websocket):
        references.append(weakref.ref(websocket))
        async for message in websocket:
            await websocket.send(message)

    gc.disable()
    try:
        async with serving(handler) as serve:
            async with serve.peer() as peer:
                await peer.send_frame(0x81, b"x")
                assert (await peer.receive_frame()).payload == b"x"
                await peer.send_close()
                assert await peer.receive_close() == (1000, "")
            await until(lambda: serve.server._connections == 0)
            await until(lambda: references[0]() is None)
    finally:
        gc.enable()


async def test_a_connection_can_be_asked_when_it_is_closed(serving, until):
    """Whatever is done with one that its server has closed, and that somebody has kept."""
    kept = []

    async def handler(websocket):
        kept.append(websocket)
        await websocket.receive()

    async with serving(handler) as serve:
        async with serve.peer() as peer:
            await peer.send_frame(0x81, b"x")
            await peer.receive_close()
            await peer.send_close()
            await peer.receive_eof()
        await until(lambda: serve.server._connections == 0)
        (websocket,) = kept
        await websocket.close()
        await websocket.aclose()
        await websocket.send_eof()
        websocket.drop(CloseCause.ABORTED)
        websocket.make_room("")
        for call in (websocket.receive, websocket.ping, partial(websocket.send, "late")):
            with pytest.raises(anyws.ConnectionClosedOK):
                await call()
        assert (websocket.close_code, websocket.state, websocket.buffered) == (
            1000,
            State.CLOSED,
            0,
        )
        assert websocket.remote_address[0] == "127.0.0.1"
        assert websocket.statistics().messages_received == 1


@pytest.mark.parametrize("violation", [b"\x83\x00", b"\x81\x01\xff", b"\x80\x00", b"\x88\x01x"])
async def test_a_violation_after_our_close(raw_server, violation):
    """It is not answered, and the outcome says that we had closed; messages before it are kept."""
    async with raw_server(close_timeout=0.1) as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.close)
            assert await peer.receive_close() == (1000, "")
            await peer.send(peer.frame(0x81, b"before") + violation)
            await peer.receive_eof()
            await peer.stream.aclose()
        assert await websocket.receive() == "before"
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.sent == (1000, "")
        assert caught.value.code == 1006
        assert caught.value.began_by_us is True


async def test_the_block_is_left_while_another_task_closes():
    """Whoever is first does it; the block's end waits for it."""
    async with anyio.create_task_group() as tg:
        async with WebSocketPair() as (client, server):
            tg.start_soon(server.close, 4000)
            tg.start_soon(client.close, 4001)
            await anyio.lowlevel.checkpoint()
        assert client.state is State.CLOSED
        assert server.state is State.CLOSED


@pytest.mark.parametrize("stage", ["connected", "half a request", "in process_request"])
async def test_the_server_is_closed_during_a_handshake(caplog, serving, stage):
    """No handler starts, the client is answered 503 or nothing, and ``serve`` ends."""
    asked = anyio.Event()
    served = []

    async def process_request(_request):
        asked.set()
        await anyio.sleep_forever()

    async def handler(websocket):
        served.append(websocket)

    async with serving(handler, process_request=process_request, close_timeout=0.5) as server:
        async with server.stream() as stream:
            if stage == "half a request":
                await stream.send(b"GET / HTTP/1.1\r\nHost: h\r\n")
            elif stage == "in process_request":
                await stream.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                await asked.wait()
            await server.server.aclose(grace=0)
            answer = b""
            try:
                while True:
                    answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
    assert served == []
    assert answer == b"" or answer.startswith(b"HTTP/1.1 503 ")
    assert stage != "in process_request" or answer
    assert not caplog.records or max(record.levelno for record in caplog.records) < 30


async def test_a_shutdown_is_cancelled(serving, read_all):
    """What was graceful becomes immediate: clients are dropped, and no task is left."""
    waiting = anyio.Event()

    async def handler(websocket):
        waiting.set()
        await anyio.sleep_forever()

    async with serving(handler) as server, server.peer() as peer:
        await waiting.wait()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tg:
                tg.start_soon(server.server.aclose, 60)
                assert await peer.receive_close() == (1001, "")
                scope.cancel()
        assert await read_all(peer.stream) == b""
