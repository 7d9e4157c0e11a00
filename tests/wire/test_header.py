"""Whole frames, on whichever build is installed; the headers alone are in test_scan.py."""

import pytest

from anyws._wire import header

KEY = bytes.fromhex("a15b20c9")


@pytest.mark.parametrize("key", [None, KEY])
def test_the_first_byte_goes_as_it_is(key):
    for first in range(256):
        assert header.frame(first, b"", key)[0] == first
        assert header.frame_header(first, 0, 0) == bytes((first, 0))


@pytest.mark.parametrize(
    ("length", "plain", "masked"),
    [
        (0, "8200", "8280"),
        (1, "8201", "8281"),
        (125, "827d", "82fd"),
        (126, "827e007e", "82fe007e"),
        (65535, "827effff", "82feffff"),
        (65536, "827f0000000000010000", "82ff0000000000010000"),
    ],
)
def test_header_key_and_payload_in_their_order(length, plain, masked):
    payload = bytes(range(256)) * (length // 256 + 1)
    payload = payload[:length]
    assert header.frame(0x82, payload, None) == bytes.fromhex(plain) + payload
    frame = header.frame(0x82, payload, KEY)
    start = len(bytes.fromhex(masked))
    assert frame[: start + 4] == bytes.fromhex(masked) + KEY
    assert bytes(byte ^ KEY[i % 4] for i, byte in enumerate(frame[start + 4 :])) == payload


def test_a_key_of_zeros_is_a_mask_all_the_same():
    assert header.frame(0x81, b"Hello", bytes(4)) == b"\x81\x85\0\0\0\0Hello"


def test_the_payload_is_left_alone():
    payload = bytes(range(100))
    header.frame(0x82, payload, KEY)
    assert payload == bytes(range(100))


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("payload", ["é", None, 5, bytearray(b"x")])
def test_what_is_no_payload(payload, key):
    """In C its bytes would be read all the same."""
    if header.__file__.endswith(".py") and type(payload) is bytearray:
        pytest.skip("plain Python takes it")
    with pytest.raises((TypeError, AttributeError)):
        header.frame(0x81, payload, key)
