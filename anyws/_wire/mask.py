"""Masking (RFC 6455, section 5.3), copying and joining, for the plain build.

``mask.pxd`` has the same functions in C; the compiled modules take those instead. Here a payload
is a big integer, since a loop over bytes is a hundred times slower in plain Python. A large one goes
in pieces, which stay in the processor's cache: a megabyte takes half the time.
"""

from __future__ import annotations

__all__ = [
    "append_payload",
    "encoded",
    "finish_payload",
    "frame_header",
    "masked_frame",
    "new_payload",
    "plain_frame",
    "take_bytes",
    "take_piece",
    "take_text",
    "text_payload",
]


#: Bytes of a payload that are one number.
_STEP = 4096
#: So many bytes, each fourth of which is 1: times a key they are the key over and over.
_ONES = int.from_bytes(b"\x01\x00\x00\x00" * (_STEP // 4), "little")


def _masked(payload: bytes | bytearray, key: bytes, offset: int) -> bytes:
    """Mask or unmask ``payload``, whose first byte is byte ``offset`` of all of it."""
    shift = offset & 3
    word = int.from_bytes(key[shift:] + key[:shift], "little")
    length = len(payload)
    if length <= _STEP:
        return _masked_step(payload, word)
    keystream = _ONES * word
    pieces = [
        (int.from_bytes(payload[start : start + _STEP], "little") ^ keystream).to_bytes(
            _STEP, "little"
        )
        for start in range(0, length - _STEP + 1, _STEP)
    ]
    rest = length % _STEP
    if rest:
        pieces.append(_masked_step(payload[length - rest :], word))
    return b"".join(pieces)


def _masked_step(payload: bytes | bytearray, word: int) -> bytes:
    length = len(payload)
    size = (length + 3) & ~3
    keystream = (_ONES >> 8 * (_STEP - size)) * word
    return (int.from_bytes(payload, "little") ^ keystream).to_bytes(size, "little")[:length]


def frame_header(first: int, length: int, mask_bit: int) -> bytes:
    """Return the header of a frame, without a masking key."""
    if length < 126:
        return bytes((first, mask_bit | length))
    if length < 65536:
        return bytes((first, mask_bit | 126, length >> 8, length & 0xFF))
    return bytes((first, mask_bit | 127)) + length.to_bytes(8, "big")


def text_payload(text: str) -> bytes:
    """Return what the other functions take for the payload of a text; in C a text of ASCII is that itself."""
    return text.encode()


def encoded(payload: bytes) -> bytes:
    """Return the bytes of a payload."""
    return payload


def plain_frame(first: int, payload: bytes) -> bytes:
    """Return a whole frame that is not masked; ``first`` is its first byte."""
    return frame_header(first, len(payload), 0) + payload


def masked_frame(first: int, key: bytes, payload: bytes) -> bytes:
    """Return a whole frame whose payload is masked with ``key``."""
    return frame_header(first, len(payload), 0x80) + key + _masked(payload, key, 0)


def take_bytes(buffer: bytearray, start: int, end: int, masked: bool) -> bytes:
    """Copy ``buffer[start:end]``, a whole payload, which is unmasked with the key before it if ``masked``."""
    if masked:
        return _masked(buffer[start:end], bytes(buffer[start - 4 : start]), 0)
    return bytes(memoryview(buffer)[start:end])


def take_text(buffer: bytearray, start: int, end: int, masked: bool) -> str:
    """Decode what ``take_bytes`` gives, strictly as UTF-8; raises ``UnicodeDecodeError``."""
    if masked:
        return str(take_bytes(buffer, start, end, True), "utf-8")
    return str(memoryview(buffer)[start:end], "utf-8")


def take_piece(buffer: bytearray, start: int, end: int, key: bytes, offset: int) -> bytes:
    """Copy ``buffer[start:end]``, unmasked if there is a key; it begins at byte ``offset`` of its payload."""
    if key:
        return _masked(buffer[start:end], key, offset)
    return bytes(memoryview(buffer)[start:end])


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
    payload += take_piece(buffer, start, end, key, position)


def finish_payload(payload: bytearray, size: int, expected: int) -> bytes:  # noqa: ARG001 - for C
    """Return the first ``size`` bytes of ``payload`` for good."""
    return bytes(payload)
