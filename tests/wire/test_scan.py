"""The hot loops, on whichever build is installed, against the plainest loop there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyws._wire import header, mask, scan

KEY = b"\x37\xfa\x21\x3d"


def naive(payload, key, offset=0):
    return bytes(byte ^ key[(offset + i) % 4] for i, byte in enumerate(payload))


@pytest.mark.parametrize("offset", range(8))
def test_pieces_of_a_payload(offset):
    for length in (*range(70), 255, 256, 1000):
        payload = bytes(range(256)) * 4
        buffer = bytearray(b"before" + payload[:length] + b"after")
        expected = naive(payload[:length], KEY, offset)
        assert scan.take_piece(buffer, 6, 6 + length, KEY, offset) == expected
        assert mask.take_piece(buffer, 6, 6 + length, KEY, offset) == expected
        assert scan.take_piece(buffer, 6, 6 + length, b"", offset) == payload[:length]
        assert buffer == b"before" + payload[:length] + b"after"


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
        (2**31 - 1, "827f000000007fffffff"),
        (2**32, "827f0000000100000000"),
        (2**63 - 1, "827f7fffffffffffffff"),
    ],
)
def test_frame_header(length, expected):
    assert header.frame_header(0x82, length, 0).hex() == expected
    masked = bytes.fromhex(expected)
    masked = masked[:1] + bytes((masked[1] | 0x80,)) + masked[2:]
    assert header.frame_header(0x82, length, 0x80) == masked


@given(payload=st.binary(max_size=200), text=st.booleans(), key=st.one_of(st.none(), st.just(KEY)))
def test_frames_that_are_taken(payload, text, key):
    try:
        expected = payload.decode() if text else payload
    except UnicodeDecodeError:
        expected = None
    data = header.frame(0x81 if text else 0x82, payload, key)
    if key is not None:
        assert data.endswith(key + naive(payload, key))
    messages = []
    buffer = bytearray(data + data)
    end = scan.scan(buffer, 0, len(buffer), key is not None, 1000, messages, None)
    if expected is None:
        assert (end, messages, buffer) == (0, [], data + data)
    else:
        assert (end, messages) == (len(buffer), [expected, expected])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x82",
        b"\x82\x80\x00\x00\x00",
        b"\x82\x81" + KEY,
        b"\x02\x80" + KEY,
        b"\xc2\x80" + KEY,
        b"\x88\x80" + KEY,
        b"\x82\x00" + KEY,
        b"\x82\xfe\x00\x7d" + KEY + bytes(125),
        b"\x82\xff" + (5).to_bytes(8, "big") + KEY + bytes(5),
        b"\x82\xff" + b"\xff" * 8 + KEY,
        b"\x82\xe5" + KEY + bytes(101),
    ],
)
def test_frames_that_are_left(data):
    buffer = bytearray(data)
    messages = []
    assert scan.scan(buffer, 0, len(buffer), True, 100, messages, None) == 0
    assert (messages, buffer) == ([], data)


class Inflater:
    """Knows one message."""

    def __init__(self, known, message):
        self.known = known
        self.message = message
        self.asked = []

    def whole(self, data, limit, text):
        self.asked.append((data, limit, text))
        return self.message if data == self.known else None


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize(("first", "message"), [(0xC1, "text"), (0xC2, b""), (0xC1, "")])
def test_nothing_is_taken_behind_a_compressed_message(key, first, message):
    plain = header.frame(0x82, b"plain", key)
    data = plain + header.frame(first, b"known", key)
    buffer = bytearray(data + data)
    inflater = Inflater(b"known", message)
    messages = []
    end = scan.scan(buffer, 0, len(buffer), key is not None, 1000, messages, inflater)
    assert (end, messages) == (len(data), [b"plain", message])
    assert inflater.asked == [(b"known", 1000, first == 0xC1)]
    assert buffer[end:] == data


@pytest.mark.parametrize("first", [0xC0, 0xC1, 0xC3, 0x41, 0xE1, 0xC9])
def test_a_compressed_message_that_is_left(first):
    data = header.frame(first, b"unknown", KEY)
    buffer = bytearray(data)
    messages = []
    inflater = Inflater(b"known", "message")
    assert scan.scan(buffer, 0, len(buffer), True, 1000, messages, inflater) == 0
    assert (messages, buffer) == ([], data)
    assert len(inflater.asked) == (first == 0xC1)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("key", [KEY, None])
def test_text_of_every_kind(size, key):
    texts = [
        "x" * size,
        *("x" * at + other + "x" * (size - at) for at in (0, size) for other in "é€\U0001f600"),
    ]
    data = b"".join(header.frame(0x81, text.encode(), key) for text in texts)
    messages = []
    buffer = bytearray(data)
    assert scan.scan(buffer, 0, len(buffer), key is not None, 10_000, messages, None) == len(data)
    assert messages == texts
    assert [text.isascii() for text in messages] == [True] + [False] * 6
    assert [hash(text) for text in messages] == [hash(text) for text in texts]
    for text in texts:
        bad = header.frame(0x81, text.encode()[:-1] + b"\xff", key)
        buffer = bytearray(bad)
        if text:
            assert scan.scan(buffer, 0, len(buffer), key is not None, 10_000, messages, None) == 0
        assert buffer == bad
