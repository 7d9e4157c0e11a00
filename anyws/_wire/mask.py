"""Masking (RFC 6455, section 5.3), copying and joining, for the plain build.

``mask.pxd`` has the same functions in C; the compiled modules take those instead. Here the whole
payload is one big integer, since a loop over bytes is a hundred times slower in plain Python.
"""

from __future__ import annotations

import sys

__all__ = [
    "append_payload",
    "finish_payload",
    "frame_header",
    "masked_frame",
    "new_payload",
    "plain_frame",
    "take_bytes",
    "take_text",
    "xor_in_place",
]


def _keystream(key: bytes, offset: int, length: int) -> int:
    shift = offset & 3
    rotated = key[shift:] + key[:shift]
    return int.from_bytes((rotated * (length // 4 + 1))[:length], sys.byteorder)


def xor_in_place(buffer: bytearray, start: int, end: int, key: bytes, offset: int) -> None:
    """Mask or unmask ``buffer[start:end]``, whose first byte is byte ``offset`` of its payload."""
    length = end - start
    if length > 0:
        payload = int.from_bytes(buffer[start:end], sys.byteorder)
        payload ^= _keystream(key, offset, length)
        buffer[start:end] = payload.to_bytes(length, sys.byteorder)


def frame_header(first: int, length: int, mask_bit: int) -> bytes:
    """Return the header of a frame, without a masking key."""
    if length < 126:
        return bytes((first, mask_bit | length))
    if length < 65536:
        return bytes((first, mask_bit | 126, length >> 8, length & 0xFF))
    return bytes((first, mask_bit | 127)) + length.to_bytes(8, "big")


def plain_frame(first: int, payload: bytes) -> bytes:
    """Return a whole frame that is not masked; ``first`` is its first byte."""
    return frame_header(first, len(payload), 0) + payload


def masked_frame(first: int, key: bytes, payload: bytes) -> bytes:
    """Return a whole frame whose payload is masked with ``key``."""
    length = len(payload)
    number = int.from_bytes(payload, sys.byteorder) ^ _keystream(key, 0, length)
    return frame_header(first, length, 0x80) + key + number.to_bytes(length, sys.byteorder)


def take_bytes(buffer: bytearray, start: int, end: int) -> bytes:
    """Copy ``buffer[start:end]``."""
    return bytes(memoryview(buffer)[start:end])


def take_text(buffer: bytearray, start: int, end: int) -> str:
    """Decode ``buffer[start:end]`` strictly as UTF-8; raises ``UnicodeDecodeError``."""
    return str(memoryview(buffer)[start:end], "utf-8")


def new_payload(size: int) -> bytearray:  # noqa: ARG001 - in C the memory is taken here
    """Return room for a payload of ``size`` bytes."""
    return bytearray()


def append_payload(
    payload: bytearray,
    position: int,
    buffer: bytearray,
    start: int,
    end: int,
    key: bytes,
) -> None:
    """Put ``buffer[start:end]`` at ``position`` into ``payload``, unmasked if there is a key."""
    if key:
        xor_in_place(buffer, start, end, key, position)
    payload += memoryview(buffer)[start:end]


def finish_payload(payload: bytearray, size: int, expected: int) -> bytes:  # noqa: ARG001 - for C
    """Return the first ``size`` bytes of ``payload`` for good."""
    return bytes(payload)
