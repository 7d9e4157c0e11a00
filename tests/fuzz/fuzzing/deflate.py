"""Targets: permessage-deflate, compressing and inflating."""

import zlib
from typing import Any, NamedTuple

from hypothesis import strategies as st

from anyws.core.deflate_streams import Deflater, InflateError, Inflater
from fuzzing import corpus
from fuzzing.reference import Inflate

_IMPLEMENTATIONS = ["zlib", "zlib", "zlib-ng", "isal"]
_ROOMS = st.sampled_from([1, 2, 7, 100, 65536])


class Inflated(NamedTuple):
    """Messages that a peer sent, in pieces, and how much may come out at once."""

    implementation: str
    takeover: bool
    messages: list[list[bytes]]
    room: int


def inflate(inflater, pieces, room):
    """Return one message; as ``IncomingMessage`` does it, in steps of ``room`` bytes."""
    out = []

    def take(piece):
        assert len(piece) <= room
        out.append(piece)

    for piece in pieces[:-1]:
        take(inflater.decompress(piece, room))
        while inflater.pending:
            take(inflater.decompress(b"", room))
    take(inflater.finish(room, pieces[-1] if pieces else b""))
    while inflater.pending:
        take(inflater.finish(room))
    return b"".join(out)


def reference_inflate(pieces, window):
    """Return a message and the window after it, or ``None`` when it cannot be inflated."""
    reference = Inflate(window)
    try:
        out = b"".join(map(reference.byte, b"".join(pieces))) + b"".join(reference.end())
    except zlib.error:
        return None
    return out, reference.window


def check_inflate(drawn):
    """Compare the inflater with one that inflates byte by byte."""
    inflater = Inflater(drawn.implementation, 15, drawn.takeover)
    window = b""
    for pieces in drawn.messages:
        expected = reference_inflate(pieces, window)
        try:
            out = inflate(inflater, pieces, drawn.room)
        except InflateError:
            assert expected is None
            return
        assert expected is not None
        assert out == expected[0]
        window = expected[1] if drawn.takeover else b""


@st.composite
def inflate_inputs(draw):
    """Draw messages that are near to those of the corpus."""
    data = st.lists(corpus.anything("deflate"), min_size=1, max_size=3)
    messages = [draw(corpus.cuts(message)) for message in draw(data)]
    return Inflated(
        draw(st.sampled_from(_IMPLEMENTATIONS)), draw(st.booleans()), messages, draw(_ROOMS)
    )


def inflate_corpus():
    """Give each seed behind a message that it may refer to."""
    first = [b"\x00\x05\x00\xfa\xffHello\x00"]
    for name, data in corpus.seeds("deflate").items():
        for implementation in ("zlib", "zlib-ng", "isal"):
            drawn: Any = Inflated(implementation, True, [first, [data]], 100)
            yield f"{name}, {implementation}", drawn


class Compressed(NamedTuple):
    """Messages in fragments, and what both sides agreed on."""

    compressor: str
    inflater: str
    level: int
    mem_level: int
    window_bits: int
    takeover: bool
    messages: list[list[bytes]]
    forgets: list[bool]
    room: int


def check_deflate(drawn):
    """Compress messages, inflate them, and compare."""
    level = min(drawn.level, 3) if drawn.compressor == "isal" else drawn.level
    deflater = Deflater(drawn.compressor, level, drawn.mem_level, drawn.window_bits, drawn.takeover)
    inflater = Inflater(drawn.inflater, drawn.window_bits, drawn.takeover)
    for fragments, forget in zip(drawn.messages, drawn.forgets, strict=False):
        pieces = [deflater.fragment(piece) for piece in fragments[:-1]]
        pieces.append(deflater.finish(fragments[-1]))
        assert inflate(inflater, pieces, drawn.room) == b"".join(fragments)
        if forget:
            deflater.reset()


_PAYLOAD = st.binary(max_size=300) | st.builds(
    lambda part, count: part * count, st.binary(min_size=1, max_size=9), st.integers(1, 2000)
)
DEFLATE_INPUTS = st.builds(
    Compressed,
    st.sampled_from(_IMPLEMENTATIONS),
    st.sampled_from(_IMPLEMENTATIONS),
    st.integers(0, 9),
    st.integers(1, 9),
    st.integers(8, 15),
    st.booleans(),
    st.lists(st.lists(_PAYLOAD, min_size=1, max_size=3), max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    _ROOMS,
)


def deflate_corpus():
    """Give what the seeds inflate to, from one message to the next, with each window."""
    texts = [
        found[0]
        for data in corpus.seeds("deflate").values()
        if (found := reference_inflate([data], b""))
    ]
    for bits in range(8, 16):
        messages = [[text, b"", text[:9]] for text in texts]
        drawn: Any = Compressed("zlib", "zlib", 6, 5, bits, True, messages, [False] * 99, 100)
        yield f"every seed, {bits} bits", drawn
