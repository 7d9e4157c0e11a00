"""One message while it arrives, piece by piece, collected and handed to a sink."""

import zlib

import pytest

from anyws.core import rules
from anyws.core.deflate_streams import Inflater
from anyws.core.message import Discard, IncomingMessage
from anyws.enums import Opcode
from anyws.errors import ProtocolError

HELLO = bytes.fromhex("f248cdc9c90700")


class Collector:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.pieces = []
        self.ended = 0

    @property
    def size(self):
        return sum(map(len, self.pieces))

    def write_nowait(self, data):
        assert not self.ended
        self.pieces.append(data)

    def feed_eof(self):
        self.ended += 1


def text(limit=None, *, compressed=False):
    return IncomingMessage(Opcode.TEXT, limit, Inflater("zlib", 15, True) if compressed else None)


def binary(limit=None, *, compressed=False):
    return IncomingMessage(Opcode.BINARY, limit, Inflater("zlib", 15, True) if compressed else None)


def deflated(payload):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def refused(rule, message, piece, *, last=False):
    with pytest.raises(ProtocolError) as caught:
        message.take(piece, last=last)
        # A message that came in one piece is validated when it is decoded.
        message.whole()
    assert caught.value.rule is rule


@pytest.mark.parametrize(("make", "whole"), [(text, "Hello"), (binary, b"Hello")])
@pytest.mark.parametrize(
    "pieces",
    [[b"Hello"], [b"He", b"llo"], [b"", b"Hello"], [b"Hello", b""], [b"H", b"", b"el", b"lo"]],
)
def test_pieces_are_joined(make, whole, pieces):
    message = make()
    for piece in pieces[:-1]:
        message.take(piece, last=False)
        assert not message.complete
    message.take(pieces[-1], last=True)
    assert message.complete
    assert message.whole() == whole
    assert (message.size, message.held) == (5, 5)


@pytest.mark.parametrize(("make", "whole"), [(text, ""), (binary, b"")])
def test_an_empty_message(make, whole):
    message = make()
    message.take(b"", last=False)
    message.take(b"", last=True)
    assert message.whole() == whole


def test_what_has_come_goes_to_the_sink_and_then_the_rest():
    message, sink = text(), Collector()
    message.take(b"He", last=False)
    message.take(b"ll", last=False)
    message.attach(sink)
    assert message.held == sink.size == 4
    message.take(b"", last=False)
    message.take(b"o", last=True)
    assert sink.pieces == [b"Hell", b"o"]
    # The sink may outlive the buffer that the bytes came from.
    assert [type(piece) for piece in sink.pieces] == [bytes, bytes]
    assert (message.complete, sink.ended, message.size) == (True, 1, 5)


def test_a_sink_gets_no_empty_piece():
    message, sink = binary(), Collector()
    message.attach(sink)
    message.take(b"", last=False)
    message.take(b"", last=True)
    assert (sink.pieces, sink.ended, message.complete) == ([], 1, True)


def test_a_message_that_nobody_wants_holds_nothing():
    message = binary()
    message.take(bytes(1000), last=False)
    assert message.held == 1000
    message.attach(Discard())
    assert message.held == 0
    message.take(bytes(1000), last=True)
    assert (message.held, message.size, message.complete) == (0, 2000, True)


@pytest.mark.parametrize("sink", [False, True])
def test_text_is_validated_as_it_comes(sink):
    message = text()
    if sink:
        message.attach(Collector())
    message.take(b"\xf0\x9f", last=False)
    message.take(b"\x90", last=False)
    refused(rules.TEXT_NOT_UTF8, message, b"x")
    assert not message.complete


@pytest.mark.parametrize("sink", [False, True])
def test_text_ends_with_a_whole_character(sink):
    message = text()
    if sink:
        message.attach(Collector())
    message.take(b"a\xc3", last=False)
    refused(rules.TEXT_NOT_UTF8, message, b"", last=True)
    assert not message.complete


@pytest.mark.parametrize("sink", [False, True])
def test_the_only_piece_is_validated(sink):
    message = text()
    if sink:
        message.attach(Collector())
    refused(rules.TEXT_NOT_UTF8, message, b"\xc3", last=True)


def test_binary_is_not_validated():
    message = binary()
    message.take(b"\xff", last=False)
    message.take(b"\xc3", last=True)
    assert message.whole() == b"\xff\xc3"


@pytest.mark.parametrize("sink", [False, True])
@pytest.mark.parametrize(("sizes", "fits"), [([10], True), ([4, 6], True), ([11], False), ([4, 7], False)])  # fmt: skip
def test_the_limit_counts_what_has_come(sink, sizes, fits):
    message = binary(10)
    if sink:
        message.attach(Collector())
    for size in sizes[:-1]:
        message.take(bytes(size), last=False)
    if fits:
        message.take(bytes(sizes[-1]), last=True)
        assert message.size == 10
    else:
        refused(rules.MESSAGE_TOO_BIG, message, bytes(sizes[-1]), last=True)


def test_a_frame_is_judged_by_its_declared_length():
    message = binary(10)
    message.judge_frame(10)
    message.take(bytes(4), last=False)
    message.judge_frame(6)
    with pytest.raises(ProtocolError, match="more than 10 bytes") as caught:
        message.judge_frame(7)
    assert caught.value.rule is rules.MESSAGE_TOO_BIG


def test_a_compressed_frame_may_be_longer_than_the_limit():
    """Stored blocks take more room than what is in them, but never twice as much."""
    message = binary(10, compressed=True)
    assert message.compressed
    message.judge_frame(20 + 1024)
    with pytest.raises(ProtocolError, match="1045 compressed bytes"):
        message.judge_frame(20 + 1025)


@pytest.mark.parametrize("compressed", [False, True])
def test_without_a_limit_no_length_is_refused(compressed):
    message = binary(compressed=compressed)
    assert message.compressed is compressed
    message.judge_frame(2**62)


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_compressed_message_in_two_pieces(cut):
    message = text(5, compressed=True)
    message.take(HELLO[:cut], last=False)
    message.take(HELLO[cut:], last=True)
    while message.busy:
        message.step()
    assert (message.whole(), message.size) == ("Hello", 5)


@pytest.mark.parametrize("sink", [False, True])
def test_inflating_goes_in_steps(sink):
    collector = Collector()
    message = binary(compressed=True)
    if sink:
        message.attach(collector)
    message.take(deflated(bytes(200_000)), last=True)
    steps = [message.size]
    while message.busy:
        assert not message.complete
        message.step()
        steps.append(message.size - sum(steps))
    assert message.complete
    assert max(steps) == 65536
    assert sum(steps) == message.size == 200_000
    held = b"".join(collector.pieces) if sink else message.whole()
    assert held == bytes(200_000)
    # Nothing more is due, and nothing more comes.
    message.step()
    assert (message.size, collector.ended) == (200_000, int(sink))


def test_no_more_is_inflated_than_tells_that_it_is_too_big():
    message, sink = binary(100, compressed=True), Collector()
    message.attach(sink)
    refused(rules.MESSAGE_TOO_BIG, message, deflated(bytes(10**6)), last=True)
    assert (message.size, sink.ended) == (0, 0)


def test_the_limit_holds_over_the_steps():
    message = binary(100_000, compressed=True)
    message.take(deflated(bytes(10**6)), last=True)
    assert message.size == 65536
    with pytest.raises(ProtocolError) as caught:
        message.step()
    assert caught.value.rule is rules.MESSAGE_TOO_BIG
    assert message.size == 65536


def test_a_step_that_is_not_due_does_nothing():
    for message in (text(), text(compressed=True)):
        message.step()
        assert (message.busy, message.size, message.complete) == (False, 0, False)


@pytest.mark.parametrize(("piece", "last"), [(b"\xff", False), (HELLO[:3], True)])
def test_bad_and_unfinished_deflate_data(piece, last):
    refused(rules.COMPRESSED_DATA_INVALID, text(compressed=True), piece, last=last)


def test_inflated_text_is_validated_across_steps():
    """The limit of a step falls into a character."""
    message = text(compressed=True)
    message.take(deflated(b"x" + "é".encode() * 40_000), last=True)
    while message.busy:
        message.step()
    assert message.whole() == "x" + "é" * 40_000
    message = text(compressed=True)
    message.take(deflated(b"x" * 65536 + b"\xff"), last=True)
    with pytest.raises(ProtocolError) as caught:
        message.step()
    assert caught.value.rule is rules.TEXT_NOT_UTF8
