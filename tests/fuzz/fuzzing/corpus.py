"""The seeds in ``tests/fuzz/corpus``, and inputs grown from them.

Each file holds one seed a line, ``name: seed``; lines that begin with ``#`` are comments. Frames and compressed
data are in hexadecimal with spaces, where ``00*300`` is a byte 300 times; heads are text with ``\\r\\n`` and
other escapes written out.
"""

import pathlib
import re

from hypothesis import strategies as st

FOLDER = pathlib.Path(__file__).parents[1] / "corpus"


def _from_hex(text):
    repeated = re.sub(r"\b([0-9a-f]{2})\*(\d+)", lambda m: m[1] * int(m[2]), text)
    return bytes.fromhex(repeated)


def _from_escapes(text):
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def seeds(name):
    """Return the seeds of a file by their names."""
    decode = _from_hex if name in {"frames", "deflate"} else _from_escapes
    found = {}
    for line in (FOLDER / f"{name}.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            key, _, seed = line.partition(": ")
            assert key not in found, f"{key} is there twice"
            found[key] = decode(seed)
    return found


@st.composite
def grown(draw, name):
    """Draw bytes that are seeds, or parts of them, joined and damaged in some places."""
    seed = st.sampled_from(sorted(seeds(name).values(), key=len))
    data = bytearray(b"".join(draw(st.lists(seed, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 8)))
        data[start:stop] = draw(st.binary(max_size=4) | seed)
    return bytes(data)


def anything(name):
    """Bytes of any kind, of which most are near to a seed."""
    return grown(name) | grown(name) | st.binary(max_size=200)


@st.composite
def cuts(draw, data):
    """Draw how ``data`` arrives: a list of pieces."""
    positions = draw(
        st.just([])
        | st.just(range(len(data)))
        | st.lists(st.integers(0, len(data)), max_size=6).map(sorted)
    )
    edges = [0, *positions, len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False) if a < b]
