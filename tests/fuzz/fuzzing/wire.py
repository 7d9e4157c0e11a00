"""Targets: the scanner, and everything that parses frames."""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from fuzzing import corpus
from fuzzing.builds import builds
from fuzzing.differential import check_case, check_seed
from fuzzing.frames import Case
from fuzzing.reference import Settings

BUILDS = builds()
_LIMITS = [None, 2**20, 1000, 126, 5, 1]


class Scanned(NamedTuple):
    """What ``scan`` is called with."""

    data: bytes
    before: int
    after: int
    masked: bool
    limit: int


def plain_frame(data, masked, limit):
    """Return the message of the whole, plain frame at the front of ``data``, and its size.

    Or ``None``: it is for the rules, not for the scanner.
    """
    smallest = 6 if masked else 2
    if len(data) < smallest or data[0] not in {0x81, 0x82} or (data[1] >= 0x80) != masked:
        return None
    length, header = data[1] & 0x7F, smallest
    if length == 126:
        header += 2
        length = int.from_bytes(data[2:4])
        if length < 126:
            return None
    elif length == 127:
        return None
    if len(data) < header + length or length > limit:
        return None
    key = data[header - 4 : header] if masked else bytes(4)
    payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(data[header : header + length]))
    if data[0] == 0x82:
        return payload, header + length
    try:
        return payload.decode(), header + length
    except UnicodeDecodeError:
        return None


def check_scan(drawn):
    """Compare ``scan`` of each build with ``plain_frame`` over and over."""
    data, before, after, masked, limit = drawn
    expected, position = [], 0
    while (found := plain_frame(data[position:], masked, limit)) is not None:
        expected.append(found[0])
        position += found[1]
    for build in BUILDS:
        buffer = bytearray(b"\xa5" * before + data + b"\x5a" * after)
        messages = []
        stop = build.scan.scan(buffer, before, before + len(data), masked, limit, messages, None)
        assert stop == before + position
        assert messages == expected
        assert list(map(type, messages)) == list(map(type, expected))
        # What was not taken is as it was: the rules look at it next.
        assert buffer[stop:] == data[position:] + b"\x5a" * after
        assert buffer[:before] == b"\xa5" * before


SCAN_INPUTS = st.builds(
    Scanned,
    corpus.anything("frames"),
    st.integers(0, 9),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from([2**40, 1000, 126, 125, 5, 1]),
)


def scan_corpus():
    """Give each seed as it is, for both roles."""
    for name, data in corpus.seeds("frames").items():
        for masked in (False, True):
            yield f"{name}, masked={masked}", Scanned(data, 3, 3, masked, 2**40)


@st.composite
def inbound_inputs(draw):
    """Draw a case for the differential test."""
    settings = Settings(
        masked=draw(st.booleans()),
        deflate=draw(st.booleans()),
        takeover=draw(st.booleans()),
        message_size=draw(st.sampled_from(_LIMITS)),
        fragments=draw(st.none() | st.integers(1, 3)),
    )
    pieces = draw(corpus.cuts(draw(corpus.anything("frames"))))
    return Case(draw(st.integers(0, 999)), settings, draw(st.sampled_from([1, 64, 65536])), pieces)


def check_inbound(case):
    """Compare what each build makes of ``case`` with the reference."""
    check_case(BUILDS, case)


def inbound_corpus():
    """Give each seed whole and byte by byte, for both roles, with little room and with much."""
    for name, data in corpus.seeds("frames").items():
        single = [data[i : i + 1] for i in range(len(data))]
        for masked in (False, True):
            settings: Any = Settings(masked=masked, deflate=True)
            for room in (1, 65536):
                for seed in range(2):
                    key = f"{name}, masked={masked}, room {room}, {seed}"
                    yield key, Case(seed, settings, room, [data])
                    yield f"{key}, byte by byte", Case(seed, settings, room, single)


def check_stream(seed):
    """Do what ``test_differential.py`` does, for one seed."""
    check_seed(BUILDS, seed)
