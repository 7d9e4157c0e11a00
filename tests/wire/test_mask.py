"""Masking and copying in plain Python, which runs where nothing is compiled.

The compiled modules have these functions inside; test_scan.py and test_header.py reach them there.
"""

import random

import pytest

from anyws._wire import mask

KEY = bytes.fromhex("37fa213d")


def test_the_example():
    """RFC 6455, section 5.7."""
    assert mask.masked_frame(0x81, KEY, b"Hello").hex() == "818537fa213d7f9f4d5158"
    buffer = bytearray.fromhex("818537fa213d7f9f4d5158")
    mask.xor_in_place(buffer, 6, 11, KEY, 0)
    assert buffer[6:] == b"Hello"


@pytest.mark.parametrize(
    ("offset", "masked"),
    [(0, "37fa213d37"), (1, "fa213d37fa"), (2, "213d37fa21"), (3, "3d37fa213d"), (4, "37fa213d37")],
)
def test_the_offset_says_which_byte_of_the_key_is_next(offset, masked):
    buffer = bytearray(5)
    mask.xor_in_place(buffer, 0, 5, KEY, offset)
    assert buffer.hex() == masked


@pytest.mark.parametrize(("start", "end"), [(0, 0), (3, 3), (10, 10), (4, 3)])
def test_an_empty_range_changes_nothing(start, end):
    buffer = bytearray(range(10))
    mask.xor_in_place(buffer, start, end, KEY, 1)
    assert buffer == bytearray(range(10))


def test_an_empty_payload():
    assert mask.masked_frame(0x82, KEY, b"") == b"\x82\x80" + KEY


def test_zeros_keep_their_length():
    """The payload goes through one number, whose leading zeros must not get lost."""
    for payload in (bytes(9), bytes(8) + b"\x01", b"\x01" + bytes(8)):
        frame = mask.masked_frame(0x82, bytes(4), payload)
        assert frame == b"\x82\x89" + bytes(4) + payload
    # A payload that equals its key masks to zeros.
    assert mask.masked_frame(0x82, KEY, KEY * 2 + KEY[:1]) == b"\x82\x89" + KEY + bytes(9)


def test_any_payload_cut_anywhere():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(200):
        payload, key = chance.randbytes(chance.randrange(100)), chance.randbytes(4)
        masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        head = bytes((0x81, 0x80 | len(payload)))
        assert mask.masked_frame(0x81, key, payload) == head + key + masked
        buffer = bytearray(b"before" + masked + b"after")
        cut = chance.randint(0, len(payload))
        mask.xor_in_place(buffer, 6, 6 + cut, key, 0)
        mask.xor_in_place(buffer, 6 + cut, 6 + len(payload), key, cut)
        assert buffer == b"before" + payload + b"after"


def test_what_is_taken_is_a_copy():
    buffer = bytearray(b"before\xc3\xa9after")
    data, text = mask.take_bytes(buffer, 6, 8), mask.take_text(buffer, 6, 8)
    # No view is left behind that would keep the buffer from growing.
    buffer[:] = bytes(1000)
    assert (data, text) == (b"\xc3\xa9", "é")
    assert type(data) is bytes
    assert (mask.take_bytes(buffer, 5, 5), mask.take_text(buffer, 5, 5)) == (b"", "")


@pytest.mark.parametrize("text", ["ff", "c3", "c080", "eda080", "f4908080"])
def test_text_is_taken_strictly_and_lets_go_of_the_buffer(text):
    bad = bytes.fromhex(text)
    buffer = bytearray(b"ok" + bad)
    with pytest.raises(UnicodeDecodeError) as caught:
        mask.take_text(buffer, 0, len(buffer))
    buffer += b"more"
    assert caught.value.start == 2
