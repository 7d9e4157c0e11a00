"""Compressing and inflating (RFC 7692, section 7.2), against zlib used independently."""

from __future__ import annotations

import itertools
import random
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyws.core.deflate_streams import Deflater, InflateError, Inflater

TAIL = b"\x00\x00\xff\xff"
ROOM = 2**20
HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")


@pytest.fixture(params=["zlib", "zlib-ng", "isal"])
def implementation(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip({"zlib-ng": "zlib_ng"}.get(request.param, request.param))
    return request.param


def top_level(implementation: str) -> int:
    return 3 if implementation == "isal" else 9


def deflater(takeover: bool = True, bits: int = 12, implementation: Any = "zlib") -> Deflater:
    return Deflater(implementation, min(6, top_level(implementation)), 5, bits, takeover)


def inflater(takeover: bool = True, bits: int = 12, implementation: Any = "zlib") -> Inflater:
    return Inflater(implementation, bits, takeover)


def whole(inflater: Inflater, *chunks: bytes, room: int = ROOM) -> bytes:
    """One message through an inflater, everything taken."""
    out = bytearray()

    def take(piece: bytes) -> None:
        assert len(piece) <= room
        out.extend(piece)

    for chunk in chunks:
        take(inflater.decompress(chunk, room))
        while inflater.pending:
            take(inflater.decompress(b"", room))
    take(inflater.finish(room))
    while inflater.pending:
        take(inflater.finish(room))
    return bytes(out)


def taken_at_once(inflater: Inflater, data: bytes, room: int) -> bytes:
    """One message through an inflater, given whole with its end."""
    out = inflater.finish(room, data)
    while inflater.pending:
        piece = inflater.finish(room)
        assert len(piece) <= room
        out += piece
    return out


class Peer:
    """An independent reader that keeps exactly to its window.

    zlib looks back further than its window into the buffer it writes to, unless that buffer
    has room for one byte.
    """

    def __init__(self, bits: int, takeover: bool) -> None:
        self.bits, self.takeover = bits, takeover
        self.decoder = zlib.decompressobj(-bits)

    def read(self, data: bytes, end: bool = True) -> bytes:
        out, data = bytearray(), data + TAIL * end
        while True:
            piece = self.decoder.decompress(data, 1)
            data = self.decoder.unconsumed_tail
            if not piece:
                break
            out += piece
        if end and not self.takeover:
            self.decoder = zlib.decompressobj(-self.bits)
        return bytes(out)


def raw(*parts: bytes, bits: int = 12, final: bool = False) -> bytes:
    """What an independent sender makes of a message, flushed after each part."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -bits)
    out = b""
    for part in parts:
        out += compressor.compress(part)
        out += compressor.flush(zlib.Z_FINISH if final else zlib.Z_SYNC_FLUSH)
    return out if final else out[:-4]


# The vectors of RFC 7692, sections 7.2.3.1 to 7.2.3.6.


def test_vector_one_block(implementation: Any) -> None:
    assert whole(inflater(implementation=implementation), HELLO) == b"Hello"
    assert deflater().compress(b"Hello") == HELLO


def test_vector_two_fragments(implementation: Any) -> None:
    parts = [bytes.fromhex("f2 48 cd"), bytes.fromhex("c9 c9 07 00")]
    assert whole(inflater(implementation=implementation), *parts) == b"Hello"


def test_vector_shared_window(implementation: Any) -> None:
    reader, second = inflater(implementation=implementation), bytes.fromhex("f2 00 11 00 00")
    assert [whole(reader, HELLO), whole(reader, second)] == [b"Hello", b"Hello"]
    writer = deflater()
    assert [writer.compress(b"Hello"), writer.compress(b"Hello")] == [HELLO, second]
    writer = deflater(takeover=False)
    assert [writer.compress(b"Hello"), writer.compress(b"Hello")] == [HELLO, HELLO]
    forgetful = inflater(takeover=False, implementation=implementation)
    assert whole(forgetful, HELLO) == b"Hello"
    with pytest.raises(InflateError, match="bad"):
        whole(forgetful, second)


def test_vector_stored_block(implementation: Any) -> None:
    data = bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 00")
    assert whole(inflater(implementation=implementation), data) == b"Hello"
    assert Deflater("zlib", 0, 5, 12, True).compress(b"Hello") == data


def test_vector_final_block(implementation: Any) -> None:
    data = bytes.fromhex("f3 48 cd c9 c9 07 00 00")
    assert whole(inflater(implementation=implementation), data) == b"Hello"


def test_vector_two_blocks(implementation: Any) -> None:
    data = bytes.fromhex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00")
    assert whole(inflater(implementation=implementation), data) == b"Hello"
    writer = deflater()
    assert writer.fragment(b"He") + writer.finish(b"llo") == data


@pytest.mark.parametrize("data", [b"\x00", b"\x02\x00", b"\x01\x00\x00\xff\xff\x00", b""])
def test_empty_message(implementation: Any, data: bytes) -> None:
    reader = inflater(implementation=implementation)
    assert [whole(reader, m) for m in (data, HELLO, data, HELLO)] == [b"", b"Hello"] * 2


def test_empty_messages_out(implementation: Any) -> None:
    writer, peer = deflater(implementation=implementation), Peer(12, True)
    for message in (b"", b"", b"Hello", b"", b"", b"Hello"):
        packed = writer.compress(message)
        assert packed
        assert peer.read(packed) == message
    assert writer.compress(b"") == b"\x00"


# Every agreement, against a reader that keeps to it and a sender that uses it up.


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("takeover", [True, False])
def test_window_is_kept(implementation: Any, bits: int, takeover: bool) -> None:
    chance = random.Random(bits)
    block = chance.randbytes((1 << bits) + 99)
    messages = [block[:700], block + block[:300], block, bytes(400) + block[-300:], b"", b"x"]
    for level in {0, 1, top_level(implementation)}:
        writer = Deflater(implementation, level, 5, bits, takeover)
        peer = Peer(bits, takeover)
        reader = inflater(takeover, bits, implementation)
        for message in messages:
            packed = writer.compress(message)
            assert peer.read(packed) == message
            assert whole(reader, packed) == message


def test_the_judge_is_strict() -> None:
    block = random.Random(1).randbytes(800)
    writer = deflater(bits=12)
    with pytest.raises(zlib.error, match="too far back"):
        Peer(9, True).read(writer.compress(block * 2))


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("takeover", [True, False])
def test_reads_what_zlib_writes(implementation: Any, bits: int, takeover: bool) -> None:
    chance = random.Random(bits)
    block = chance.randbytes((1 << bits) - 300)
    messages = [block, block[:300], block * 2, b"x", bytes(3 << bits), block]
    reader = inflater(takeover, bits, implementation)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -bits)
    for message in messages:
        packed = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert whole(reader, packed[:-4]) == message
        if not takeover:
            compressor = zlib.compressobj(9, zlib.DEFLATED, -bits)


texts = st.binary(max_size=300) | st.builds(
    lambda text, times: text * times, st.binary(max_size=40), st.integers(0, 200)
)


@settings(deadline=None)
@given(
    st.lists(st.lists(texts, min_size=1, max_size=4), max_size=5),
    st.integers(8, 15),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_fragments(messages: Any, bits: int, takeover: bool, chance: random.Random) -> None:
    writer, peer = deflater(takeover, bits), Peer(bits, takeover)
    reader = inflater(takeover, bits)
    for parts in messages:
        sent = []
        for part in parts[:-1]:
            sent.append(writer.fragment(part))
            assert peer.read(sent[-1], end=False) == part
        sent.append(writer.finish(parts[-1]))
        assert peer.read(sent[-1]) == parts[-1]
        assert any(sent)
        packed = b"".join(sent)
        cuts = sorted(chance.randrange(len(packed) + 1) for _ in range(3))
        chunks = [packed[a:b] for a, b in itertools.pairwise([0, *cuts, len(packed)])]
        assert whole(reader, *chunks, room=chance.choice([1, 2, 50, ROOM])) == b"".join(parts)
        if chance.random() < 0.3:
            writer.reset()


def test_fragments_of_every_implementation(implementation: Any) -> None:
    chance = random.Random(7)
    for takeover in (True, False):
        writer = deflater(takeover, implementation=implementation)
        peer, reader = Peer(12, takeover), inflater(takeover, implementation=implementation)
        for _ in range(100):
            parts = [chance.choices(b"abc", k=chance.randrange(90)) for _ in range(4)]
            sent = [writer.fragment(bytes(part)) for part in parts] + [writer.finish()]
            assert sent[-1] == (b"" if any(parts) else b"\x00")
            for data, part in zip(sent, parts, strict=False):
                assert peer.read(data, end=False) == bytes(part)
            assert peer.read(sent[-1]) == b""
            step = chance.choice([1, 3, ROOM])
            packed = b"".join(sent)
            chunks = [packed[i : i + step] for i in range(0, len(packed), step)]
            room = chance.choice([1, 7, ROOM])
            assert whole(reader, *chunks, room=room) == b"".join(map(bytes, parts))


def test_empty_fragments() -> None:
    writer = deflater()
    assert [writer.fragment(b""), writer.finish()] == [b"", b"\x00"]
    assert [writer.fragment(b""), writer.finish(b"Hello")] == [b"", HELLO]


def test_compress_within_a_message() -> None:
    writer = deflater()
    writer.fragment(b"a")
    with pytest.raises(RuntimeError, match="finished first"):
        writer.compress(b"b")


def test_any_bytes_like() -> None:
    writer, reader = deflater(takeover=False), inflater(takeover=False)
    assert writer.compress(bytearray(b"Hello")) == writer.compress(memoryview(b"Hello")) == HELLO
    scratch = bytearray(HELLO)
    assert reader.decompress(memoryview(scratch), 2) == b"He"
    scratch[:] = bytes(len(scratch))  # the caller reads the next bytes into it
    scratch.clear()  # and no view of ours holds it
    assert reader.decompress(b"", 9) + reader.finish(9) == b"llo"


@pytest.mark.parametrize("within", [True, False])
def test_reset(implementation: Any, within: bool) -> None:
    writer, peer = deflater(implementation=implementation), Peer(12, True)
    for _ in range(3):
        assert peer.read(writer.compress(b"Hello" * 20)) == b"Hello" * 20
        if within:
            assert peer.read(writer.fragment(b"Hello"), end=False) == b"Hello"
        writer.reset()
        if within:
            assert peer.read(writer.finish(b"Hello")) == b"Hello"


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("begun", [False, True], ids=["whole", "in a fragment"])
def test_compressed_ahead(implementation: Any, begun: bool, takeover: bool) -> None:
    """Taken piece by piece or dropped in the middle, the peer reads each message right."""
    writer = deflater(takeover=takeover, implementation=implementation)
    peer = Peer(12, takeover)
    pieces = [random.Random(seed).randbytes(3000) + b"Hello" * 100 for seed in range(3)]
    assert peer.read(writer.compress(b"Hello" * 20)) == b"Hello" * 20
    for dropped in (False, True, False):
        start = b"start Hello" if begun else b""
        if begun:
            assert peer.read(writer.fragment(start), end=False) == start
        for piece in pieces[:-1]:
            writer.compress_ahead(piece)
        expected = b"".join(pieces)
        if dropped:
            writer.reset()
            expected = pieces[-1]
        finish = writer.finish if begun else writer.compress
        assert peer.read(finish(pieces[-1])) == expected


# Bounds.


def bomb(size: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    out = [compressor.compress(bytes(2**20)) for _ in range(size >> 20)]
    return b"".join([*out, compressor.flush(zlib.Z_SYNC_FLUSH)])[:-4]


@pytest.mark.parametrize("chunk", [500, 2**20])
def test_bomb(implementation: Any, chunk: int) -> None:
    size = 2**24
    data, room = bomb(size), 2**16
    reader = inflater(implementation=implementation)
    total = 0
    tracemalloc.start()
    try:
        for start in range(0, len(data), chunk):
            piece = reader.decompress(data[start : start + chunk], room)
            total += len(piece)
            while reader.pending:
                piece = reader.decompress(b"", room)
                assert len(piece) <= room
                total += len(piece)
        total += len(reader.finish(room))
        assert not reader.pending
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 2 * room + 2 * len(data) + 2**17


def test_bomb_stops_at_the_limit(implementation: Any) -> None:
    reader = inflater(implementation=implementation)
    limit, got = 2**20, 0
    data = bomb(2**24)
    got += len(reader.finish(limit + 1, data))
    while reader.pending and got <= limit:
        got += len(reader.finish(limit + 1 - got))
    assert got == limit + 1


def test_many_final_blocks_are_linear(implementation: Any) -> None:
    reader = inflater(implementation=implementation)
    assert whole(reader, b"\x03\x00" * 2**14) == b""
    assert whole(reader, raw(b"a", final=True) * 2**13) == b"a" * 2**13


@pytest.mark.parametrize("room", [1, 2, 7, 1000, ROOM])
@pytest.mark.parametrize("step", [1, 5, ROOM])
def test_room_and_cuts_do_not_matter(implementation: Any, room: int, step: int) -> None:
    chance = random.Random(room)
    message = bytes(chance.choices(b"abcdef", k=4000)) + bytes(3000) + chance.randbytes(3000)
    reader = inflater(implementation=implementation)
    for packed in (raw(message[:5000], message[5000:]), raw(message, final=True) + b"\x00"):
        chunks = [packed[i : i + step] for i in range(0, len(packed), step)]
        assert whole(reader, *chunks, room=room).hex() == message.hex()
        # All at once, taken afterwards.
        out = b"".join(reader.decompress(chunk, room) for chunk in chunks) + reader.finish(room)
        while reader.pending:
            out += reader.finish(room)
        assert out == message


def test_large_input_is_taken_in_pieces(implementation: Any) -> None:
    message = random.Random(3).randbytes(100_000)
    reader = inflater(implementation=implementation)
    assert whole(reader, raw(message)) == message
    got = reader.finish(ROOM, raw(message))
    assert 0 < len(got) < len(message)
    while reader.pending:
        got += reader.decompress(b"", ROOM)
    assert got == message


def test_room_must_be_given() -> None:
    reader = inflater()
    with pytest.raises(ValueError, match="at least 1"):
        reader.decompress(HELLO, 0)
    with pytest.raises(ValueError, match="at least 1"):
        reader.finish(0, HELLO)
    assert whole(reader, HELLO) == b"Hello"


def test_no_data_behind_the_end() -> None:
    reader = inflater()
    assert reader.finish(1, HELLO) == b"H"
    assert reader.pending
    with pytest.raises(RuntimeError, match="taken first"):
        reader.decompress(HELLO, 1)
    with pytest.raises(RuntimeError, match="taken first"):
        reader.finish(1, HELLO)
    assert reader.finish(ROOM) == b"ello"
    assert not reader.pending
    assert reader.finish(ROOM) == b""


# Final blocks (RFC 7692, section 7.2.3.4).


def continued(first: bytes, second: bytes) -> bytes:
    """The second message of a sender that ends each with a final block, but keeps its window."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12, 8, zlib.Z_DEFAULT_STRATEGY, first)
    return compressor.compress(second) + compressor.flush(zlib.Z_FINISH)


@pytest.mark.parametrize("room", [1, 4, ROOM])
@pytest.mark.parametrize("zero", [b"\x00", b""])
def test_final_block_in_every_message(implementation: Any, room: int, zero: bytes) -> None:
    one, two = b"one and one makes two", b"two and one and one makes three"
    reader = inflater(implementation=implementation)
    for packed, message in [
        (raw(one, final=True), one),
        (continued(one, two), two),
        (continued(one + two, one * 2), one * 2),
    ]:
        assert whole(reader, packed + zero, room=room) == message
    assert whole(reader, HELLO, room=room) == b"Hello"
    reader = inflater(implementation=implementation)
    for packed, message in [(raw(one, final=True), one), (continued(one, two), two)]:
        assert taken_at_once(reader, packed + zero, room) == message


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("room", [1, 4, ROOM])
@pytest.mark.parametrize("step", [1, 3, ROOM])
def test_data_behind_a_final_block(
    implementation: Any, takeover: bool, room: int, step: int
) -> None:
    one, two = b"one and one makes two", b"two and one and one makes three"
    reader = inflater(takeover, implementation=implementation)
    packed = raw(one, final=True) + continued(one, two) + HELLO
    chunks = [packed[i : i + step] for i in range(0, len(packed), step)]
    for _ in range(2):
        assert whole(reader, *chunks, room=room) == one + two + b"Hello"
        assert taken_at_once(reader, packed, room) == one + two + b"Hello"


def test_window_across_many_final_blocks(implementation: Any) -> None:
    chance = random.Random(4)
    reader, sent = inflater(implementation=implementation), b""
    for _ in range(40):
        start = max(0, len(sent) - 3700)
        message = chance.randbytes(chance.randrange(300)) + sent[start : start + 200]
        assert whole(reader, continued(sent[-4096:], message) + b"\x00") == message
        sent += message


def test_read_ahead_into_the_next_stream() -> None:
    """isal may have read what follows a final block, from a chunk that is gone by then."""
    pytest.importorskip("isal")
    reader = inflater(implementation="isal")
    first = raw(b"one", final=True)
    assert reader.decompress(first + HELLO[:3], 1) == b"o"
    out = reader.decompress(HELLO[3:5], 1)
    out += reader.finish(1, HELLO[5:])
    while reader.pending:
        out += reader.finish(1)
    assert out == b"neHello"


# Bad data.


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x07",
        b"\x00\x05\x00\x00\x00Hello",
        HELLO[:3],
        HELLO[:-2],
        raw(b"Hello", final=True)[:-2],
        bytes.fromhex("00 06 00 f9 ff 48"),
        HELLO + b"\xff",
        raw(b"a", final=True) + b"\x07",
        b"\xf2\x00\x11\x00\x00",
    ],
)
def test_bad_data(implementation: Any, data: bytes) -> None:
    reader = inflater(implementation=implementation)
    with pytest.raises(InflateError):
        whole(reader, data)
    assert not reader.pending
    with pytest.raises(InflateError):
        taken_at_once(inflater(implementation=implementation), data, ROOM)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), st.integers(1, 9), st.sampled_from(["zlib", "zlib-ng", "isal"]))
def test_any_bytes(data: bytes, step: int, implementation: Any) -> None:
    pytest.importorskip({"zlib-ng": "zlib_ng"}.get(implementation, implementation))
    chunks = [data[i : i + step] for i in range(0, len(data), step)]
    results = []
    for pieces, room in (([data], ROOM), (chunks, ROOM), (chunks, 3)):
        try:
            results.append(whole(inflater(implementation=implementation), *pieces, room=room))
        except InflateError:
            results.append(b"bad")
    for room in (ROOM, 3):
        try:
            results.append(taken_at_once(inflater(implementation=implementation), data, room))
        except InflateError:
            results.append(b"bad")
    assert len(set(results)) == 1


def test_cut_off_anywhere(implementation: Any) -> None:
    message = bytes(random.Random(2).choices(b"abcdefgh", k=500))
    packed = raw(message)
    for takeover in (True, False):
        for end in range(1, len(packed)):
            with pytest.raises(InflateError):
                whole(inflater(takeover, implementation=implementation), packed[:end])
            with pytest.raises(InflateError):
                taken_at_once(inflater(takeover, implementation=implementation), packed[:end], ROOM)


def test_nothing_is_made_before_it_is_needed() -> None:
    writer, reader = deflater(), inflater()
    assert writer._compressor is None
    assert reader._decompressor is None
    assert not reader._window
    assert whole(reader, writer.compress(bytes(100_000))) == bytes(100_000)
    assert reader._decompressor is None
    assert len(reader._window) == 4096
    for half in (deflater(takeover=False), inflater(takeover=False)):
        assert not hasattr(half, "__dict__")
    forgetful = inflater(takeover=False)
    whole(forgetful, HELLO)
    assert not forgetful._window


def test_a_message_that_came_whole(implementation: Any) -> None:
    writer, reader = (
        deflater(implementation=implementation),
        inflater(implementation=implementation),
    )
    texts = ["one", "one and two", "", "one and two and three", "\u20ac" * 3000]
    for number, text in enumerate(texts, 1):
        assert reader.whole(writer.compress(text.encode()), 9000, True) == text
        assert (reader.size, reader.decoders) == (len(text.encode()), number)
    assert reader.whole(writer.compress(b"\xff\x00"), 9000, False) == b"\xff\x00"
    assert reader.whole(writer.compress(b"three"), 5, False) == b"three"


def test_a_message_that_came_whole_without_takeover(implementation: Any) -> None:
    writer = deflater(takeover=False, implementation=implementation)
    reader = inflater(takeover=False, implementation=implementation)
    for _ in range(2):
        assert reader.whole(writer.compress(b"alone"), 100, False) == b"alone"
    assert not reader._window


LONG = random.Random(1).randbytes(8200)


@pytest.mark.parametrize(
    ("data", "limit", "text"),
    [
        (b"four", 3, False),
        (b"\xe2\x82", 100, True),
        (bytes(65537), 2**20, False),
        (LONG, 2**20, False),
        (None, 100, False),
    ],
    ids=["over the limit", "no UTF-8", "much", "long", "cut off"],
)
def test_a_message_that_is_left_to_the_steps(
    implementation: Any, data: bytes | None, limit: int, text: bool
) -> None:
    writer, reader = (
        deflater(implementation=implementation),
        inflater(implementation=implementation),
    )
    assert reader.whole(writer.compress(b"before"), 100, False) == b"before"
    wire = HELLO[:3] if data is None else writer.compress(data)
    assert reader.whole(wire, limit, text) is None
    assert not reader.pending
    assert reader.size == 6
    if data is None:
        with pytest.raises(InflateError):
            reader.finish(ROOM, wire)
    else:
        assert taken_at_once(reader, wire, ROOM) == data
        assert (
            reader.whole(writer.compress(b"before" + data[:50]), 100, False)
            == b"before" + data[:50]
        )


def test_bad_data_is_left_to_the_steps(implementation: Any) -> None:
    reader = inflater(implementation=implementation)
    assert reader.whole(b"\xff\xff\xff\xff", 100, False) is None
    assert reader.whole(HELLO + b"\x03\x00more", 100, False) is None
    assert reader.decoders == 2
    assert reader.whole(HELLO, 100, True) == "Hello"
