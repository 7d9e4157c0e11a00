"""Memory pairs behave as sockets do, and faults come where they were asked for."""

import anyio
import pytest

from anyws.testing import FaultyStream, lockstep_pair, memory_pair

pytestmark = pytest.mark.anyio


async def test_bytes_and_the_end():
    one, other = memory_pair()
    await one.send(b"hello")
    await one.send_eof()
    assert await other.receive(2) == b"he"
    assert await other.receive() == b"llo"
    with pytest.raises(anyio.EndOfStream):
        await other.receive()
    await other.send(b"back")
    assert await one.receive() == b"back"


async def test_a_full_pipe_makes_the_sender_wait_and_a_cancelled_send_sent_a_part():
    one, other = memory_pair(capacity=4)
    async with anyio.create_task_group() as tg:
        tg.start_soon(one.send, b"abcdef")
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert await other.receive() == b"abcd"
    await one.send(b"x")
    assert await other.receive() == b"x"


async def test_lockstep_has_no_buffer():
    one, other = lockstep_pair()
    sent = []

    async def send():
        await one.send(b"abc")
        sent.append(True)

    async with anyio.create_task_group() as tg:
        tg.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        assert not sent
        assert await other.receive() == b"abc"
        await anyio.wait_all_tasks_blocked()
        assert sent


async def test_one_reader_and_one_writer():
    one, other = lockstep_pair()
    async with anyio.create_task_group() as tg:
        tg.start_soon(one.receive)
        tg.start_soon(one.send, b"x")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await one.receive()
        with pytest.raises(anyio.BusyResourceError):
            await one.send(b"y")
        assert await other.receive() == b"x"
        tg.cancel_scope.cancel()


async def test_closing():
    one, other = memory_pair()
    await one.send(b"last")
    await one.aclose()
    for call in (one.receive, lambda: one.send(b"x")):
        with pytest.raises(anyio.ClosedResourceError):
            await call()
    assert await other.receive() == b"last"
    with pytest.raises(anyio.EndOfStream):
        await other.receive()
    with pytest.raises(anyio.BrokenResourceError):
        await other.send(b"x")


async def test_reset_breaks_both_ends():
    one, other = memory_pair()
    await one.send(b"lost")
    one.reset()
    for end in (one, other):
        with pytest.raises(anyio.BrokenResourceError):
            await end.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await end.send(b"x")


async def test_chunks():
    one, other = memory_pair()
    stream = FaultyStream(other, chunk=2)
    await one.send(b"abc")
    assert await stream.receive() == b"ab"
    assert await stream.receive() == b"c"
    assert stream.received == 3


@pytest.mark.parametrize(
    ("fault", "error"), [("eof", anyio.EndOfStream), ("reset", anyio.BrokenResourceError)]
)
async def test_faults_of_receiving(fault, error):
    one, other = memory_pair()
    stream = FaultyStream(other, receive_limit=2, receive_fault=fault)
    await one.send(b"abc")
    assert await stream.receive() == b"ab"
    with pytest.raises(error):
        await stream.receive()


async def test_a_stall_can_be_released():
    one, other = memory_pair()
    stream = FaultyStream(other, receive_limit=1, receive_fault="stall")
    await one.send(b"ab")
    assert await stream.receive() == b"a"
    async with anyio.create_task_group() as tg:
        tg.start_soon(stream.receive)
        await anyio.wait_all_tasks_blocked()
        assert stream.received == 1
        stream.release()
    assert stream.received == 2


async def test_faults_of_sending():
    one, other = memory_pair()
    stream = FaultyStream(one, send_limit=2)
    await stream.send(b"abc")
    await stream.send(b"d")
    assert await other.receive() == b"ab"
    stream = FaultyStream(one, send_limit=1, send_fault="reset")
    with pytest.raises(anyio.BrokenResourceError):
        await stream.send(b"ab")
    one, other = memory_pair()
    stream = FaultyStream(one, send_limit=1, send_fault="stall")
    async with anyio.create_task_group() as tg:
        tg.start_soon(stream.send, b"ab")
        await anyio.wait_all_tasks_blocked()
        assert await other.receive() == b"a"
        stream.release()
    assert await other.receive() == b"b"
    assert stream.sent == 2


async def test_faults_over_another_kind_of_stream():
    """Only a memory stream can be broken for both ends; the error comes here in any case."""
    one, other = memory_pair()
    stream = FaultyStream(FaultyStream(one), send_limit=0, send_fault="reset")
    with pytest.raises(anyio.BrokenResourceError):
        await stream.send(b"x")
    await other.send(b"still open")
    assert await stream.receive() == b"still open"
    assert stream.extra_attributes == one.extra_attributes


async def test_faults_of_ending_and_of_any_kind():
    """Each happens when the stream has done what it was asked for."""
    one, other = memory_pair()
    odd = LookupError("odd")
    stream = FaultyStream(
        one, receive_limit=0, receive_fault=odd, send_limit=1, send_fault=odd,
        eof_fault=odd, close_fault="stall",
    )  # fmt: skip
    for call in (stream.receive, lambda: stream.send(b"ab"), stream.send_eof):
        with pytest.raises(LookupError) as caught:
            await call()
        assert caught.value is odd
    assert await other.receive() == b"a"
    with pytest.raises(anyio.EndOfStream):
        await other.receive()
    async with anyio.create_task_group() as tg:
        tg.start_soon(stream.aclose)
        await anyio.wait_all_tasks_blocked()
        assert one.closed
        stream.release()
