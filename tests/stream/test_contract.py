"""The points of the contract in docs/design.md, each with its test, against a peer that speaks bytes."""

import contextlib
import random
import zlib

import anyio
import anyio.lowlevel
import pytest

import anyws
from anyws.testing import FaultyStream, RawPeer, WebSocketPair, lockstep_pair, memory_pair

pytestmark = pytest.mark.anyio

MASK = b"\x01\x02\x03\x04"


@contextlib.asynccontextmanager
async def server_and_raw_client(*, capacity=65536, streams=None, request=(), **options):
    """Give a server's connection and a raw client, connected in memory."""
    near, far = streams or memory_pair(capacity)
    raw = RawPeer(far)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg:
            answered = anyio.Event()

            async def ask():
                await raw.request(*request)
                answered.set()

            tg.start_soon(ask)
            async with anyws.accept(near, **options) as websocket:
                await answered.wait()
                yield websocket, raw
                await far.aclose()


# 1. A send is all or nothing.


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("capacity", [0, 1000])
async def test_cancelled_sends_leave_whole_frames(capacity, compression):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    request = ("Sec-WebSocket-Extensions: permessage-deflate",) if compression else ()
    limits = anyws.Limits(send_buffer=3000)
    async with server_and_raw_client(
        capacity=capacity, compression=compression, limits=limits, request=request
    ) as (websocket, raw):
        received = []
        inflater = zlib.decompressobj(-15)

        async def judge():
            while True:
                frame = await raw.receive_frame()
                if frame.opcode == 8:
                    return
                payload = frame.payload
                if frame.first & 0x40:
                    payload = inflater.decompress(payload + b"\0\0\xff\xff")
                assert frame.final
                received.append(payload)

        sure, cancelled = [], []
        async with anyio.create_task_group() as tg:
            for number in range(100):
                message = f"{number} ".encode() + rng.randbytes(rng.randrange(2500))
                if number == 20:
                    tg.start_soon(judge)
                with anyio.CancelScope() as scope:
                    # Until somebody reads, every send must be cancelled lest it wait for ever.
                    if number < 20 or number % 3:
                        tg.start_soon(cancel_after, scope, rng.randrange(4) + 20 * (number < 20))
                    await websocket.send(message)
                (cancelled if scope.cancelled_caught else sure).append(message)
            await websocket.send(b"the end")
            await websocket.send_eof()
        assert len(cancelled) >= 10
        assert received[-1] == b"the end"
        received.pop()
        assert set(received) >= set(sure)
        assert set(received) <= set(sure) | set(cancelled)
        numbers = [int(message.split()[0]) for message in received]
        assert numbers == sorted(numbers)


async def cancel_after(scope, rounds):
    for _ in range(rounds):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


# 2. One message at a time, control frames in between.


async def test_a_hundred_senders_with_pings_and_an_open_fragment():
    async with WebSocketPair(compression=None) as (client, server):
        received = {}
        fragments = []

        async def send(name):
            for number in range(20):
                await client.send(f"{name}:{number}:{'x' * (number * 50)}")

        async def ping():
            for _ in range(20):
                await client.ping()

        async def fragment():
            async with client.writer.fragment() as stream:
                for number in range(50):
                    await stream.send(f"<{number}>")
                    await anyio.lowlevel.checkpoint()

        async def receive():
            for _ in range(100 * 20 + 1):
                message = await server.receive()
                if message.startswith("<"):
                    fragments.append(message)
                    continue
                name, number, filling = message.split(":")
                assert len(filling) == int(number) * 50
                received.setdefault(name, []).append(int(number))

        async with anyio.create_task_group() as tg:
            tg.start_soon(receive_until_closed, client)
            async with anyio.create_task_group() as work:
                work.start_soon(receive)
                work.start_soon(fragment)
                work.start_soon(ping)
                for name in range(100):
                    work.start_soon(send, name)
            tg.cancel_scope.cancel()
        assert len(received) == 100
        assert all(numbers == list(range(20)) for numbers in received.values())
        assert fragments == ["".join(f"<{number}>" for number in range(50))]


async def receive_until_closed(websocket):
    async for _ in websocket:
        pass


async def test_control_frames_go_between_fragments():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        async with websocket.writer.fragment() as stream:
            await stream.send("a")
            await websocket.writer.ping(b"p")
            await websocket.writer.pong(1, b"q")
            await stream.send("b")
        frames = [await raw.receive_frame() for _ in range(5)]
    assert [(frame.first, frame.payload) for frame in frames] == [
        (0x01, b"a"),
        (0x89, b"p"),
        (0x8A, b"q"),
        (0x00, b"b"),
        (0x80, b""),
    ]


# 3. Half a message never looks whole.


async def test_a_body_that_raises_fails_the_connection():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        with pytest.raises(KeyError):
            async with websocket.writer.fragment() as stream:
                await stream.send("half")
                raise KeyError("oops")
        assert (await raw.receive_frame())[:2] == (0x01, b"half")
        assert (await raw.receive_close())[0] == 1011
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.send("more")
        assert caught.value.cause is anyws.CloseCause.MESSAGE_ABANDONED


async def test_a_body_that_raises_before_the_first_piece_does_nothing():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        with pytest.raises(KeyError):
            async with websocket.writer.fragment():
                raise KeyError("oops")
        await websocket.send("fine")
        assert (await raw.receive_frame())[:2] == (0x81, b"fine")


async def test_a_cancelled_feed_fails_the_connection():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        buffer = anyws.Buffer()
        async with anyio.create_task_group() as tg:
            tg.start_soon(websocket.writer.feed, buffer)
            await buffer.write(b"half")
            assert (await raw.receive_frame())[:2] == (0x02, b"half")
            tg.cancel_scope.cancel()
        assert (await raw.receive_close())[0] == 1011


# 4. Checkpoints.


async def test_a_sender_without_back_pressure_lets_others_run():
    async with WebSocketPair(compression=None) as (client, server):
        turns = 0

        async def other():
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        async with anyio.create_task_group() as tg:
            tg.start_soon(other)
            tg.start_soon(receive_until_closed, server)
            for _ in range(1000):
                await client.send(b"x")
            tg.cancel_scope.cancel()
        assert turns >= 4


async def test_a_flood_of_empty_fragments_lets_others_run():
    """Frames that make no message are no reason to keep the loop."""
    async with server_and_raw_client(compression=None) as (websocket, raw):
        empty = raw.frame(0x00, mask=MASK) * 10000
        with anyio.move_on_after(20) as scope:
            async with anyio.create_task_group() as tg:
                tg.start_soon(receive_until_closed, websocket)
                await raw.send_frame(0x01, mask=MASK)
                for _ in range(10):
                    await raw.send(empty)
                tg.cancel_scope.cancel()
        assert not scope.cancelled_caught


# 5. Keepalive.


async def test_pings_are_answered_and_a_close_is_seen_when_nobody_receives():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        with anyio.fail_after(3):
            await raw.send_frame(0x89, b"anyone?", mask=MASK)
            assert (await raw.receive_frame())[:2] == (0x8A, b"anyone?")
            await raw.send_frame(0x88, b"\x03\xe8", mask=MASK)
            assert (await raw.receive_close())[0] == 1000
        with pytest.raises(anyws.ConnectionClosedOK):
            await websocket.send("late")


async def test_a_dead_peer_is_found():
    async with server_and_raw_client(
        compression=None, ping_interval=0.1, ping_timeout=0.1, close_timeout=0.1
    ) as (websocket, raw):
        with anyio.fail_after(5):
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await websocket.receive()
        assert caught.value.cause is anyws.CloseCause.PING_TIMEOUT
        assert (await raw.receive_frame()).opcode == 9


async def test_a_peer_that_sends_is_alive_although_it_answers_no_ping():
    async with server_and_raw_client(compression=None, ping_interval=0.05, ping_timeout=0.05) as (
        websocket,
        raw,
    ):
        for _ in range(20):
            await raw.send_frame(0x81, b"x", mask=MASK)
            assert await websocket.receive() == "x"
            await anyio.sleep(0.02)


async def test_the_clock_stands_still_while_nobody_takes_what_has_come():
    limits = anyws.Limits(receive_buffer=100)
    async with server_and_raw_client(
        compression=None, ping_interval=0.05, ping_timeout=0.05, limits=limits
    ) as (websocket, raw):
        await raw.send(raw.frame(0x82, bytes(90), mask=MASK) * 20)
        # Ten intervals in which the answer to a ping would lie behind data that nobody takes.
        await anyio.sleep(1)
        assert websocket.state is anyws.State.OPEN
        for _ in range(20):
            assert await websocket.receive() == bytes(90)


# Order under violation.


async def test_what_came_before_a_violation_is_delivered_and_answered_first():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        await raw.send(
            raw.frame(0x81, b"one", mask=MASK)
            + raw.frame(0x81, b"two", mask=MASK)
            + raw.frame(0xB1, b"bad", mask=MASK)
        )
        for expected in ("one", "two"):
            assert await websocket.receive() == expected
            await websocket.send(expected)
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.cause is anyws.CloseCause.PROTOCOL_ERROR
        assert isinstance(caught.value.__cause__, anyws.ProtocolError)
        frames = [await raw.receive_frame() for _ in range(3)]
        assert [frame.first for frame in frames] == [0x81, 0x81, 0x88]
        assert frames[2].payload[:2] == (1002).to_bytes(2, "big")


# 7. Closing always ends.


async def test_a_peer_that_does_not_answer_the_close():
    async with server_and_raw_client(compression=None, close_timeout=0.1) as (websocket, raw):
        with anyio.fail_after(5):
            await websocket.close(1001, "bye")
        assert await raw.receive_close() == (1001, "bye")
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await websocket.receive()
        assert caught.value.code == 1006


async def test_aclose_in_a_cancelled_scope_drops_the_connection():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await websocket.aclose()
        assert websocket.state is anyws.State.CLOSED
        with pytest.raises(anyws.ConnectionClosedError):
            await websocket.send("x")


async def test_a_peer_that_floods_after_our_close():
    async with server_and_raw_client(compression=None, close_timeout=0.5) as (websocket, raw):
        async with anyio.create_task_group() as tg:

            async def flood():
                with contextlib.suppress(anyio.BrokenResourceError):
                    while True:
                        await raw.send(raw.frame(0x82, bytes(1000), mask=MASK) * 100)

            tg.start_soon(flood)
            with anyio.fail_after(10):
                await websocket.close()


async def test_end_of_stream_without_a_close_frame():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        await raw.send_frame(0x81, b"last", mask=MASK)
        await raw.stream.send_eof()
        assert await websocket.receive() == "last"
        for _ in range(2):
            with pytest.raises(anyws.ConnectionClosedError) as caught:
                await websocket.receive()
            assert (caught.value.code, caught.value.cause) == (
                1006,
                anyws.CloseCause.CONNECTION_LOST,
            )


# 8. Exceptions.


async def test_the_users_exception_comes_out_as_it_went_in():
    near, far = memory_pair()
    context = ValueError("before")
    error = KeyError("inside")
    with pytest.raises(KeyError) as caught:
        async with WebSocketPair((near, far)):
            try:
                raise context
            except ValueError:
                raise error  # noqa: B904 - the implicit context is what is tested
    assert caught.value is error
    assert error.__context__ is context


# readers() and feed().


async def test_a_message_is_read_while_it_arrives():
    async with server_and_raw_client(compression=None) as (websocket, raw):
        await raw.send_frame(0x01, b"Hello ", mask=MASK)
        readers = websocket.readers()
        reader = await anext(readers)
        assert reader.data_type is anyws.DataType.TEXT
        assert await reader.read(100) == b"Hello "
        await raw.send_frame(0x80, b"World!", mask=MASK)
        assert await reader.get() == "World!"
        assert reader.at_eof()
        await raw.send_frame(0x02, b"abandoned", mask=MASK)
        reader = await anext(readers)
        await raw.send(raw.frame(0x80, b"rest", mask=MASK) + raw.frame(0x81, b"next", mask=MASK))
        assert await websocket.receive() == "next"


async def test_relay_by_feeding_a_reader():
    limits = anyws.Limits(receive_buffer=2000)
    async with (
        WebSocketPair(limits=limits) as (source, relay_in),
        WebSocketPair(lockstep_pair(), limits=limits) as (relay_out, target),
    ):

        async def relay():
            async for reader in relay_in.readers():
                await relay_out.writer.feed(reader)

        async with anyio.create_task_group() as tg:
            tg.start_soon(relay)
            tg.start_soon(source.send, "é" * 20000)
            assert await target.receive() == "é" * 20000
            tg.start_soon(source.send, bytes(30000))
            assert await target.receive() == bytes(30000)
            tg.cancel_scope.cancel()


async def test_answers_to_a_batch_leave_together():
    near, far = memory_pair()
    counting = FaultyStream(near)
    sends = 0
    send = counting.send

    async def count(item):
        nonlocal sends
        sends += 1
        await send(item)

    counting.send = count
    async with server_and_raw_client(streams=(counting, far), compression=None) as (websocket, raw):
        before = sends
        await raw.send(raw.frame(0x81, b"x", mask=MASK) * 50)
        for _ in range(50):
            await websocket.send(await websocket.receive())
        for _ in range(50):
            assert (await raw.receive_frame())[:2] == (0x81, b"x")
        assert sends - before <= 2
