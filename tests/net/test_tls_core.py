"""TLS between a connection and its transport: order, ends, damage, and a handshake in the middle."""

import contextlib
import ssl

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute

from anyws.net.stream import StreamTransport
from anyws.net.tls import start_tls
from anyws.testing import memory_pair

pytestmark = pytest.mark.anyio


@pytest.fixture
def over_memory(tls_contexts, tls_peer):
    """Give ``async with over_memory() as (transport, peer, stream)``; the peer is yet to shake hands."""

    @contextlib.asynccontextmanager
    async def connect(context=None, version=ssl.TLSVersion.TLSv1_3, end=None):
        server, client = tls_contexts
        server.maximum_version = version
        one, other = memory_pair()
        peer = tls_peer(other, server)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tg:
                below = StreamTransport(one, tg)
                name = "localhost"
                async with anyio.create_task_group() as shaking:
                    if context is None:
                        shaking.start_soon(peer.shake_hands, end)
                    transport = await start_tls(below, context or client, server_hostname=name)
                try:
                    yield transport, peer, other
                finally:
                    transport.abort()
                    tg.cancel_scope.cancel()

    return connect


async def until(condition, transport):
    while not condition():
        await transport.receive_more()


@pytest.mark.parametrize("end", [b"early", b"early and the end"])
async def test_what_comes_with_the_end_of_the_handshake(over_memory, sink_class, end):
    sink = sink_class()
    async with over_memory(version=ssl.TLSVersion.TLSv1_2, end=end) as (transport, peer, stream):
        if end.endswith(b"end"):
            await peer.send_eof()
        data = await transport.receive()
        assert data + transport.attach(sink) + bytes(sink.data) == end
        if end.endswith(b"end"):
            await until(lambda: sink.eof, transport)
            assert not sink.lost


async def test_a_stream_that_ends_without_a_farewell(over_memory, sink_class):
    sink = sink_class()
    async with over_memory() as (transport, peer, stream):
        transport.attach(sink)
        await peer.send(b"last")
        await stream.send_eof()
        await until(lambda: sink.eof, transport)
        assert sink.data == b"last"
        assert sink.eof == 1


async def test_nothing_comes_behind_the_farewell(over_memory, sink_class):
    sink = sink_class()
    async with over_memory() as (transport, peer, stream):
        transport.attach(sink)
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.ssl_object.unwrap()
        peer.outgoing.write(b"\x17\x03\x03\x00\x05extra")
        await peer.flush()
        await until(lambda: sink.eof, transport)
        held = transport._incoming.pending
        await stream.send(b"more" * 1000)
        await stream.send_eof()
        await transport.receive_more()
        assert (sink.data, sink.eof, sink.lost) == (b"", 1, [])
        # Nor is it kept: nobody would count it.
        assert transport._incoming.pending == held


async def test_a_damaged_record_ends_the_connection(over_memory, sink_class):
    sink = sink_class()
    async with over_memory() as (transport, peer, stream):
        transport.attach(sink)
        await peer.send(b"sound")
        await stream.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        await until(lambda: sink.lost, transport)
        await sink.gone.wait()
        assert sink.data == b"sound"
        assert isinstance(sink.lost[0], ssl.SSLError)
        transport.write(b"late")
        transport.write_eof()
        await transport.drain()
        assert transport.unsent == 0


async def test_the_peer_is_told_of_the_damage(over_memory, sink_class):
    sink = sink_class()
    async with over_memory() as (transport, peer, stream):
        transport.attach(sink)
        below = transport._below
        abort, below.abort = below.abort, lambda: None
        await stream.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        await transport.receive_more()
        with pytest.raises(ssl.SSLError, match="alert"):
            await peer.receive()
        below.abort = abort


async def test_records_that_come_byte_by_byte(over_memory, sink_class):
    sink = sink_class()
    async with over_memory() as (transport, peer, stream):
        transport.attach(sink)
        peer.ssl_object.write(bytes(range(100)))
        for byte in peer.outgoing.read():
            await stream.send(bytes((byte,)))
        await until(lambda: len(sink.data) == 100, transport)
        assert sink.data == bytes(range(100))


async def test_small_pieces_share_a_record(over_memory):
    async with over_memory() as (transport, peer, stream):
        transport.writelines([b"x"] * 100)
        assert await peer.receive() == b"x" * 100
        await transport.send(b"")


async def test_large_pieces_are_not_joined(over_memory):
    async with over_memory() as (transport, peer, stream):
        transport.writelines([b"head", bytes(200_000)])
        assert await peer.receive_exactly(200_004) == b"head" + bytes(200_000)


async def test_what_is_known_of_the_connection(over_memory):
    async with over_memory() as (transport, peer, stream):
        assert transport.extra(TLSAttribute.tls_version) == "TLSv1.3"
        assert transport.extra(TLSAttribute.cipher) == peer.ssl_object.cipher()
        assert transport.extra(TLSAttribute.alpn_protocol) is None
        assert transport.extra(TLSAttribute.server_side) is False
        assert transport.extra(TLSAttribute.shared_ciphers) is None
        assert transport.extra(TLSAttribute.standard_compatible) is True
        assert transport.extra(TLSAttribute.peer_certificate)["version"] == 3
        assert transport.extra(TLSAttribute.peer_certificate_binary)[:1] == b"0"
        assert transport.extra(TLSAttribute.ssl_object) is transport._ssl_object
        assert transport.extra(SocketAttribute.remote_address, None) is None


class Rehandshake:
    """A context, and the object it makes: no encryption, and a second handshake until "!" comes."""

    def __init__(self):
        self.waits = True
        self.error = None

    def wrap_bio(self, incoming, outgoing, server_side, server_hostname):
        self.incoming, self.outgoing = incoming, outgoing
        return self

    def do_handshake(self):
        pass

    def pending(self):
        return 0

    def read(self, size, buffer):
        data = self.incoming.read(size)
        if not data:
            raise ssl.SSLWantReadError
        self.waits = self.waits and b"!" not in data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data):
        if self.error is not None:
            raise self.error
        if self.waits:
            raise ssl.SSLWantReadError
        return self.outgoing.write(data)


async def test_what_is_written_during_another_handshake_waits(over_memory, sink_class):
    sink = sink_class()
    context = Rehandshake()
    async with over_memory(context) as (transport, _, stream):
        transport.attach(sink)
        transport.write(b"one,")
        transport.writelines([b"two,", b"three,", bytes(150_000)])
        assert transport.clogged
        assert transport.unsent == 14 + 150_000
        drained = []

        async def drain():
            await transport.drain()
            drained.append(transport.unsent)

        async with anyio.create_task_group() as tg:
            tg.start_soon(drain)
            tg.start_soon(drain)
            await anyio.wait_all_tasks_blocked()
            await stream.send(b"?")
            await transport.receive_more()
            await anyio.wait_all_tasks_blocked()
            assert not drained
            await stream.send(b"!")
            await transport.receive_more()
            data = b""
            while len(data) < 14 + 150_000:
                data += await stream.receive()
        assert data == b"one,two,three," + bytes(150_000)
        assert drained == [0, 0]
        transport.write(b"four")
        assert await stream.receive() == b"four"


async def test_a_loss_during_another_handshake_wakes_the_sender(over_memory, sink_class):
    sink = sink_class()
    async with over_memory(Rehandshake()) as (transport, _, stream):
        transport.attach(sink)
        transport.write(b"never")
        async with anyio.create_task_group() as tg:
            tg.start_soon(transport.drain)
            await anyio.wait_all_tasks_blocked()
            transport.abort()
        assert transport.unsent == 0
        assert not transport.clogged


async def test_an_error_in_writing_ends_the_connection(over_memory, sink_class):
    sink = sink_class()
    context = Rehandshake()
    async with over_memory(context) as (transport, _, _stream):
        transport.attach(sink)
        context.error = ssl.SSLError("broken")
        transport.write(b"x")
        await sink.gone.wait()
        assert sink.lost == [context.error]


async def test_the_high_water_mark_is_that_of_the_stream_below(over_memory):
    async with over_memory() as (transport, _, stream):
        stream._incoming.capacity = 10
        transport.set_high_water(100)
        transport.write(bytes(1000))
        await anyio.wait_all_tasks_blocked()
        assert transport.clogged


async def test_the_end_of_the_stream_is_written_once(over_memory, sink_class):
    """And nothing behind it."""
    sink = sink_class()
    async with over_memory() as (transport, peer, stream):
        transport.attach(sink)
        transport.write(b"last")
        transport.write_eof()
        transport.write_eof()
        transport.write(b"late")
        assert await peer.receive() == b"last"
        assert await peer.receive() == b""
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
