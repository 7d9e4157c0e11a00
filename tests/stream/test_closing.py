"""All the ways in which a connection ends."""

import anyio
import anyio.lowlevel
import pytest

from anyws.enums import State
from anyws.errors import CloseCause, ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from anyws.limits import Limits
from anyws.stream import closing
from anyws.testing import FaultyStream, WebSocketPair

pytestmark = pytest.mark.anyio


async def closed_error(websocket):
    with pytest.raises(ConnectionClosed) as caught:
        await websocket.receive()
    return caught.value


async def test_we_close(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.close, 1001, "bye")
        assert await peer.receive_close() == (1001, "bye")
        await anyio.wait_all_tasks_blocked()
        assert websocket.state is State.CLOSING
        assert websocket.close_code is None
        await peer.send_close(1001)
        # The server ends TCP first (RFC 6455, 7.1.1).
        await peer.receive_eof()
        await peer.stream.aclose()
        await anyio.wait_all_tasks_blocked()
        assert websocket.state is State.CLOSED
        error = await closed_error(websocket)
        assert isinstance(error, ConnectionClosedOK)
        assert (error.code, error.sent.reason, error.began_by_us) == (1001, "bye", True)
        assert error.cause is CloseCause.CLOSED_BY_US


async def test_the_peer_closes(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x88, b"\x03\xe8done")
        error = await closed_error(websocket)
        assert isinstance(error, ConnectionClosedOK)
        assert (error.code, error.reason, error.began_by_us) == (1000, "done", False)
        assert error.cause is CloseCause.CLOSED_BY_PEER
        assert (await peer.receive_close())[0] == 1000
        assert (websocket.close_code, websocket.close_reason) == (1000, "done")


async def test_a_client_need_not_wait_for_our_handler(raw_client):
    """The server ends TCP when both close frames are out, whatever its handler does then."""
    async with raw_client() as (websocket, peer):
        await peer.send_close()
        assert [message async for message in websocket] == []
        assert (await peer.receive_close())[0] == 1000
        await peer.receive_eof()
        # Nobody has closed it yet.
        assert websocket._closing.unfinished
        with pytest.raises(ConnectionClosedOK):
            await websocket.writer.send("late", force=True)


@pytest.mark.parametrize(
    ("payload", "code"), [(b"", 1005), (b"\x03\xf3", 1011), (b"\x0f\xa0", 4000)]
)
async def test_the_peers_code_is_echoed(payload, code, raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x88, payload)
        error = await closed_error(websocket)
        assert error.code == code
        assert isinstance(error, ConnectionClosedOK) == (code == 1005)
        assert await peer.receive_close() == (code, "")


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x03\xe7", b"\x03\xe8\xff"])
async def test_bad_close_frames(payload, raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x88, payload)
        error = await closed_error(websocket)
        assert error.cause is CloseCause.PROTOCOL_ERROR
        assert (await peer.receive_close())[0] in (1002, 1007)


async def test_both_close_at_once():
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        tg.start_soon(client.close, 1000, "client")
        tg.start_soon(server.close, 1001, "server")
    assert (client.close_code, server.close_code) == (1001, 1000)


async def test_two_closers(raw_client):
    done = []

    async def close(websocket, code):
        await websocket.close(code)
        done.append(code)

    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        for code in (1000, 1001, 1011):
            tg.start_soon(close, websocket, code)
            await anyio.wait_all_tasks_blocked()
        assert (await peer.receive_close())[0] == 1000
        assert done == []
        await peer.send_close()
        await peer.receive_eof()
        await peer.stream.aclose()
    assert sorted(done) == [1000, 1001, 1011]
    await websocket.close()
    await websocket.aclose()


async def test_the_peer_does_not_answer(raw_client):
    async with raw_client(close_timeout=0.05) as (websocket, peer):
        with anyio.fail_after(5):
            await websocket.close()
        error = await closed_error(websocket)
        assert isinstance(error, ConnectionClosedError)
        assert error.code == 1006
        assert error.sent.code == 1000
        assert error.cause is CloseCause.CLOSE_TIMEOUT
        assert (await peer.receive_close())[0] == 1000
        with pytest.raises(anyio.BrokenResourceError):
            await peer.send_close()


@pytest.mark.parametrize("timeout", [0, 0.05])
async def test_the_peer_reads_nothing(timeout, raw_client):
    async with raw_client(close_timeout=timeout, capacity=10) as (websocket, _):
        async with anyio.create_task_group() as tg:

            async def send():
                with pytest.raises(ConnectionClosed):
                    await websocket.send(bytes(100000))

            tg.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(5):
                await websocket.close()
        assert websocket.state is State.CLOSED


@pytest.mark.parametrize("method", ["close", "aclose"])
async def test_a_cancelled_scope_drops_at_once(method, raw_client):
    async with raw_client() as (websocket, peer):
        with anyio.fail_after(5), anyio.CancelScope() as scope:
            scope.cancel()
            await getattr(websocket, method)()
        assert scope.cancelled_caught
        assert websocket.state is State.CLOSED
        error = await closed_error(websocket)
        assert error.code == 1006
        with pytest.raises(anyio.BrokenResourceError):
            await peer.send(b"x")


async def test_cancelled_while_it_closes(raw_client):
    async with raw_client() as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.close)
            assert (await peer.receive_close())[0] == 1000
            tg.cancel_scope.cancel()
        assert websocket.state is State.CLOSED


async def test_a_second_closer_is_cancelled(raw_client):
    """The contract of ``close``: if cancelled, the connection is dropped at once."""
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.close)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01) as scope:
            await websocket.close()
        assert scope.cancelled_caught
        await anyio.wait_all_tasks_blocked()
        assert websocket.state is State.CLOSED
        assert (await peer.receive_close())[0] == 1000


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
async def test_codes_that_may_not_be_sent(code, raw_client):
    async with raw_client() as (websocket, peer):
        with pytest.raises(ValueError, match=str(code)):
            await websocket.close(code)
        with pytest.raises(ValueError, match="123"):
            await websocket.close(1000, "é" * 62)
        await websocket.send("open")
        assert (await peer.receive_frame()).payload == b"open"


async def test_what_was_sent_before_is_delivered_first(raw_client):
    async with raw_client(capacity=100) as (websocket, peer), anyio.create_task_group() as tg:
        await websocket.send(bytes(50000))
        await websocket.send("last")
        tg.start_soon(websocket.close)
        assert (await peer.receive_frame()).payload == bytes(50000)
        assert (await peer.receive_frame()).payload == b"last"
        assert (await peer.receive_close())[0] == 1000
        await peer.send_close()
        await peer.receive_eof()
        await peer.stream.aclose()


async def test_messages_stay_while_they_fit(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        batch = [peer.frame(0x81, text, mask=b"mask") for text in (b"1", b"2", b"3")]
        await peer.send(b"".join(batch))
        assert await websocket.receive() == "1"
        tg.start_soon(websocket.close)
        assert (await peer.receive_close())[0] == 1000
        await peer.send_frame(0x81, b"late")
        await peer.send_close()
        await peer.receive_eof()
        await peer.stream.aclose()
        await anyio.wait_all_tasks_blocked()
        assert [message async for message in websocket] == ["2", "3", "late"]


async def test_the_peer_floods_after_our_close(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.close)
        assert (await peer.receive_close())[0] == 1000
        for _ in range(200):
            await peer.send_frame(0x82, bytes(10000), mask=b"\0\0\0\0")
        await peer.send_frame(0x02, bytes(300000), mask=b"\0\0\0\0")
        await peer.send_frame(0x80, bytes(300000), mask=b"\0\0\0\0")
        await peer.send_close()
        await peer.receive_eof()
        await peer.stream.aclose()
    assert websocket.close_code == 1000
    # What does not fit is dropped, not kept.
    assert sum([len(message) async for message in websocket]) <= 2 * 65536


async def test_a_flood_without_an_end(raw_client):
    """The peer neither answers nor stops; closing ends all the same."""
    async with raw_client(close_timeout=0.1) as (websocket, peer):

        async def flood():
            with pytest.raises(anyio.BrokenResourceError):
                while True:
                    await peer.send_frame(0x82, bytes(1000), mask=b"\0\0\0\0")

        async with anyio.create_task_group() as tg:
            tg.start_soon(flood)
            with anyio.fail_after(3):
                await websocket.close()


async def test_receiving_goes_on_while_another_task_closes(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        got = []

        async def receive():
            async for message in websocket:
                got.append(message)

        tg.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        tg.start_soon(websocket.close)
        assert (await peer.receive_close())[0] == 1000
        await peer.send_frame(0x81, b"late")
        await peer.send_close()
        await peer.receive_eof()
        await peer.stream.aclose()
    assert got == ["late"]


async def test_messages_before_a_violation_are_delivered_and_answered(raw_client):
    async with raw_client() as (websocket, peer):
        frames = [peer.frame(0x81, text, mask=b"mask") for text in (b"1", b"2")]
        await peer.send(b"".join(frames) + peer.frame(0x83, b"bad", mask=b"mask"))
        for expected in ("1", "2"):
            assert await websocket.receive() == expected
            await websocket.send(f"re {expected}")
        error = await closed_error(websocket)
        assert error.cause is CloseCause.PROTOCOL_ERROR
        assert error.sent.code == 1002
        assert error.began_by_us is True
        assert error.__cause__ is not None
        assert [(await peer.receive_frame()).payload for _ in range(2)] == [b"re 1", b"re 2"]
        assert (await peer.receive_close())[0] == 1002


async def test_messages_before_a_close_are_answered(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send(peer.frame(0x81, b"1", mask=b"mask") + peer.frame(0x88, mask=b"mask"))
        async for message in websocket:
            await websocket.send(f"re {message}")
        assert (await peer.receive_frame()).payload == b"re 1"
        assert await peer.receive_close() == (1005, "")


async def test_violation_after_our_close(raw_client):
    async with raw_client(close_timeout=0.2) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.close)
        assert (await peer.receive_close())[0] == 1000
        await peer.send_frame(0x83, b"bad")
        # No second close frame; the stream ends.
        await peer.receive_eof()
        await peer.stream.aclose()
    assert websocket.close_code == 1006


async def test_over_the_limit(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x81, b"fine")
        await peer.send(b"\x82\xff" + (2**40).to_bytes(8, "big") + b"mask")
        assert await websocket.receive() == "fine"
        error = await closed_error(websocket)
        assert error.cause is CloseCause.OVER_LIMIT
        assert (await peer.receive_close())[0] == 1009


@pytest.mark.parametrize("half", [b"", b"\x81", b"\x81\x85mask12"])
async def test_end_of_stream_without_a_close_frame(half, raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_frame(0x81, b"last")
        await peer.send(half)
        await peer.stream.send_eof()
        assert await websocket.receive() == "last"
        error = await closed_error(websocket)
        assert isinstance(error, ConnectionClosedError)
        assert (error.code, error.received, error.began_by_us) == (1006, None, None)
        assert error.cause is CloseCause.CONNECTION_LOST
        assert websocket.close_code == 1006


async def test_a_send_meets_the_reset(raw_client):
    async with raw_client() as (websocket, peer):
        peer.stream.reset()
        with pytest.raises(ConnectionClosedError) as caught:
            for _ in range(1000):
                await websocket.send("x")
                await anyio.lowlevel.checkpoint()
        assert caught.value.code == 1006
        assert websocket.state is State.CLOSED


async def test_waiting_senders_meet_the_reset(raw_client):
    failed = []

    async def send(websocket):
        with pytest.raises(ConnectionClosedError):
            await websocket.send(bytes(70000))
        failed.append(True)

    async with raw_client(capacity=10) as (websocket, peer), anyio.create_task_group() as tg:
        for _ in range(5):
            tg.start_soon(send, websocket)
        await anyio.wait_all_tasks_blocked()
        peer.stream.reset()
    assert len(failed) == 5


async def test_every_later_call_says_the_same(raw_client):
    async with raw_client() as (websocket, peer):
        await peer.send_close(4001)
        first = await closed_error(websocket)
        for call in (websocket.receive, lambda: websocket.send("x"), websocket.ping):
            with pytest.raises(ConnectionClosedError) as caught:
                await call()
            assert caught.value.args == first.args


async def test_a_stream_that_cannot_half_close(raw_client):
    class NoHalfClose(FaultyStream):
        async def send_eof(self):
            raise NotImplementedError

    async with raw_client(wrap=NoHalfClose) as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.close)
        assert (await peer.receive_close())[0] == 1000
        await peer.send_close()
        await peer.receive_eof()
    assert websocket.close_code == 1000


async def test_who_receives_while_we_close_sees_no_gap(raw_client):
    """What does not fit is dropped, and everything after it; what is held stays within bounds."""
    limits = Limits(receive_buffer=1000)
    async with raw_client(limits=limits, capacity=10**7) as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.close)
            assert (await peer.receive_close())[0] == 1000
            got = []
            for number in range(24):
                await peer.send_frame(0x82, b"%04d" % number + bytes(96))
                await anyio.wait_all_tasks_blocked()
                if number % 2 and websocket._inbound.messages:
                    got.append(int((await websocket.receive())[:4]))
                assert websocket.buffered < 2000
            await peer.send_close(1000)
        with pytest.raises(ConnectionClosedOK):
            while True:
                got.append(int((await websocket.receive())[:4]))
    assert len(got) >= 5
    assert got == list(range(len(got)))


async def test_a_reader_is_given_up_when_too_much_comes_while_we_close(raw_client):
    limits = Limits(receive_buffer=1000)
    async with raw_client(limits=limits, capacity=10**7) as (websocket, peer):
        await peer.send_frame(0x02, bytes(2000))
        async for reader in websocket.readers():
            async with anyio.create_task_group() as tg:
                tg.start_soon(websocket.close)
                await peer.receive_close()
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(ConnectionClosedError):
                    while True:
                        await peer.send_frame(0x00, bytes(1000))
                        await reader.read(100_000)
                for _ in range(50):
                    await peer.send_frame(0x00, bytes(1000))
                await anyio.wait_all_tasks_blocked()
                assert websocket.buffered < 5000
                await peer.send_close(1000)
            break


async def test_no_room_is_made_on_a_connection_that_is_lost():
    """Its handler has not noticed yet; the budget asks all alike."""
    async with WebSocketPair() as (client, server):
        await client.send("x")
        assert await server.receive() == "x"
        server.drop(CloseCause.CONNECTION_LOST)
        server.make_room("too much")
        assert server.close_code == 1006


async def test_a_close_frame_that_has_come_is_answered_by_closing(raw_client):
    """With the peer's code, not ours, though nobody has received it."""
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        await peer.send_close(1001)
        await websocket._receiver.more_in_background()
        tg.start_soon(websocket.close, 1000)
        assert (await peer.receive_frame()).payload == b"\x03\xe9"
        await peer.stream.aclose()
    assert websocket.close_code == 1001


async def test_a_peer_that_answers_and_does_not_end_the_stream(raw_client, monkeypatch):
    """It is waited for a while, and no longer than that: not until the time limit of closing."""
    monkeypatch.setattr(closing, "LINGER", 0.05)
    async with raw_client(close_timeout=60) as (websocket, peer), anyio.create_task_group() as tg:

        async def answer():
            await peer.receive_frame()
            await peer.send_close(1000)

        tg.start_soon(answer)
        await websocket.close()
        assert websocket.close_code == 1000


async def test_a_slow_reader_gets_all_that_was_sent_before_closing(raw_client, monkeypatch):
    """It has not forgotten to end the stream, it is not there yet."""
    monkeypatch.setattr(closing, "LINGER", 0)
    async with (
        raw_client(close_timeout=60, capacity=100) as (websocket, peer),
        anyio.create_task_group() as tg,
    ):
        tg.start_soon(websocket.send, bytes(5000))
        await anyio.wait_all_tasks_blocked()
        tg.start_soon(websocket.close, 1000)
        await anyio.wait_all_tasks_blocked()
        await peer.send_close(1000)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert (await peer.receive_frame()).payload == bytes(5000)
        assert (await peer.receive_frame()).opcode == 8
        await peer.stream.aclose()
