"""Any byte stream as a transport: one task writes, and faults of the stream are losses."""

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute

from anyws.net.stream import StreamTransport
from anyws.testing import FaultyStream, lockstep_pair, memory_pair

pytestmark = pytest.mark.anyio


class Recorder(ByteStream):
    """Keeps what is sent; receives nothing."""

    def __init__(self, *, error=None, eof_error=None, close_error=None):
        self.sent = []
        self.ends = 0
        self.closed = 0
        self.error = error
        self.eof_error = eof_error
        self.close_error = close_error

    async def send(self, item):
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.sent.append(item)

    async def receive(self, max_bytes=65536):
        await anyio.sleep_forever()

    async def send_eof(self):
        if self.eof_error is not None:
            raise self.eof_error
        self.ends += 1

    async def aclose(self):
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error

    @property
    def extra_attributes(self):
        return {TLSAttribute.alpn_protocol: lambda: "http/1.1"}


async def test_small_pieces_leave_together():
    stream = Recorder()
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(stream, tg)
        for number in range(100):
            transport.write(b"%02d" % number)
        transport.write(bytes(65536))
        await transport.aclose()
    assert b"".join(stream.sent) == b"".join(b"%02d" % n for n in range(100)) + bytes(65536)
    assert len(stream.sent) == 2
    assert stream.closed >= 1


async def test_nothing_is_sent_within_write():
    stream = Recorder()
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(stream, tg)
        transport.write(b"abc")
        assert transport.unsent == 3
        assert stream.sent == []
        await transport.aclose()
        assert transport.unsent == 0


async def test_a_stream_without_a_half_closed_state_is_closed():
    stream = Recorder(eof_error=NotImplementedError())
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(stream, tg)
        transport.write(b"last")
        transport.write_eof()
    assert stream.sent == [b"last"]
    assert stream.closed >= 1


@pytest.mark.parametrize(
    "error", [anyio.BrokenResourceError(), anyio.ClosedResourceError(), OSError("gone")], ids=repr
)
async def test_an_error_of_send_is_a_loss(sink_class, error):
    sink = sink_class()
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(Recorder(error=error), tg)
        transport.attach(sink)
        transport.set_high_water(1)
        transport.write(b"abc")
        await transport.drain()
        await sink.gone.wait()
        await transport.aclose()
    assert sink.lost == [error]


async def test_an_error_of_send_eof_is_a_loss(sink_class):
    sink = sink_class()
    error = OSError("gone")
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(Recorder(eof_error=error), tg)
        transport.attach(sink)
        transport.write_eof()
    assert sink.lost == [error]


@pytest.mark.parametrize(
    "error", [anyio.BrokenResourceError(), anyio.ClosedResourceError(), OSError("gone")], ids=repr
)
async def test_an_error_of_aclose_is_a_loss_and_not_raised(sink_class, error):
    sink = sink_class()
    stream = Recorder(close_error=error)
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(stream, tg)
        transport.attach(sink)
        transport.write(b"last")
        await transport.aclose()
    assert (stream.sent, sink.lost) == ([b"last"], [error])
    # Once in good order, once by force.
    assert stream.closed == 2


async def test_attributes_are_those_of_the_stream():
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(Recorder(), tg)
        assert transport.extra(TLSAttribute.alpn_protocol) == "http/1.1"
        transport.abort()


async def test_abort_frees_a_send_that_hangs(sink_class):
    sink = sink_class()
    one, _other = memory_pair()
    stream = FaultyStream(one, send_limit=2, send_fault="stall")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            transport = StreamTransport(stream, tg)
            transport.attach(sink)
            transport.write(b"abc")
            await anyio.wait_all_tasks_blocked()
            transport.abort()
    assert sink.lost == [None]
    assert one.closed


class LostWhileSending(Recorder):
    """``receive`` fails while ``send`` is under way, and ``send`` returns all the same."""

    def __init__(self):
        super().__init__()
        self.sending = anyio.Event()
        self.failed = anyio.Event()

    async def send(self, item):
        self.sending.set()
        with anyio.CancelScope(shield=True):
            await self.failed.wait()
        self.sent.append(item)

    async def receive(self, max_bytes=65536):
        await self.sending.wait()
        self.failed.set()
        raise anyio.BrokenResourceError


async def test_nothing_is_unsent_after_a_loss_in_the_middle_of_a_send(sink_class):
    sink = sink_class()
    stream = LostWhileSending()
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(stream, tg)
        transport.attach(sink)
        transport.write(b"abc")
        transport.write(bytes(65536))
        await transport.receive_more()
        assert transport.unsent == 0
    assert stream.sent == [b"abc"]
    assert (transport.unsent, len(sink.lost)) == (0, 1)


async def test_its_task_outlives_a_cancelled_task_group_until_abort():
    one, other = lockstep_pair()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            transport = StreamTransport(one, tg)
            transport.write(b"whole")
            await anyio.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                assert await other.receive() == b"whole"
                await transport.aclose()


async def test_byte_by_byte(sink_class):
    sink = sink_class()
    one, other = memory_pair()
    async with anyio.create_task_group() as tg:
        transport = StreamTransport(FaultyStream(one, chunk=1), tg)
        transport.attach(sink)
        await other.send(b"bytes")
        await other.send_eof()
        while not sink.eof:
            await transport.receive_more()
        await transport.aclose()
    assert sink.data == b"bytes"
