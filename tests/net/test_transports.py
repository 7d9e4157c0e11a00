"""What every transport promises, over real sockets and over a stream in memory."""

import contextlib
from functools import partial

import anyio
import pytest

pytestmark = pytest.mark.anyio

#: More than the kernel keeps for a connection that nobody reads.
LARGE = bytes(range(256)) * 65536
#: A UNIX socket is reset when it is closed with this in it.
UNREAD = b"unread"


async def until(condition, transport):
    while not condition():
        await transport.receive_more()


async def test_receive_more_fills_the_receiver(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        assert transport.attach(sink) == b""
        await peer.send(b"one")
        await until(lambda: sink.data, transport)
        await peer.send(b" two")
        await until(lambda: len(sink.data) == 7, transport)
        assert sink.data == b"one two"
        assert not sink.eof
        assert not sink.lost


async def test_who_waits_is_told_only_of_what_is_new(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        sink.new = False
        told = []

        async def wait():
            await transport.receive_more()
            told.append(bytes(sink.data))

        async with anyio.create_task_group() as tg:
            tg.start_soon(wait)
            for piece in (b"one", b" two"):
                await anyio.wait_all_tasks_blocked()
                await peer.send(piece)
                while not sink.data.endswith(piece):
                    await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert not told
            sink.new = True
            await peer.send(b" three")
        assert told == [b"one two three"]


async def test_a_receiver_with_a_small_buffer_gets_everything(connected, sink_class):
    sink = sink_class(7)
    async with connected() as (transport, peer):
        transport.attach(sink)
        await peer.send(bytes(range(100)))
        await until(lambda: len(sink.data) == 100, transport)
        assert sink.data == bytes(range(100))


async def test_attach_hands_over_what_came_before(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        await peer.send(b"head|early")
        data = b""
        while len(data) < 5:
            data += await transport.receive(5 - len(data))
        assert data == b"head|"
        with anyio.CancelScope() as scope:
            scope.cancel()
            await transport.receive_more()
        early = transport.attach(sink)
        await until(lambda: len(early) + len(sink.data) == 5, transport)
        assert early + sink.data == b"early"


async def test_attach_tells_of_an_earlier_end(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        await peer.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await transport.receive()
        transport.attach(sink)
        assert sink.eof == 1


async def test_attach_tells_of_an_earlier_loss(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.write(UNREAD)
        peer.reset()
        with pytest.raises(anyio.BrokenResourceError):
            await transport.receive()
        transport.attach(sink)
        assert len(sink.lost) == 1


async def test_receive_is_for_the_time_before_attach(connected, sink_class):
    async with connected() as (transport, _):
        transport.attach(sink_class())
        assert transport.attach(sink_class()) == b""
        with pytest.raises(anyio.BusyResourceError):
            await transport.receive()


async def test_a_second_reader_is_refused(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        async with anyio.create_task_group() as tg:
            tg.start_soon(until, lambda: sink.data, transport)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await transport.receive_more()
            await peer.send(b"x")
        assert sink.data == b"x"


async def test_a_cancelled_receive_more_loses_nothing(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        async with anyio.create_task_group() as tg:
            tg.start_soon(until, lambda: sink.data, transport)
            await anyio.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        await peer.send(b"x")
        await until(lambda: sink.data, transport)


async def test_small_writes_leave_in_order(connected):
    async with connected() as (transport, peer):
        transport.write(b"a")
        transport.writelines([b"b", b"c"])
        await transport.send(b"d")
        assert await peer.receive_exactly(4) == b"abcd"
        assert not transport.clogged
        assert transport.unsent == 0


async def test_a_large_write_clogs_and_is_finished_without_us(connected):
    async with connected() as (transport, peer):
        transport.set_high_water(4096)
        transport.write(LARGE)
        transport.write(b"end")
        assert transport.clogged
        assert transport.unsent > 4096
        assert await peer.receive_exactly(len(LARGE) + 3) == LARGE + b"end"
        await transport.drain()
        assert not transport.clogged


async def test_drain_waits_for_the_low_water_mark(connected):
    async with connected() as (transport, peer):
        transport.set_high_water(4096)
        transport.write(LARGE)
        drained = []

        async def drain():
            await transport.drain()
            drained.append(transport.unsent)

        async with anyio.create_task_group() as tg:
            tg.start_soon(drain)
            tg.start_soon(drain)
            await anyio.wait_all_tasks_blocked()
            assert not drained
            await peer.receive_exactly(len(LARGE))
        assert len(drained) == 2
        assert max(drained) <= 1024


async def test_cancelling_a_send_cuts_nothing_off(connected):
    async with connected() as (transport, peer):
        async with anyio.create_task_group() as tg:
            tg.start_soon(transport.send, LARGE)
            await anyio.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        transport.write(b"end")
        assert await peer.receive_exactly(len(LARGE) + 3) == LARGE + b"end"


async def test_end_of_stream_comes_after_the_backlog(connected):
    async with connected() as (transport, peer):
        transport.write(LARGE)
        transport.write_eof()
        assert await peer.receive_all() == LARGE
        await peer.send(b"still here")
        assert await transport.receive() == b"still here"


@pytest.mark.parametrize("before", [b"", LARGE], ids=len)
async def test_end_of_stream_comes_after_what_is_last(connected, before):
    async with connected() as (transport, peer):
        if before:
            transport.write(before)
        transport.write_eof(b"last")
        assert await peer.receive_all() == before + b"last"
        await peer.send(b"still here")
        assert await transport.receive() == b"still here"


async def test_end_of_stream_twice(connected):
    async with connected() as (transport, peer):
        await transport.send_eof()
        transport.write_eof()
        assert await peer.receive_all() == b""
        await anyio.wait_all_tasks_blocked()
        transport.write_eof()
        await peer.send(b"fine")
        assert await transport.receive() == b"fine"


async def test_aclose_flushes(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        transport.write(LARGE)
        received = []

        async def receive():
            received.append(await peer.receive_all())

        async with anyio.create_task_group() as tg:
            tg.start_soon(receive)
            await transport.aclose()
        assert received == [LARGE]
        assert sink.lost == [None]
        await transport.aclose()
        transport.write(b"late")
        transport.writelines([b"later"])
        transport.write_eof()
        transport.abort()
        await transport.drain()
        await transport.receive_more()
        assert transport.unsent == 0


async def test_a_cancelled_aclose_drops_the_rest(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        transport.write(LARGE)
        async with anyio.create_task_group() as tg:
            tg.start_soon(transport.aclose)
            await anyio.wait_all_tasks_blocked()
            assert not sink.lost
            tg.cancel_scope.cancel()
        await sink.gone.wait()
        with contextlib.suppress(OSError, anyio.BrokenResourceError):
            assert len(await peer.receive_all()) < len(LARGE)


async def test_abort_wakes_whoever_waits(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, _):
        transport.attach(sink)
        transport.set_high_water(1024)
        transport.write(LARGE)
        async with anyio.create_task_group() as tg:
            tg.start_soon(until, lambda: sink.lost, transport)
            tg.start_soon(transport.drain)
            await anyio.wait_all_tasks_blocked()
            transport.abort()
            transport.abort()
        assert len(sink.lost) == 1
        assert not transport.clogged
        transport.write(b"late")


async def test_nothing_is_unsent_after_a_loss(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, _):
        transport.attach(sink)
        transport.write(LARGE)
        transport.write(LARGE)
        await anyio.wait_all_tasks_blocked()
        transport.abort()
        await sink.gone.wait()
        assert transport.unsent == 0


async def test_abort_of_a_stream_that_nobody_read_yet(connected):
    async with connected() as (transport, _):
        transport.abort()
        with pytest.raises(anyio.BrokenResourceError):
            await transport.receive()


async def test_end_of_stream_is_told_once(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        await peer.send(b"last")
        await peer.send_eof()
        await until(lambda: sink.eof, transport)
        assert sink.data == b"last"
        assert sink.eof == 1
        assert not sink.lost
        transport.write(b"answer")
        assert await peer.receive_exactly(6) == b"answer"


async def test_a_reset_is_a_loss(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        transport.write(UNREAD)
        async with anyio.create_task_group() as tg:
            tg.start_soon(until, lambda: sink.lost, transport)
            await anyio.wait_all_tasks_blocked()
            peer.reset()
        assert len(sink.lost) == 1
        assert isinstance(sink.lost[0], (OSError, anyio.BrokenResourceError))
        transport.write(b"late")
        await transport.drain()
        await transport.receive_more()


async def test_end_of_stream_after_a_reset_that_nobody_noticed_yet(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        transport.write(UNREAD)
        await anyio.wait_all_tasks_blocked()
        peer.reset()
        transport.write_eof()
        await until(lambda: sink.lost, transport)
        await transport.aclose()


async def test_a_reset_while_sending_wakes_the_sender(connected, sink_class):
    sink = sink_class()
    async with connected() as (transport, peer):
        transport.attach(sink)
        transport.set_high_water(1024)
        transport.write(LARGE)
        async with anyio.create_task_group() as tg:
            tg.start_soon(transport.drain)
            await anyio.wait_all_tasks_blocked()
            peer.reset()
        await sink.gone.wait()
        assert len(sink.lost) == 1


async def test_callbacks_come_later_and_in_order(connected):
    async with connected() as (transport, _):
        calls = []
        called = anyio.Event()
        transport.call_soon(partial(calls.append, 1))
        transport.call_soon(lambda: transport.call_soon(called.set))
        transport.call_soon(partial(calls.append, 2))
        assert calls == []
        await called.wait()
        assert calls == [1, 2]
        called = anyio.Event()
        transport.call_soon(lambda: called.set())
        await called.wait()


async def test_a_callback_may_write(connected):
    async with connected() as (transport, peer):
        transport.call_soon(partial(transport.write, b"soon"))
        assert await peer.receive_exactly(4) == b"soon"
