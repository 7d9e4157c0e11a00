# cython: language_level=3, boundscheck=False, wraparound=False, annotation_typing=False
"""The common case of receiving: whole data frames that lie complete in the buffer.

Theory of operation. ``scan`` takes what is certainly right and stops at the first frame about which
there is anything to decide: another opcode, a fragment, a reserved bit, the wrong mask bit, a
length that is not minimal, over the limit, or above 65 535, an incomplete frame, text that is not
UTF-8. Such a frame is left untouched for the rules in ``anyws.core.inbound``. So no rule is
written twice, and nothing here can be stricter or laxer than the rules.

A message that is compressed is given to the inflater, which has the same right to leave it untouched. As
it may be a thousand times as large as its frame, nothing is taken behind it before somebody has
looked at what is held.

All lengths are compared by subtraction from what is known to be in the buffer; none is added to a
number that the peer chose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyws._wire.mask as mask  # noqa: PLR0402 - the form that a cimport can stand in for

if TYPE_CHECKING:

    class WholeInflater(Protocol):
        """What ``anyws.core.deflate_streams.Inflater`` does with a message that has come whole."""

        def whole(self, data: bytes, limit: int, text: bool) -> str | bytes | None: ...


__all__ = ["scan", "take_piece"]


def scan(
    buffer: bytearray,
    start: int,
    end: int,
    masked: bool,
    limit: int,
    messages: list[str | bytes],
    inflater: WholeInflater | None,
) -> int:
    """Append the whole messages at the front of ``buffer[start:end]`` to ``messages``.

    Args:
        buffer: what was received.
        start: where the first frame begins.
        end: where the received bytes end.
        masked: whether frames must be masked (they come from a client).
        limit: bytes that a message may have.
        messages: where ``str`` and ``bytes`` go.
        inflater: what inflates compressed messages, ``None`` when nothing was negotiated.

    Returns:
        The position of the first byte that was not taken.
    """
    position = start
    mask_bit = 0x80 if masked else 0
    smallest = 6 if masked else 2
    while end - position >= smallest:
        first = buffer[position]
        # Compares, since they compile to plain C. The bit that tells compressed messages is 0x40.
        plain = first == 0x82 or first == 0x81  # noqa: PLR1714
        if not plain and (inflater is None or (first != 0xC1 and first != 0xC2)):  # noqa: PLR1714
            break
        second = buffer[position + 1]
        if (second & 0x80) != mask_bit:
            break
        length = second & 0x7F
        payload = position + 2
        if length > 125:
            if length == 127 or end - position < smallest + 2:
                break
            length = buffer[payload] << 8 | buffer[payload + 1]
            if length < 126:
                break
            payload += 2
        if masked:
            payload += 4
        if length > limit or length > end - payload:
            break
        if not plain:
            piece = mask.take_bytes(buffer, payload, payload + length, masked)
            message = None if inflater is None else inflater.whole(piece, limit, first == 0xC1)
            if message is not None:
                messages.append(message)
                return payload + length
            break
        if first == 0x82:
            messages.append(mask.take_bytes(buffer, payload, payload + length, masked))
        else:
            try:
                messages.append(mask.take_text(buffer, payload, payload + length, masked))
            except UnicodeDecodeError:
                break
        position = payload + length
    return position


def take_piece(buffer: bytearray, start: int, end: int, key: bytes, offset: int) -> bytes:
    """Copy ``buffer[start:end]``, unmasked if there is a key; it begins at byte ``offset`` of its payload."""
    return mask.take_piece(buffer, start, end, key, offset)
