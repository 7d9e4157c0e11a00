"""The payload of a frame that comes in several pieces."""

import random

import pytest

from anyws._wire.payload import Payload

KEY = b"\x37\xfa\x21\x3d"


def masked(data):
    return bytes(byte ^ KEY[i & 3] for i, byte in enumerate(data))


@pytest.mark.parametrize("key", [b"", KEY], ids=["plain", "masked"])
def test_pieces_of_every_size(key):
    seed = random.randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    for _ in range(200):
        data = generator.randbytes(generator.randrange(1, 300))
        wire = masked(data) if key else data
        payload = Payload(len(data))
        position = 0
        while position < len(data):
            count = generator.randrange(1, len(data) - position + 1)
            before = generator.randrange(10)
            buffer = bytearray(before) + wire[position : position + count] + bytes(5)
            payload.append(buffer, before, before + count, key)
            assert buffer[:before] == bytes(before)
            position += count
            assert payload.size == position
        assert payload.taken() == data


def test_what_has_come_so_far():
    payload = Payload(10)
    assert payload.taken() == b""
    payload.append(bytearray(masked(b"Hello")), 0, 5, KEY)
    assert payload.taken() == b"Hello"


def test_more_than_was_announced():
    payload = Payload(4)
    payload.append(bytearray(b"abc"), 0, 3, b"")
    with pytest.raises(ValueError, match="announced"):
        payload.append(bytearray(b"de"), 0, 2, b"")
    assert payload.taken() == b"abc"
