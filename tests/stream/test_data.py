"""What can be sent, and as what."""

import array

import pytest

from anyws.enums import DataType
from anyws.stream.data import encode_data


class KindOfBytes(bytes):
    pass


@pytest.mark.parametrize(
    ("data", "kind", "payload"),
    [
        ("", DataType.TEXT, b""),
        ("h\xe9llo", DataType.TEXT, b"h\xc3\xa9llo"),
        (b"ab", DataType.BINARY, b"ab"),
        (bytearray(b"ab"), DataType.BINARY, b"ab"),
        (memoryview(b"a-b-")[::2], DataType.BINARY, b"ab"),
        (memoryview(array.array("H", [0x6161])), DataType.BINARY, b"aa"),
        (KindOfBytes(b"ab"), DataType.BINARY, b"ab"),
    ],
)
def test_kinds_and_payloads(data, kind, payload):
    found = encode_data(data)
    assert found == (kind, payload)
    assert type(found[1]) is bytes


@pytest.mark.parametrize("data", [None, 5, ["a"], object()])
def test_what_cannot_be_sent(data):
    with pytest.raises(TypeError, match=f"not {type(data).__name__}"):
        encode_data(data)
