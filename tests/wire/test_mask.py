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
    assert mask.take_bytes(buffer, 6, 11, True) == b"Hello"
    assert mask.take_text(buffer, 6, 11, True) == "Hello"
    assert mask.take_piece(buffer, 8, 11, KEY, 2) == b"llo"


@pytest.mark.parametrize(
    ("offset", "masked"),
    [(0, "37fa213d37"), (1, "fa213d37fa"), (2, "213d37fa21"), (3, "3d37fa213d"), (4, "37fa213d37")],
)
def test_the_offset_says_which_byte_of_the_key_is_next(offset, masked):
    buffer = bytearray(5)
    assert mask.take_piece(buffer, 0, 5, KEY, offset).hex() == masked
    assert buffer == bytes(5)


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
    for number in range(220):
        # Over 4096 bytes they go in several steps.
        size = (
            chance.randrange(100) if number < 200 else 4096 * chance.randrange(1, 4) + number - 210
        )
        payload, key = chance.randbytes(size), chance.randbytes(4)
        masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        head = mask.frame_header(0x81, len(payload), 0x80)
        assert mask.masked_frame(0x81, key, payload) == head + key + masked
        buffer = bytearray(b"before" + key + masked + b"after")
        cut, end = chance.randint(0, size), 10 + size
        assert mask.take_bytes(buffer, 10, end, True) == payload
        assert mask.take_piece(buffer, 10, 10 + cut, key, 0) == payload[:cut]
        assert mask.take_piece(buffer, 10 + cut, end, key, cut) == payload[cut:]
        assert mask.take_piece(buffer, 10, end, b"", 0) == masked
        assert buffer == b"before" + key + masked + b"after"


def test_what_is_taken_is_a_copy():
    buffer = bytearray(b"before\xc3\xa9after")
    data, text = mask.take_bytes(buffer, 6, 8, False), mask.take_text(buffer, 6, 8, False)
    masked = mask.take_bytes(buffer, 6, 8, True), mask.take_piece(buffer, 6, 8, b"fore", 0)
    # No view is left behind that would keep the buffer from growing.
    buffer[:] = bytes(1000)
    assert (data, text) == (b"\xc3\xa9", "é")
    assert type(data) is bytes
    assert masked == (b"\xa5\xc6", b"\xa5\xc6")
    for masked in (False, True):
        assert mask.take_bytes(buffer, 5, 5, masked) == b""
        assert mask.take_text(buffer, 5, 5, masked) == ""


@pytest.mark.parametrize("text", ["ff", "c3", "c080", "eda080", "f4908080"])
def test_text_is_taken_strictly_and_lets_go_of_the_buffer(text):
    bad = bytes.fromhex(text)
    buffer = bytearray(b"ok" + bad)
    with pytest.raises(UnicodeDecodeError) as caught:
        mask.take_text(buffer, 0, len(buffer), False)
    buffer += b"more"
    assert caught.value.start == 2
