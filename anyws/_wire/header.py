# cython: language_level=3, boundscheck=False, wraparound=False, annotation_typing=False
"""Building frames (RFC 6455, section 5.2)."""

from __future__ import annotations

import anyws._wire.mask as mask  # noqa: PLR0402 - the form that a cimport can stand in for

__all__ = ["frame", "frame_header"]


def frame_header(first: int, length: int, mask_bit: int) -> bytes:
    """Return the header of a frame, without a masking key.

    Args:
        first: the first byte: FIN, reserved bits and opcode.
        length: bytes of payload, in the shortest form that holds it.
        mask_bit: 0x80 when a masking key follows, else 0.
    """
    return mask.frame_header(first, length, mask_bit)


def frame(first: int, payload: bytes, key: bytes | None) -> bytes:
    """Return a whole frame; with a ``key`` of 4 bytes its payload is masked.

    The payload of a text may come from ``mask.text_payload``.
    """
    if key is None:
        return mask.plain_frame(first, payload)
    return mask.masked_frame(first, key, payload)
