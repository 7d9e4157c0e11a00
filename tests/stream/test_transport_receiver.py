"""Where received bytes go: how much is received at once, and what becomes of the first bytes."""

import pytest

from anyws.core.connection import Connection
from anyws.core.turns import Turns
from anyws.enums import Role
from anyws.limits import Limits
from anyws.stream.lock import SendLock
from anyws.stream.transport_receiver import TransportReceiver
from anyws.stream.write_buffer import WriteBuffer

SMALL, LARGE = 65536, 262144


class FakeTransport:
    clogged = False
    unsent = 0


def receiver(**limits):
    connection, transport = Connection(Role.CLIENT, Limits(**limits)), FakeTransport()
    write_buffer = WriteBuffer(connection, transport, SendLock(), Turns(128))
    return TransportReceiver(
        connection, transport, write_buffer, lambda _: None, lambda: None, None
    )


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
    assert target.bytes_received == sum(sizes)


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


def test_what_came_behind_the_handshake_may_be_more_than_one_buffer():
    target = receiver(receive_buffer=2 * LARGE)
    target.feed(messages(LARGE + 4096))
    assert target.bytes_received == LARGE + 4096
    assert target.held() == LARGE + 4096
