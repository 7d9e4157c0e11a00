"""Lengths, and what close frames say."""

import pytest

from anyws.core import rules
from anyws.core.fields import close_payload, extended_length, parse_close
from anyws.errors import Close, ProtocolError


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [(1005, "", b""), (1000, "", b"\x03\xe8"), (4999, "é", b"\x13\x87\xc3\xa9")],
)
def test_close_payload(code, reason, payload):
    assert close_payload(code, reason) == payload


def test_a_reason_goes_with_a_code():
    with pytest.raises(ValueError, match="close code 1005 may not be sent"):
        close_payload(1005, "reason")


def test_a_reason_is_counted_in_bytes():
    assert len(close_payload(1000, "é" * 61 + "x")) == 125
    with pytest.raises(ValueError, match="at most 123 bytes of UTF-8, not 124"):
        close_payload(1000, "é" * 62)


@pytest.mark.parametrize(
    ("data", "length"),
    [("007e", 126), ("ffff", 65535), ("0000000000010000", 65536), ("7fffffffffffffff", 2**63 - 1)],
)
def test_extended_lengths(data, length):
    assert extended_length(bytes.fromhex(data)) == length


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ("007d", rules.LENGTH_NOT_MINIMAL),
        ("000000000000ffff", rules.LENGTH_NOT_MINIMAL),
        ("8000000000000000", rules.LENGTH_TOO_LARGE),
    ],
)
def test_lengths_that_are_refused(data, rule):
    with pytest.raises(ProtocolError) as caught:
        extended_length(bytes.fromhex(data))
    assert caught.value.rule is rule


@pytest.mark.parametrize("close", [Close(1005), Close(1000), Close(4999, "é" * 61)])
def test_what_a_close_frame_says(close):
    assert parse_close(close_payload(close.code, close.reason)) == close


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"\x03", rules.CLOSE_PAYLOAD_TOO_SHORT),
        (b"\x03\xed", rules.CLOSE_CODE_INVALID),
        (b"\x03\xe8\xff", rules.TEXT_NOT_UTF8),
    ],
)
def test_close_frames_that_are_refused(payload, rule):
    with pytest.raises(ProtocolError) as caught:
        parse_close(payload)
    assert caught.value.rule is rule
