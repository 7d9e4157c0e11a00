"""Where received bytes go: how much is received at once, and what becomes of the first bytes."""

import pytest

from anyws.core.connection import Connection
from anyws.core.deflate import Deflate
from anyws.core.turns import Turns
from anyws.enums import Role
from anyws.limits import Limits
from anyws.stream.lock import SendLock
from anyws.stream.transport_receiver import TransportReceiver
from anyws.stream.write_buffer import WriteBuffer

TINY, SMALL, LARGE = 2048, 65536, 262144


class FakeTransport:
    clogged = False
    unsent = 0


def receiver(parameters=None, **limits):
    connection = Connection(Role.CLIENT, Limits(**limits), parameters)
    transport = FakeTransport()
    write_buffer = WriteBuffer(connection, transport, SendLock(), Turns(128))
    made = TransportReceiver(connection, transport, write_buffer, lambda _: None, None)
    # The first piece is small, until one comes that fills it.
    assert receive(made, b"\x8a\x00") == TINY
    assert receive(made, b"\x82\x7e\x07\xfc" + bytes(2044)) == TINY
    assert connection.inbound.take(Turns(1)) == bytes(2044)
    return made


def receive(target, data):
    """Do as a transport does; return how much it could have received."""
    view = target.get_buffer(-1)
    view[: len(data)] = data
    target.buffer_updated(len(data))
    return len(view)


def messages(size):
    """Return ``size`` bytes of whole messages."""
    return b"\x82\x7e\x0f\xfc" + bytes(4092) if size == 4096 else messages(4096) * (size // 4096)


def test_more_at_once_from_a_peer_that_fills_the_buffer():
    target = receiver(receive_buffer=4 * LARGE)
    sizes = [SMALL, 4096, SMALL, LARGE, SMALL - 4096, 4096, SMALL]
    offered = [receive(target, messages(size)) for size in sizes]
    assert offered == [SMALL, LARGE, SMALL, LARGE, LARGE, SMALL, SMALL]
    assert target.bytes_received == 2050 + sum(sizes)


@pytest.mark.parametrize(("limit", "size"), [(SMALL, LARGE), (SMALL - 1, SMALL)])
def test_no_more_at_once_than_a_small_receive_buffer_asks_for(limit, size):
    target = receiver(receive_buffer=limit)
    receive(target, messages(SMALL))
    assert len(target.get_buffer(-1)) == size


def test_more_at_once_in_the_middle_of_a_large_frame():
    target = receiver(receive_buffer=1000, message_size=None)
    receive(target, b"\x82\x7f" + (10 * LARGE).to_bytes(8, "big"))
    assert len(target.get_buffer(-1)) == LARGE
    assert not target.full


@pytest.mark.parametrize(
    "data",
    [
        b"\x02\x00" + b"\x00\x00" * 199,
        b"\x8a\x00" * 200,
        b"\x02\x01x" + b"\x00\x01x" * 200,
        (b"\x8a\x7d" + bytes(125)) * 200,
    ],
    ids=["empty fragments", "empty pongs", "fragments of a byte", "pongs of 125 bytes"],
)
def test_less_at_once_of_what_takes_much_time(data):
    """Others have their turn in between, and it takes some reads to be trusted again."""
    target = receiver()
    receive(target, data)
    more = bytearray(b"\x82\x7e\x07\xfc" + bytes(2044))
    if data[0] != 0x8A:
        more[0] = 0
    assert [receive(target, more) for _ in range(16)] == [TINY] * 16
    assert len(target.get_buffer(-1)) == SMALL


def test_less_at_once_of_deflate_that_ends_again_and_again():
    """Each final block needs a decoder of its own."""
    _, parameters = Deflate(server_context_takeover=False).accept([])
    target = receiver(parameters)
    receive(target, b"\xc2\x7f" + (100_000).to_bytes(8, "big") + b"\x03\x00" * 1000)
    assert len(target.get_buffer(-1)) == TINY


def test_what_came_behind_the_handshake_may_be_more_than_one_buffer():
    target = receiver(receive_buffer=2 * LARGE)
    target.feed(messages(LARGE + 4096))
    assert target.bytes_received == 2050 + LARGE + 4096
    assert target.held() == LARGE + 4096
