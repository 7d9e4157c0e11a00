"""One message in several frames."""

import anyio
import anyio.lowlevel
import pytest

from anyws.enums import DataType
from anyws.errors import CloseCause, ConnectionClosed, ConnectionClosedError
from anyws.limits import Limits
from anyws.stream.fragment import FragmentContext
from anyws.testing import WebSocketPair

pytestmark = pytest.mark.anyio


async def frame(peer):
    frame = await peer.receive_frame()
    return frame.first, frame.payload


async def test_a_clean_exit_sends_the_empty_final_frame(raw_client):
    async with raw_client() as (websocket, peer):
        async with websocket.writer.fragment() as stream:
            await stream.send("Hello ")
            assert await frame(peer) == (0x01, b"Hello ")
            await stream.send("World!")
            assert await frame(peer) == (0x00, b"World!")
        assert await frame(peer) == (0x80, b"")


async def test_final(raw_client):
    async with raw_client() as (websocket, peer):
        async with websocket.writer.fragment() as stream:
            await stream.send(b"a")
            await stream.send(b"b", final=True)
            with pytest.raises(RuntimeError, match="finished"):
                await stream.send(b"c")
            # The lock is free again, in this block already.
            await websocket.send("other")
        assert [await frame(peer) for _ in range(3)] == [
            (0x02, b"a"),
            (0x80, b"b"),
            (0x81, b"other"),
        ]


async def test_one_final_piece_is_one_frame(raw_client):
    async with raw_client() as (websocket, peer):
        async with websocket.writer.fragment() as stream:
            await stream.send("whole", final=True)
        assert await frame(peer) == (0x81, b"whole")


async def test_empty_pieces(raw_client):
    async with raw_client() as (websocket, peer):
        async with websocket.writer.fragment() as stream:
            await stream.send("")
            await stream.send("")
        assert [await frame(peer) for _ in range(3)] == [(0x01, b""), (0x00, b""), (0x80, b"")]


async def test_no_piece_is_no_message(raw_client):
    async with raw_client() as (websocket, peer):
        async with websocket.writer.fragment():
            pass
        await websocket.send("next")
        assert await frame(peer) == (0x81, b"next")
        assert websocket.statistics().messages_sent == 1


async def test_kinds():
    async with WebSocketPair() as (client, server):
        async with client.writer.fragment() as stream:
            with pytest.raises(TypeError):
                await stream.send(None)
            await stream.send("a")
            with pytest.raises(TypeError, match="text"):
                await stream.send(b"b")
            await stream.send("c")
        assert await server.receive() == "ac"
        async with client.writer.fragment() as stream:
            await stream.send(bytearray(b"a"))
            with pytest.raises(TypeError, match="binary"):
                await stream.send("b")
            await stream.send(memoryview(b"c"))
        assert await server.receive() == b"ac"


async def test_a_first_piece_that_was_not_sent_does_not_fix_the_kind():
    async with WebSocketPair() as (client, server):
        async with client.writer.fragment() as stream:
            with anyio.CancelScope() as scope:
                scope.cancel()
                async with client.writer.fragment() as other:
                    await other.send("x")
                await stream.send("never")
            await stream.send(b"bytes")
        with anyio.move_on_after(1):
            while (message := await server.receive()) == "x":
                pass
        assert message in (b"bytes", "never")


async def test_entered_once():
    async with WebSocketPair() as (client, server):
        stream = client.writer.fragment()
        with pytest.raises(RuntimeError, match="not entered"):
            await stream.send("a")
        async with stream:
            with pytest.raises(RuntimeError, match="once"):
                await stream.__aenter__()
            await stream.send("a")
        assert await server.receive() == "a"
        with pytest.raises(RuntimeError, match="finished"):
            await stream.send("b")


async def test_the_body_raises_before_the_first_piece():
    async with WebSocketPair() as (client, server):
        with pytest.raises(KeyError):
            async with client.writer.fragment():
                raise KeyError
        await client.send("open")
        assert await server.receive() == "open"


async def test_the_body_raises_after_the_first_piece(raw_client):
    async with raw_client() as (websocket, peer):
        error = KeyError("mine")
        with pytest.raises(KeyError) as caught:
            async with websocket.writer.fragment() as stream:
                await stream.send("half")
                raise error
        assert caught.value is error
        assert await frame(peer) == (0x01, b"half")
        assert (await peer.receive_close())[0] == 1011
        assert websocket.writer.closed
        for call in (lambda: websocket.send("next"), websocket.ping):
            with pytest.raises(ConnectionClosedError) as caught:
                await call()
            assert caught.value.cause is CloseCause.MESSAGE_ABANDONED
            assert "mine" in str(caught.value)
            assert caught.value.began_by_us is True


async def test_cancelled_before_the_first_piece():
    async with WebSocketPair() as (client, server):
        with anyio.CancelScope() as scope:
            async with client.writer.fragment():
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        await client.send("open")
        assert await server.receive() == "open"


async def test_cancelled_after_the_first_piece(raw_client):
    async with raw_client() as (websocket, peer):
        with anyio.CancelScope() as scope:
            async with websocket.writer.fragment() as stream:
                await stream.send("half")
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert await frame(peer) == (0x01, b"half")
        assert (await peer.receive_close())[0] == 1011
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.send("next")
        assert caught.value.cause is CloseCause.MESSAGE_ABANDONED


async def test_cancelled_while_the_first_piece_waits(raw_client):
    """It was not admitted, so nothing has happened."""
    async with raw_client(capacity=100) as (websocket, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.send, bytes(70000))
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0.2) as scope:
                async with websocket.writer.fragment() as stream:
                    await stream.send("never")
            assert scope.cancelled_caught
            tg.start_soon(websocket.send, "next")
            assert await frame(peer) == (0x82, bytes(70000))
            assert await frame(peer) == (0x81, b"next")


async def test_cancelled_between_the_lock_and_the_first_piece(raw_client):
    """The first piece waits for a checkpoint of its own, and the lock is given back."""
    async with raw_client(checkpoint_interval=1) as (websocket, peer):
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with websocket.writer.fragment() as stream:
                await stream.send("never")
        assert scope.cancelled_caught
        await websocket.send("next")
        assert await frame(peer) == (0x81, b"next")


async def test_cancelled_while_a_later_piece_waits(raw_client):
    async with raw_client(capacity=100) as (websocket, peer):
        with anyio.move_on_after(0.05) as scope:
            async with websocket.writer.fragment() as stream:
                for _ in range(10):
                    await stream.send(bytes(10000))
        assert scope.cancelled_caught
        frames = [await frame(peer) for _ in range(7)]
        assert frames == [(0x02, bytes(10000))] + [(0x00, bytes(10000))] * 6
        assert (await peer.receive_close())[0] == 1011


async def test_cancelled_send_of_a_piece_does_not_end_the_message(raw_client):
    """The block decides what becomes of the message."""
    async with raw_client(capacity=100) as (websocket, peer), anyio.create_task_group() as tg:
        async with websocket.writer.fragment() as stream:
            await stream.send(bytes(70000))
            with anyio.move_on_after(0.01) as scope:
                await stream.send(b"never")
            assert scope.cancelled_caught
            tg.start_soon(stream.send, b"again")
            assert await frame(peer) == (0x02, bytes(70000))
            assert await frame(peer) == (0x00, b"again")
        assert await frame(peer) == (0x80, b"")


async def test_own_task_would_wait_for_itself(raw_client):
    async with raw_client() as (websocket, peer):
        async with websocket.writer.fragment() as stream:
            await stream.send("a")
            for call in (lambda: websocket.send("x"), lambda: websocket.writer.feed([b"x"])):
                with pytest.raises(RuntimeError, match="fragment"):
                    await call()
            with pytest.raises(RuntimeError, match="fragment"):
                async with websocket.writer.fragment() as other:
                    await other.send("x")
            await stream.send("b", final=True)
        assert [await frame(peer) for _ in range(2)] == [(0x01, b"a"), (0x80, b"b")]


async def test_other_senders_wait_and_control_frames_go_between(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        async with websocket.writer.fragment() as stream:
            await stream.send("a")
            for number in range(3):
                tg.start_soon(websocket.send, str(number))
                await anyio.wait_all_tasks_blocked()
            await websocket.writer.ping(b"ping")
            await websocket.writer.pong(4, b"pong")
            await stream.send("b")
            await peer.send_frame(0x89, b"asked")
            tg.start_soon(websocket.receive)
            await anyio.wait_all_tasks_blocked()
        frames = [await frame(peer) for _ in range(9)]
        assert frames == [
            (0x01, b"a"),
            (0x89, b"ping"),
            (0x8A, b"pong"),
            (0x00, b"b"),
            (0x8A, b"asked"),
            (0x80, b""),
            (0x81, b"0"),
            (0x81, b"1"),
            (0x81, b"2"),
        ]
        tg.cancel_scope.cancel()


async def test_a_close_goes_between_and_ends_the_message(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        with pytest.raises(ConnectionClosed):
            async with websocket.writer.fragment() as stream:
                await stream.send("a")
                tg.start_soon(websocket.close)
                await anyio.wait_all_tasks_blocked()
                await stream.send("b")
        assert await frame(peer) == (0x01, b"a")
        assert (await peer.receive_close())[0] == 1000
        await peer.send_close()
        # No data, not even the final frame, comes after the close frame (RFC 6455, 5.5.1).
        await peer.receive_eof()


async def test_a_clean_exit_after_the_close_sends_nothing(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        with pytest.raises(ConnectionClosed):
            async with websocket.writer.fragment() as stream:
                await stream.send("a")
                tg.start_soon(websocket.close)
                await anyio.wait_all_tasks_blocked()
        assert await frame(peer) == (0x01, b"a")
        assert (await peer.receive_close())[0] == 1000
        await peer.send_close()
        await peer.receive_eof()


async def test_waiting_senders_are_told_when_the_message_is_abandoned(raw_client):
    causes = []

    async def send(websocket):
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.send("x")
        causes.append(caught.value.cause)

    async with raw_client() as (websocket, _), anyio.create_task_group() as tg:
        with pytest.raises(KeyError):
            async with websocket.writer.fragment() as stream:
                await stream.send("a")
                for _ in range(3):
                    tg.start_soon(send, websocket)
                await anyio.wait_all_tasks_blocked()
                raise KeyError
    assert causes == [CloseCause.MESSAGE_ABANDONED] * 3


async def test_two_tasks_in_one_fragment(raw_client):
    async with raw_client(capacity=100) as (websocket, peer), anyio.create_task_group() as tg:
        async with websocket.writer.fragment() as stream:
            await stream.send(bytes(70000))
            tg.start_soon(stream.send, b"b")
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await stream.send(b"c")
            assert await frame(peer) == (0x02, bytes(70000))
            assert await frame(peer) == (0x00, b"b")


@pytest.mark.parametrize("compress", [True, False, None])
async def test_compressed(compress):
    async with WebSocketPair() as (client, server):
        for _ in range(3):
            async with client.writer.fragment(compress=compress) as stream:
                for _ in range(3):
                    await stream.send("abc" * 1000)
            assert await server.receive() == "abc" * 3000
            await client.send("between" * 100)
            assert await server.receive() == "between" * 100


async def test_refused_after_close(raw_client):
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        tg.start_soon(websocket.close)
        assert (await peer.receive_close())[0] == 1000
        with pytest.raises(ConnectionClosed):
            async with websocket.writer.fragment() as stream:
                await stream.send("late")
        await peer.send_close()
        await peer.receive_eof()


async def send_cancelled(websocket, stream, data, *, turns=0, **options):
    """Let ``stream.send`` be cancelled after ``turns`` operations that need not wait."""
    websocket.writer._turns.left = turns
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.send(data, **options)
    assert scope.cancelled_caught


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("turns", [0, 1])
async def test_a_cancelled_first_piece_leaves_no_message(raw_client, turns, final):
    """Neither while it waits for the lock and room, nor for the checkpoint of its own after that."""
    async with raw_client(checkpoint_interval=1) as (websocket, peer):
        async with websocket.writer.fragment() as stream:
            await send_cancelled(websocket, stream, "never", turns=turns, final=final)
        await websocket.send(b"next")
        assert await frame(peer) == (0x82, b"next")
        assert websocket.statistics().messages_sent == 1


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("turns", [0, 1])
async def test_a_cancelled_first_piece_leaves_the_kind_open(raw_client, turns, final):
    async with raw_client(checkpoint_interval=1) as (websocket, peer):
        async with websocket.writer.fragment() as stream:
            await send_cancelled(websocket, stream, "never", turns=turns, final=final)
            await stream.send(b"bytes")
            with pytest.raises(TypeError, match="binary"):
                await stream.send("text")
        assert [await frame(peer) for _ in range(2)] == [(0x02, b"bytes"), (0x80, b"")]
        assert websocket.statistics().messages_sent == 1


@pytest.mark.parametrize("final", [False, True])
async def test_a_cancelled_piece_leaves_half_a_character_as_it_was(raw_client, final):
    async with raw_client(checkpoint_interval=1) as (websocket, peer):
        stream = FragmentContext(
            websocket.writer, force=False, compress=None, data_type=DataType.TEXT
        )
        async with stream:
            await send_cancelled(websocket, stream, b"\xc3", turns=1)
            await stream.send(b"\xe2\x82")
            await send_cancelled(websocket, stream, b"\xac", final=final)
            await stream.send(b"\xac")
        frames = [await frame(peer) for _ in range(3)]
        assert frames == [(0x01, b"\xe2\x82"), (0x00, b"\xac"), (0x80, b"")]


async def test_half_a_message_is_not_counted(raw_client):
    async with raw_client() as (websocket, peer):
        with pytest.raises(KeyError):
            async with websocket.writer.fragment() as stream:
                await stream.send("half")
                raise KeyError
        assert await frame(peer) == (0x01, b"half")
        assert websocket.statistics().messages_sent == 0


async def test_it_belongs_to_the_task_of_its_block(raw_client):
    """A task that sends a piece may end before the block, and its id be used again."""
    async with raw_client() as (websocket, peer), websocket.writer.fragment() as stream:
        async with anyio.create_task_group() as tg:
            tg.start_soon(stream.send, "piece")
        assert websocket.writer._lock.owner == anyio.get_current_task().id
        with pytest.raises(RuntimeError, match="has a fragment"):
            await websocket.send("would wait for itself")


async def test_the_block_is_left_while_a_piece_waits_for_room(raw_client):
    async with raw_client(capacity=10, limits=Limits(send_buffer=1000)) as (websocket, peer):
        async with anyio.create_task_group() as tg:
            with pytest.raises(anyio.BusyResourceError):
                async with websocket.writer.fragment() as stream:
                    await stream.send(bytes(5000))
                    tg.start_soon(_raises, ConnectionClosedError, stream.send, b"late")
                    await anyio.wait_all_tasks_blocked()
            assert (await peer.receive_frame())[:2] == (0x02, bytes(5000))
            assert (await peer.receive_close())[0] == 1011
            await peer.send_close(1011)
        with pytest.raises(anyio.EndOfStream):
            await peer.receive_frame()


async def test_the_block_is_left_while_its_first_piece_waits(raw_client):
    """Nothing of the message is sent, and whoever is next can send."""
    async with raw_client() as (websocket, peer), anyio.create_task_group() as tg:
        async with websocket.writer.fragment() as other:
            await other.send("other")
            with pytest.raises(anyio.BusyResourceError):
                async with websocket.writer.fragment() as stream:
                    tg.start_soon(_raises, RuntimeError, stream.send, "late")
                    await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            await websocket.send("next")
        for first, payload in ((0x01, b"other"), (0x80, b""), (0x81, b"next")):
            assert (await peer.receive_frame())[:2] == (first, payload)


async def _raises(kind, call, *arguments):
    with pytest.raises(kind):
        await call(*arguments)


async def test_senders_that_wait_are_told_when_the_connection_ends_in_the_block(raw_client):
    async with raw_client() as (websocket, _), anyio.create_task_group() as tg:

        async def send():
            with pytest.raises(ConnectionClosed):
                await websocket.send("later")

        with pytest.raises(ConnectionClosed):
            async with websocket.writer.fragment() as stream:
                await stream.send("a")
                tg.start_soon(send)
                await anyio.wait_all_tasks_blocked()
                websocket.drop(CloseCause.CONNECTION_LOST)


LONG = "abcdefghij" * 30_000


async def test_what_was_compressed_of_a_piece_that_is_not_sent_leaves_no_trace():
    """The block is left while a task compresses a long first piece."""
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:

        async def send():
            with pytest.raises(RuntimeError, match="finished"):
                await stream.send(LONG)

        with pytest.raises(anyio.BusyResourceError):
            async with client.writer.fragment(compress=True) as stream:
                tg.start_soon(send)
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        await client.send("after " * 100)
        with anyio.fail_after(5):
            assert await server.receive() == "after " * 100


async def test_a_long_piece_that_is_cancelled_leaves_no_trace_in_the_compressor():
    async with WebSocketPair() as (client, server), anyio.create_task_group() as tg:
        received = []

        async def receive():
            received.append(await server.receive())

        tg.start_soon(receive)
        async with client.writer.fragment(compress=True) as stream:
            await stream.send("first " * 100)
            async with anyio.create_task_group() as sending:
                sending.start_soon(stream.send, LONG)
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                sending.cancel_scope.cancel()
            await stream.send("last " * 100)
        with anyio.fail_after(5):
            while not received:
                await anyio.lowlevel.checkpoint()
    assert received == ["first " * 100 + "last " * 100]
