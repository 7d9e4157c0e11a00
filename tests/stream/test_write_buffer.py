"""Gathering frames: when a message leaves at once, when with others, and when its sender must wait."""

import pytest

from anyws.core.connection import Connection
from anyws.core.turns import Turns
from anyws.enums import Opcode, Role
from anyws.limits import Limits
from anyws.stream.admission import CLOGGED, NOT_TAKEN, TAKEN
from anyws.stream.lock import SendLock
from anyws.stream.write_buffer import WriteBuffer, offer_to_all


class FakeTransport:
    """Keeps what each call wrote, and the callbacks for the next round."""

    def __init__(self):
        self.clogged = False
        self.clogs = False
        self.unsent = 0
        self.writes = []
        self.callbacks = []

    def write(self, data):
        self.writes.append(data)
        self.clogged = self.clogs

    def writelines(self, chunks):
        self.write(b"".join(chunks))

    def write_eof(self, last):
        self.writes += [last, "the end"]

    def call_soon(self, callback):
        self.callbacks.append(callback)

    def next_round(self):
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


class Side:
    def __init__(self, *, interval=128, **limits):
        self.connection = Connection(Role.SERVER, Limits(**limits))
        self.transport = FakeTransport()
        self.lock = SendLock()
        self.turns = Turns(interval)
        self.buffer = WriteBuffer(self.connection, self.transport, self.lock, self.turns)
        self.writes = self.transport.writes


@pytest.fixture
def side():
    return Side()


@pytest.mark.parametrize(
    ("data", "frame"), [("é", b"\x81\x02\xc3\xa9"), (b"\xff", b"\x82\x01\xff")]
)
def test_a_lone_message_leaves_at_once(side, data, frame):
    assert side.buffer.try_send(data, None) == TAKEN
    assert side.writes == [frame]
    assert (side.buffer.written, side.buffer.messages_sent) == (len(frame), 1)
    assert not side.transport.callbacks


def test_what_follows_at_once_leaves_in_the_next_round(side):
    for data in ("a", "b", "c"):
        assert side.buffer.try_send(data, None) == TAKEN
    assert side.writes == [b"\x81\x01a"]
    assert len(side.transport.callbacks) == 1
    side.transport.next_round()
    assert side.writes == [b"\x81\x01a", b"\x81\x01b\x81\x01c"]
    # After that a message is a lone one again.
    side.buffer.try_send("d", None)
    assert side.writes[2:] == [b"\x81\x01d"]


def test_answers_to_what_has_come_leave_together(side):
    """While messages wait to be taken, more answers are likely."""
    data = bytes.fromhex("8181 00000000 61 8181 00000000 62")
    inbound = side.connection.inbound
    inbound.receive_data(bytearray(data), len(data))
    assert inbound.take(side.turns) == "a"
    side.buffer.try_send("A", None)
    assert side.writes == []
    assert inbound.take(side.turns) == "b"
    side.buffer.try_send("B", None)
    side.buffer.before_waiting()
    assert side.writes == [b"\x81\x01A\x81\x01B"]
    side.transport.next_round()
    assert len(side.writes) == 1


def test_enough_leaves_without_waiting_for_the_round(side):
    side.buffer.try_send("a", None)
    side.buffer.try_send(bytes(40_000), None)
    assert len(side.writes) == 1
    side.buffer.try_send(bytes(40_000), None)
    assert [len(data) for data in side.writes] == [3, 2 * 40_004]
    side.transport.next_round()
    assert len(side.writes) == 2


def test_a_small_send_buffer_gathers_less():
    side = Side(send_buffer=100)
    side.buffer.try_send("a", None)
    side.buffer.try_send(bytes(97), None)
    assert len(side.writes) == 1
    side.buffer.try_send("b", None)
    assert [len(data) for data in side.writes] == [3, 102]


def test_what_the_transport_could_not_pass_on_leaves_less_room(side):
    """Both together are the send buffer, above which a sender waits."""
    side.transport.unsent = 60_000
    side.buffer.try_send("a", None)
    side.buffer.try_send(bytes(5000), None)
    assert len(side.writes) == 1
    side.buffer.try_send(bytes(5000), None)
    assert [len(data) for data in side.writes] == [3, 2 * 5004]
    side.transport.unsent = 0
    side.buffer.before_waiting()
    side.buffer.try_send("b", None)
    side.buffer.try_send(bytes(60_000), None)
    assert len(side.writes) == 3


def test_a_control_frame_takes_along_what_was_before_it(side):
    side.buffer.try_send("a", None)
    side.buffer.try_send("b", None)
    side.buffer.write_control([side.connection.outbound.control(Opcode.PING, b"")])
    assert side.writes == [b"\x81\x01a", b"\x81\x01b\x89\x00"]


def test_nothing_is_flushed_when_there_is_nothing(side):
    side.buffer.flush()
    side.buffer.before_waiting()
    assert (side.writes, side.buffer.written) == ([], 0)


def test_what_was_appended_waits_for_a_flush(side):
    side.buffer.append([b"12", b"34"])
    assert side.writes == []
    side.buffer.flush()
    assert (side.writes, side.buffer.written) == ([b"1234"], 4)


def test_the_last_frame_comes_after_the_others(side):
    side.buffer.append([b"12", b"34"])
    side.buffer.end(b"last")
    assert (side.writes, side.buffer.written) == ([b"1234", b"last", "the end"], 8)


def test_once_finished_nothing_more_is_written(side):
    side.buffer.append([b"late"])
    side.buffer.finished = True
    side.buffer.flush()
    side.buffer.end(b"later")
    side.buffer.finished = False
    side.buffer.flush()
    assert side.writes == []


def not_taken(side, data="x"):
    assert side.buffer.try_send(data, None) == NOT_TAKEN
    assert (side.writes, side.buffer.messages_sent) == ([], 0)


@pytest.mark.parametrize("data", [bytearray(b"x"), memoryview(b"x"), None, 7])
def test_other_types_are_left_to_those_who_may_raise(side, data):
    not_taken(side, data)


def test_who_would_have_to_wait_first_is_told_so(side):
    side.lock.locked = True
    not_taken(side)
    side.lock.locked = False
    side.transport.clogged = True
    not_taken(side)
    side.transport.clogged = False
    side.turns.left = 0
    not_taken(side)
    side.turns.renew()
    side.connection.lose()
    not_taken(side)


def test_surrogates_are_refused_before_anything_happens(side):
    with pytest.raises(UnicodeEncodeError):
        side.buffer.try_send("\ud800", None)
    assert (side.writes, side.buffer.messages_sent, side.turns.left) == ([], 0, 128)


def test_a_message_that_clogs_the_transport_is_in_it_all_the_same(side):
    side.transport.clogs = True
    assert side.buffer.try_send("a", None) == CLOGGED
    assert side.writes == [b"\x81\x01a"]


@pytest.mark.parametrize(("size", "turns"), [(16_383, 1), (16_384, 2), (65_536, 5)])
def test_a_large_message_counts_for_several(side, size, turns):
    side.buffer.try_send(bytes(size), None)
    assert side.turns.left == 128 - turns


class Holder:
    """What a broadcast knows of a connection."""

    def __init__(self, side):
        self._write_buffer = side.buffer


def offer(sides, payload):
    frames = [bytes((0x82, len(payload))) + payload]
    holders = [Holder(side) for side in sides]
    others = offer_to_all(iter(holders), Opcode.BINARY, payload, frames, None)
    return [holders.index(holder) for holder in others]


def test_each_broadcast_leaves_at_once_in_a_round_of_its_own():
    """Nobody of the connection has to wait for a message before that."""
    sides = [Side(), Side()]
    for payload in (b"a", b"b", b"c"):
        assert offer(sides, payload) == []
        for side in sides:
            assert side.writes[-1] == b"\x82\x01" + payload
        # One callback is enough for all that it went to.
        assert [len(side.transport.callbacks) for side in sides] == [1, 0]
        sides[0].transport.next_round()
    assert [(side.buffer.written, side.buffer.messages_sent) for side in sides] == [(9, 3), (9, 3)]


def test_broadcasts_in_one_round_leave_together():
    sides = [Side(), Side()]
    for payload in (b"a", b"b", b"c"):
        assert offer(sides, payload) == []
    for side in sides:
        assert side.writes == [b"\x82\x01a"]
        side.transport.next_round()
        assert side.writes[1:] == [b"\x82\x01b\x82\x01c"]


def test_what_is_sent_in_the_round_of_a_broadcast_leaves_after_it(side):
    offer([side], b"a")
    side.buffer.try_send(b"b", None)
    assert side.writes == [b"\x82\x01a"]
    side.buffer.before_waiting()
    assert side.writes[1:] == [b"\x82\x01b"]


def test_a_message_after_the_round_of_a_broadcast_is_a_lone_one(side):
    offer([side], b"a")
    side.transport.next_round()
    side.buffer.try_send(b"b", None)
    assert side.writes == [b"\x82\x01a", b"\x82\x01b"]
    assert not side.transport.callbacks


def test_a_broadcast_waits_for_its_turn_behind_what_has_gathered(side):
    side.buffer.try_send(b"a", None)
    side.buffer.try_send(b"b", None)
    assert offer([side], b"c") == []
    assert side.writes == [b"\x82\x01a"]
    side.transport.next_round()
    assert side.writes[1:] == [b"\x82\x01b\x82\x01c"]


def test_a_broadcast_passes_over_who_cannot_take_it():
    free, locked, clogged, closing = sides = [Side() for _ in range(4)]
    locked.lock.locked = True
    clogged.transport.clogged = True
    closing.connection.send_close(1000)
    assert offer(sides, b"a") == [1, 2, 3]
    assert free.writes == [b"\x82\x01a"]
    assert [side.writes for side in (locked, clogged, closing)] == [[], [], []]
    assert [side.buffer.messages_sent for side in sides] == [1, 0, 0, 0]
