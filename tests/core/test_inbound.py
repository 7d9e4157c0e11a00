"""What a peer may send and what not, byte by byte, by section of RFC 6455."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyws.core import rules
from anyws.core.connection import Connection
from anyws.core.deflate import Deflate
from anyws.core.inbound import Inbound
from anyws.core.message import Discard
from anyws.core.turns import Turns
from anyws.enums import CloseCode, Role
from anyws.errors import Close
from anyws.limits import Limits

K4 = bytes.fromhex("01020304")


def masked(payload):
    return K4 + bytes(byte ^ K4[i % 4] for i, byte in enumerate(payload))


def frame(first, payload=b""):
    length = len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + length.to_bytes(8, "big")
    return head + masked(payload)


def make(*, deflate=False, **limits):
    inflater = None
    if deflate:
        _, parameters = Deflate(server_max_window_bits=15, client_max_window_bits=15).accept([])
        inflater = parameters.inflater(Role.SERVER)
    return Inbound(masked=True, limits=Limits(**limits), inflater=inflater)


def feed(inbound, data, size=None):
    inbound.hungry = True
    size = size or max(1, len(data))
    for start in range(0, len(data), size):
        piece = bytearray(data[start : start + size])
        inbound.receive_data(piece, len(piece))
        while inbound.stopped and not inbound.full:
            inbound.resume()
    return inbound


VIOLATIONS = {
    "unmasked (5.1)": ("8102 6869", rules.MASK_MISSING),
    "RSV1 without extension (5.2)": ("C182 01020304 0000", rules.RESERVED_BITS),
    "RSV2 (5.2)": ("A180 01020304", rules.RESERVED_BITS),
    "RSV3 (5.2)": ("9180 01020304", rules.RESERVED_BITS),
    "opcode 3 (5.2)": ("8380 01020304", rules.OPCODE_UNKNOWN),
    "opcode 7 (5.2)": ("8780 01020304", rules.OPCODE_UNKNOWN),
    "opcode B (5.2)": ("8B80 01020304", rules.OPCODE_UNKNOWN),
    "opcode F (5.2)": ("8F80 01020304", rules.OPCODE_UNKNOWN),
    "5 in 16 bits (5.2)": ("81FE 0005 01020304", rules.LENGTH_NOT_MINIMAL),
    "125 in 16 bits (5.2)": ("82FE 007D 01020304", rules.LENGTH_NOT_MINIMAL),
    "5 in 64 bits (5.2)": ("81FF 0000000000000005 01020304", rules.LENGTH_NOT_MINIMAL),
    "65535 in 64 bits (5.2)": ("82FF 000000000000FFFF 01020304", rules.LENGTH_NOT_MINIMAL),
    "2**63 (5.2)": ("82FF 8000000000000000", rules.LENGTH_TOO_LARGE),
    "2**64-1 (5.2)": ("82FF FFFFFFFFFFFFFFFF", rules.LENGTH_TOO_LARGE),
    "2**62 (10.4)": ("82FF 4000000000000000 01020304", rules.MESSAGE_TOO_BIG),
    "64 MiB (10.4)": ("82FF 0000000004000000 01020304 FF", rules.MESSAGE_TOO_BIG),
    "continuation first (5.4)": ("8080 01020304", rules.CONTINUATION_WITHOUT_MESSAGE),
    "text in a message (5.4)": ("0180 01020304 8180 01020304", rules.MESSAGE_INTERRUPTED),
    "fragmented ping (5.5)": ("0980 01020304", rules.CONTROL_FRAGMENTED),
    "ping of 126 (5.5)": ("89FE 007E 01020304", rules.CONTROL_TOO_LONG),
    "close of one byte (5.5.1)": ("8881 01020304 00", rules.CLOSE_PAYLOAD_TOO_SHORT),
    "unfinished text (8.1)": ("018A 00000000 FFFFFFFFFFFFFFFFFFFF", rules.TEXT_NOT_UTF8),
    "text (8.1)": ("8185 00000000 CEBAEDA080", rules.TEXT_NOT_UTF8),
    "close reason (5.5.1)": ("8884 00000000 03E8FFFE", rules.TEXT_NOT_UTF8),
}


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize(("data", "rule"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_violations(data, rule, size):
    before = frame(0x81, b"before")
    inbound = feed(make(), before + bytes.fromhex(data) + frame(0x81, b"after"), size)
    assert inbound.failure.rule is rule
    assert inbound.messages == ["before"]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535])
def test_close_codes_that_may_not_be_sent(code):
    inbound = feed(make(), frame(0x88, code.to_bytes(2, "big")))
    assert inbound.failure.rule is rules.CLOSE_CODE_INVALID


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
)
def test_close_codes_that_may(code):
    inbound = feed(make(), frame(0x88, code.to_bytes(2, "big") + "é".encode()), 1)
    assert inbound.close == Close(code, "é")


def test_every_close_reason_of_ours_can_be_sent():
    for rule in rules.RULES:
        connection = Connection(Role.SERVER, Limits())
        assert connection.send_close(rule.code, f"{rule.text} ({rule.section})")


@pytest.mark.parametrize("size", [None, 1, 7])
def test_messages(size):
    messages = ["", b"", "text", b"x" * 125, b"x" * 126, "é" * 40000, b"y" * 65535, b"z" * 65536]
    data = b"".join(
        frame(0x81, m.encode()) if isinstance(m, str) else frame(0x82, m) for m in messages
    )
    assert feed(make(), data, size).messages == messages


def test_control_frames_between_fragments():
    data = frame(0x01, b"a") + frame(0x89, b"p") + frame(0x00, b"b") + frame(0x8A, b"q")
    inbound = feed(make(), data + frame(0x80, b"c"), 1)
    assert (inbound.messages, inbound.pings, inbound.pongs) == (["abc"], [b"p"], [b"q"])


def test_a_character_cut_in_two():
    snake = "\U0001f40d".encode()
    inbound = feed(
        make(), frame(0x01, snake[:1]) + frame(0x00, snake[1:3]) + frame(0x80, snake[3:])
    )
    assert inbound.messages == ["\U0001f40d"]


def test_a_character_that_is_never_finished():
    inbound = feed(make(), frame(0x01, b"a\xf0\x9f") + frame(0x80))
    assert inbound.failure.rule is rules.TEXT_NOT_UTF8


def test_nothing_counts_after_a_close_frame():
    inbound = feed(make(), frame(0x88) + frame(0x81, b"late") + frame(0x89, b"late"))
    assert (inbound.close, inbound.messages, inbound.pings) == (Close(1005), [], [])


@pytest.mark.parametrize(("size", "fits"), [(99, True), (100, True), (101, False)])
def test_message_size(size, fits):
    for data in (
        frame(0x82, bytes(size)),
        frame(0x02, bytes(50)) + frame(0x80, bytes(size - 50)),
    ):
        inbound = feed(make(message_size=100), data)
        assert inbound.messages == ([bytes(size)] if fits else [])
        assert (inbound.failure is None) is fits
        if not fits:
            assert inbound.failure.rule.code == CloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize(("count", "fits"), [(4, True), (5, True), (6, False)])
def test_number_of_fragments(count, fits):
    data = frame(0x02, b"x") + frame(0x00, b"x") * (count - 2) + frame(0x80, b"x")
    inbound = feed(make(fragments=5), data)
    assert inbound.messages == ([b"x" * count] if fits else [])


def test_two_hundred_thousand_fragments():
    data = frame(0x01, b"x") + frame(0x00, b"x") * 200_000
    inbound = feed(make(), data, 65536)
    assert inbound.message.held == 200_001
    assert feed(inbound, frame(0x80)).messages == ["x" * 200_001]


def test_only_the_latest_pings_are_kept():
    inbound = feed(make(pending_pongs=2), b"".join(frame(0x89, bytes([n])) for n in range(9)))
    assert inbound.pings == [b"\x07", b"\x08"]


def test_parsing_stops_when_full_and_goes_on():
    inbound = make(receive_buffer=1000)
    data = bytearray(frame(0x02, bytes(600)) + frame(0x80, bytes(600)) + frame(0x82, bytes(70000)))
    inbound.receive_data(data, len(data))
    assert inbound.full
    assert inbound.stopped
    assert inbound.messages == [bytes(1200)]
    assert inbound.take(Turns(9)) == bytes(1200)
    inbound.hungry = True
    inbound.resume()
    assert inbound.messages == [bytes(70000)]


def test_messages_are_taken_in_turn_until_the_turns_are_used_up():
    turns = Turns(2)
    inbound = feed(make(), b"".join(frame(0x81, text) for text in (b"a", b"b", b"c")))
    assert [inbound.take(turns) for _ in range(3)] == ["a", "b", None]
    assert len(inbound.messages) == 3
    turns.renew()
    assert [inbound.take(turns), inbound.take(turns)] == ["c", None]
    assert (inbound.messages, inbound.messages_taken) == ([], 3)
    # An empty queue costs no turn.
    assert turns.left == 1


def test_room_is_there_again_once_all_messages_are_taken():
    inbound = make(receive_buffer=100)
    data = bytearray(frame(0x82, bytes(60)) * 2)
    inbound.receive_data(data, len(data))
    assert inbound.full
    inbound.take(Turns(9))
    assert inbound.full
    inbound.take(Turns(9))
    assert not inbound.full


@pytest.mark.parametrize("deflate", [False, True])
def test_messages_are_discarded_as_they_come(deflate):
    """Those that have come stay, and what is held is counted as before; nothing is full any more."""
    inbound = make(receive_buffer=100, deflate=deflate)
    inbound = feed(inbound, frame(0x82, bytes(60)) * 2)
    inbound.hungry = False
    assert inbound.full
    held = inbound.held
    inbound.discard()
    assert not inbound.full
    more = (
        frame(0x81, b"whole")
        + frame(0x01, b"in ")
        + frame(0x80, b"pieces")
        + frame(0x82, bytes(70000))
    )
    if deflate:
        more += frame(0xC2, compress(bytes(1000)))
    feed(inbound, more + frame(0x01, b"half"))
    assert (inbound.held, len(inbound.messages)) == (held, 2)
    assert [inbound.take(Turns(1)) for _ in range(3)] == [bytes(60), bytes(60), None]
    feed(inbound, frame(0x80, b" and the rest") + frame(0x82, bytes(10)) + frame(0x88, b"\x03\xe8"))
    assert (inbound.messages, inbound.held) == ([], 0)
    assert inbound.close.code == 1000


def compress(payload, level=9):
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("fragment", [None, 500])
def test_a_bomb(fragment):
    bomb = compress(bytes(2**26))
    size = fragment or len(bomb)
    pieces = [bomb[start : start + size] for start in range(0, len(bomb), size)]
    data = b"".join(
        frame(
            (0xC2 if n == 0 else 0x80) if n == len(pieces) - 1 else (0x42 if n == 0 else 0), piece
        )
        for n, piece in enumerate(pieces)
    )
    inbound = feed(make(deflate=True), data, 65536)
    assert inbound.failure.rule is rules.MESSAGE_TOO_BIG
    assert inbound.messages == []


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (["f248cdc9c90700"], ["Hello"]),
        (["f248cdc9c90700", "f200110000"], ["Hello", "Hello"]),
        (["f3 48 cd c9 c9 07 00 00"], ["Hello"]),
        (["f248050000 00ffff cac9c90700"], ["Hello"]),
        (["00"], [""]),
    ],
)
def test_compressed_examples(data, expected, size):
    """RFC 7692, sections 7.2.3.1 to 7.2.3.6."""
    wire = b"".join(frame(0xC1, bytes.fromhex(payload)) for payload in data)
    assert feed(make(deflate=True), wire, size).messages == expected


def test_bad_compressed_data():
    inbound = feed(make(deflate=True), frame(0xC1, b"\xff\xff\xff\xff"))
    assert inbound.failure.rule is rules.COMPRESSED_DATA_INVALID


@pytest.mark.parametrize("first", [0x40, 0xC9])
def test_rsv1_where_it_has_no_meaning(first):
    inbound = feed(make(deflate=True), frame(0x01, b"a") + frame(first, b"b"))
    assert inbound.failure.rule is rules.RESERVED_BITS


@given(data=st.binary(max_size=300), cut=st.integers(1, 50))
def test_any_bytes_cut_anywhere(data, cut):
    """The same bytes give the same messages and the same end, however they are cut; nothing raises."""
    whole, cut_up = feed(make(deflate=True), data), feed(make(deflate=True), data, cut)
    assert whole.messages == cut_up.messages
    assert whole.close == cut_up.close
    assert (whole.failure and whole.failure.rule) == (cut_up.failure and cut_up.failure.rule)


@pytest.mark.parametrize("cut", [8, 9, 10, 1001, 2999])
def test_a_reader_comes_in_the_middle_of_a_frame(cut):
    """What was collected unmasked goes to it, and the mask goes on where it was."""
    inbound = make()
    payload = bytes(range(256)) * 12
    data = bytearray(frame(0x82, payload))
    inbound.receive_data(data[:cut], cut)
    assert inbound.message is not None
    assert inbound.message.held == cut - 8
    got = bytearray()

    class Sink(Discard):
        def write_nowait(self, data):
            got.extend(data)

    inbound.message.attach(Sink())
    inbound.receive_data(data[cut:], len(data) - cut)
    assert got == payload
    assert (inbound.message, inbound.messages) == (None, [])


@pytest.mark.parametrize("fragments", [1, 2])
def test_no_more_is_inflated_than_may_be_held_though_somebody_waits(fragments):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (compressor.compress(bytes(60_000)) + compressor.flush(zlib.Z_FULL_FLUSH))[:-4]
    data = frame(0xC2, bomb) if fragments == 1 else frame(0x42, bomb[:9]) + frame(0x80, bomb[9:])
    inbound = feed(make(deflate=True, receive_buffer=65536), data * 20)
    assert inbound.full
    assert inbound.stopped
    assert 65536 <= sum(map(len, inbound.messages)) <= 120_000
    turns, taken = Turns(1000), 0
    while (message := inbound.take(turns)) is not None:
        assert message == bytes(60_000)
        taken += 1
        if not inbound.messages:
            inbound.resume()
    assert taken == 20
    assert not inbound.stopped


def test_a_piece_of_a_message_is_no_news_to_who_wants_it_whole():
    inbound = make()
    inbound.hungry = True
    data = frame(0x82, bytes(1000))
    assert not feed(inbound, data[:500]).has_news()
    inbound.hungry = False
    assert inbound.has_news()
    assert feed(inbound, data[500:] + frame(0x01, b"x")).has_news()
    inbound.take(Turns(1))
    assert not inbound.has_news()
    inbound.message.attach(Discard())
    assert inbound.has_news()


@pytest.mark.parametrize("end", [frame(0x88), frame(0x83)])
def test_the_end_is_news_to_who_wants_a_message_whole(end):
    inbound = feed(make(), frame(0x01, b"x"))
    assert not inbound.has_news()
    assert feed(inbound, end).has_news()


@pytest.mark.parametrize(
    ("unit", "steps"),
    [(frame(0x89), 256), (frame(0x00), 255), (frame(0x8A, b"x"), 256)],
    ids=["pings", "empty fragments", "pongs"],
)
def test_parsing_stops_when_it_takes_long(unit, steps):
    """Others must run in between; what was not looked at is held, and nothing of it is lost."""
    inbound = make()
    beginning = frame(0x02, b"") if unit == frame(0x00) else b""
    data = bytearray(beginning + unit * 1000)
    inbound.receive_data(data, len(data))
    rest = (1000 - steps) * len(unit)
    assert (inbound.stopped, inbound.full, inbound.held) == (True, False, rest)
    resumed = 0
    while inbound.stopped:
        inbound.resume()
        resumed += 1
    assert (resumed, inbound.held, inbound.failure) == (3, 0, None)
    assert inbound.effort() == 1000 + bool(beginning)


def test_what_comes_while_it_is_stopped_is_left_for_later():
    inbound = make()
    pings = bytearray(frame(0x89) * 300)
    inbound.receive_data(pings, len(pings))
    for _ in range(3):
        inbound.receive_data(pings, len(pings))
    assert (inbound.stopped, inbound.effort()) == (True, 256)
    while inbound.stopped:
        inbound.resume()
    assert (inbound.effort(), inbound.held) == (1200, 0)


def test_what_comes_while_it_is_stopped_at_the_end_of_the_bytes_is_left_for_later():
    inbound = make(deflate=True)
    blocks = bytearray(frame(0x42, b"\x03\x00" * 5000))
    inbound.receive_data(blocks, len(blocks))
    assert (inbound.stopped, inbound.held) == (True, 0)
    end = bytearray(frame(0x80))
    inbound.receive_data(end, len(end))
    assert inbound.held == len(end)
    assert feed_rest(inbound).messages == [b""]


def feed_rest(inbound):
    while inbound.stopped:
        inbound.resume()
    return inbound


def test_parsing_stops_in_the_middle_of_blocks_that_end_again_and_again():
    """Two bytes each, which take a decoder each and come to nothing."""
    inbound = make(deflate=True)
    data = bytearray(frame(0xC2, b"\x03\x00" * 10_000))
    inbound.receive_data(data, len(data))
    assert (inbound.stopped, inbound.full, inbound.messages) == (True, False, [])
    assert inbound.effort() < 400
    while inbound.stopped:
        before = inbound.effort()
        inbound.resume()
        assert inbound.effort() - before < 400
    assert (inbound.messages, inbound.failure) == ([b""], None)


def test_messages_that_are_inflated_whole_stop_it_as_well():
    inbound = make(deflate=True, receive_buffer=2**20)
    compressor = zlib.compressobj(wbits=-15)
    small = compressor.compress(b"x") + compressor.flush(zlib.Z_SYNC_FLUSH)
    data = bytearray(frame(0xC2, small[:-4]) * 1000)
    inbound.receive_data(data, len(data))
    assert inbound.stopped
    assert 200 < len(inbound.messages) < 300
    while inbound.stopped:
        inbound.resume()
    assert inbound.messages == [b"x"] * 1000


def test_what_is_dropped_is_not_collected():
    inbound = make(message_size=None)
    inbound.discard()
    feed(inbound, frame(0x82, bytes(100_000))[:50_000])
    assert inbound.message.payload is None
    assert isinstance(inbound.message.sink, Discard)


def test_many_empty_messages_in_fragments_are_bounded():
    data = bytearray((frame(0x01) + frame(0x80)) * 100)
    inbound = make(receive_buffer=640)
    inbound.receive_data(data, len(data))
    assert (inbound.full, inbound.stopped, len(inbound.messages)) == (True, True, 10)


def test_no_memory_is_taken_for_what_a_header_announces():
    inbound = make(message_size=None)
    head = bytearray(b"\x82\xff" + (2**40).to_bytes(8, "big") + K4)
    inbound.receive_data(head, len(head))
    assert (inbound.failure, inbound.message.payload) == (None, None)


def test_bytes_that_were_not_looked_at_are_held():
    inbound = make(receive_buffer=10)
    data = bytearray(frame(0x82, bytes(10)) + frame(0x01, b"a") + frame(0x80, b"b"))
    inbound.receive_data(data, len(data))
    assert inbound.stopped
    before = inbound.held
    ping = bytearray(frame(0x89))
    inbound.receive_data(ping, len(ping))
    assert inbound.held == before + len(ping)
    inbound.refuse()
    assert not inbound.stopped


def test_data_behind_a_final_block_in_one_frame():
    """A message that came whole is inflated in one step, and what is behind its first end is not lost."""
    inbound = make(deflate=True)
    blocks = []
    for part in (b"first", b"second"):
        compressor = zlib.compressobj(wbits=-15)
        blocks.append(compressor.compress(part) + compressor.flush())
    feed(inbound, frame(0xC2, b"".join(blocks) + b"\0"))
    assert inbound.messages == [b"firstsecond"]
