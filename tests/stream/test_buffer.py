"""The bounded hand-over of bytes."""

import anyio
import pytest
from anyio.abc import ByteReceiveStream

from anyws.enums import DataType
from anyws.stream.buffer import Buffer

pytestmark = pytest.mark.anyio


def filled(*chunks, eof=True, **options):
    buffer = Buffer(**options)
    for chunk in chunks:
        buffer.write_nowait(chunk)
    if eof:
        buffer.feed_eof()
    return buffer


async def test_kinds():
    assert Buffer().data_type is DataType.BINARY
    assert Buffer(data_type=DataType.TEXT).data_type is DataType.TEXT
    assert Buffer(data_type=None).data_type is None
    assert isinstance(Buffer(), ByteReceiveStream)


@pytest.mark.parametrize("limit", [0, -1])
async def test_bad_limit(limit):
    with pytest.raises(ValueError, match="limit"):
        Buffer(limit)


async def test_read_pieces():
    buffer = filled(b"abc", b"defg")
    assert buffer.size == 7
    assert await buffer.read(2) == b"ab"
    assert await buffer.read(0) == b""
    assert await buffer.read(3) == b"cde"
    assert buffer.size == 2
    assert not buffer.at_eof()
    assert await buffer.read(100) == b"fg"
    assert buffer.at_eof()
    assert await buffer.read(1) == b""
    assert await buffer.read() == b""


async def test_read_all_waits_for_the_end_and_lifts_the_limit():
    buffer = Buffer(4)

    async def write():
        for _ in range(10):
            await buffer.write(b"0123456789")
        buffer.feed_eof()

    async with anyio.create_task_group() as tg:
        tg.start_soon(write)
        assert await buffer.read() == b"0123456789" * 10


async def test_read_into():
    buffer = filled(b"abc", b"defg")
    memory = bytearray(10)
    with pytest.raises(ValueError, match="do not fit"):
        await buffer.read_into(memory, 11)
    assert await buffer.read_into(memory, 5) == 5
    assert memory == b"abcde" + bytes(5)
    assert await buffer.read_into(memoryview(memory)[5:], 4) == 2
    assert memory == b"abcdefg" + bytes(3)
    assert await buffer.read_into(memory, 4) == 0


async def test_read_into_waits_for_all():
    buffer = Buffer(1)
    memory = bytearray(4)
    counts = []

    async def read():
        counts.append(await buffer.read_into(memory, 4))

    async with anyio.create_task_group() as tg:
        tg.start_soon(read)
        for byte in (b"a", b"b", b"c"):
            await buffer.write(byte)
        await anyio.wait_all_tasks_blocked()
        assert counts == []
        await buffer.write(b"d")
    assert memory == b"abcd"
    assert counts == [4]


@pytest.mark.parametrize("method", ["read", "read_into", "receive"])
async def test_cancelled_read_loses_nothing(method):
    buffer = filled(b"abc", eof=False)
    call = {
        "read": buffer.read,
        "read_into": lambda: buffer.read_into(bytearray(4), 4),
        "receive": buffer.receive,
    }[method]
    with anyio.CancelScope() as scope:
        scope.cancel()
        await call()
    assert scope.cancelled_caught
    buffer.feed_eof()
    assert await buffer.read() == b"abc"


async def test_write_waits_for_the_reader():
    buffer = Buffer(4)
    written = []

    async def write():
        for number in range(4):
            await buffer.write(b"abc")
            written.append(number)
        buffer.feed_eof()

    async with anyio.create_task_group() as tg:
        tg.start_soon(write)
        await anyio.wait_all_tasks_blocked()
        assert written == [0, 1]
        assert await buffer.read(3) == b"abc"
        await anyio.wait_all_tasks_blocked()
        assert written == [0, 1, 2]
        assert await buffer.read() == b"abc" * 3


async def test_cancelled_write_appends_nothing():
    buffer = filled(b"abcd", eof=False, limit=4)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await buffer.write(b"never")
    assert scope.cancelled_caught
    buffer.feed_eof()
    assert await buffer.read() == b"abcd"


async def test_write_copies():
    buffer = Buffer()
    data = bytearray(b"before")
    await buffer.write(data)
    data[:] = b"after!"
    await buffer.write(memoryview(b"view"))
    assert await anext(buffer) == b"before"
    assert await anext(buffer) == b"view"


async def test_write_after_eof():
    buffer = filled(b"abc")
    with pytest.raises(RuntimeError, match="feed_eof"):
        await buffer.write(b"x")
    with pytest.raises(RuntimeError, match="feed_eof"):
        buffer.write_nowait(b"x")


async def test_iteration_gives_the_pieces():
    buffer = filled(b"abc", b"", b"de", b"f")
    assert await buffer.read(1) == b"a"
    assert [piece async for piece in buffer] == [b"bc", b"de", b"f"]


async def test_byte_stream():
    buffer = filled(b"abc", b"de")
    assert await buffer.receive(2) == b"ab"
    assert await buffer.receive(10) == b"cde"
    with pytest.raises(anyio.EndOfStream):
        await buffer.receive()


async def test_failure_comes_after_what_was_written():
    buffer = filled(b"abc", eof=False)
    buffer.fail(OSError("gone"))
    assert await buffer.read(10) == b"abc"
    for call in (buffer.read, lambda: buffer.read(1), buffer.receive, buffer.__anext__):
        with pytest.raises(OSError, match="gone"):
            await call()


async def test_failure_wakes_the_reader():
    buffer = Buffer()
    errors = []

    async def read():
        try:
            await buffer.read(1)
        except OSError as error:
            errors.append(error)

    error = OSError()
    async with anyio.create_task_group() as tg:
        tg.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        buffer.fail(error)
    assert errors == [error]


async def test_failure_does_not_swallow_what_read_all_waits_for():
    buffer = filled(b"abc", eof=False)
    buffer.fail(OSError())
    with pytest.raises(OSError):
        await buffer.read()
    assert await buffer.read(3) == b"abc"


async def test_reader_gives_up():
    buffer = filled(b"abcd", eof=False, limit=4)

    async def write():
        with pytest.raises(anyio.BrokenResourceError):
            await buffer.write(b"x")

    async with anyio.create_task_group() as tg:
        tg.start_soon(write)
        await anyio.wait_all_tasks_blocked()
        await buffer.aclose()
    assert buffer.size == 0
    with pytest.raises(anyio.ClosedResourceError):
        await buffer.receive()
    buffer.write_nowait(b"dropped")
    assert buffer.size == 0


WAYS_TO_READ = [
    pytest.param(lambda buffer: buffer.read(1), id="read"),
    pytest.param(lambda buffer: buffer.read(), id="read all"),
    pytest.param(lambda buffer: buffer.read_into(bytearray(1), 1), id="read_into"),
    pytest.param(lambda buffer: buffer.receive(1), id="receive"),
    pytest.param(lambda buffer: anext(buffer), id="anext"),
]


@pytest.mark.parametrize("call", WAYS_TO_READ)
@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize("ended", [False, True])
async def test_every_way_to_read_ends_when_the_buffer_is_closed(call, waiting, ended):
    """Also where the end is fed before the task that waits has its turn."""
    buffer = Buffer()

    async def read():
        with pytest.raises(anyio.ClosedResourceError):
            await call(buffer)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            if waiting:
                tg.start_soon(read)
                await anyio.wait_all_tasks_blocked()
            buffer.abandon()
            if ended:
                buffer.feed_eof()
            if not waiting:
                await read()


async def test_two_writers_wait_for_one_reader():
    buffer = filled(b"abcd", eof=False, limit=4)
    async with anyio.create_task_group() as tg:
        tg.start_soon(buffer.write, b"12")
        tg.start_soon(buffer.write, b"34")
        await anyio.wait_all_tasks_blocked()
        assert await buffer.read(4) == b"abcd"
    assert sorted(await buffer.read(2) + await buffer.read(2)) == list(b"1234")


@pytest.mark.parametrize(
    "call", [*WAYS_TO_READ, pytest.param(lambda buffer: buffer.read(0), id="read nothing")]
)
@pytest.mark.parametrize("read", [False, True])
async def test_reading_a_closed_buffer_that_ended(call, read):
    buffer = filled(b"abc")
    if read:
        assert await buffer.read() == b"abc"
    await buffer.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await call(buffer)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda buffer: buffer.read(1), id="read"),
        pytest.param(lambda buffer: buffer.read_into(bytearray(1), 1), id="read_into"),
        pytest.param(lambda buffer: buffer.receive(1), id="receive"),
        pytest.param(lambda buffer: anext(buffer), id="anext"),
    ],
)
async def test_work_that_is_ready_still_lets_others_run(call):
    """A reader that never finds the buffer empty must not starve the loop, nor be uncancellable."""
    buffer = filled(*[b"x"] * 1000)
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(1000):
            await call(buffer)
    assert scope.cancelled_caught


async def test_a_read_that_was_cancelled_leaves_the_bound():
    buffer = Buffer(4)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await buffer.read()
    await buffer.write(b"1234")
    async with anyio.create_task_group() as tg:
        tg.start_soon(buffer.write, b"5")
        await anyio.wait_all_tasks_blocked()
        assert buffer.size == 4
        tg.cancel_scope.cancel()
