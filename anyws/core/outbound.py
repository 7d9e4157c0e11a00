# cython: language_level=3, annotation_typing=False
"""Messages in, frames out: what we send, masked and compressed as the role asks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# The forms that a cimport can stand in for.
import anyws._wire.header as header  # noqa: PLR0402
import anyws._wire.mask as mask  # noqa: PLR0402
from anyws.core.compression import COMPRESSED_AT_ONCE

if TYPE_CHECKING:
    from anyws.core.deflate_streams import Deflater

__all__ = ["KEEP_COMPRESSOR", "Outbound"]

#: Below this many bytes header and payload are joined, above it the payload is not copied.
_JOIN_BELOW = 16384
#: Seconds that a compressor is kept while no message is compressed.
KEEP_COMPRESSOR = 30.0

_FIN = 0x80
_RSV1 = 0x40


class _KeyPool:
    """Masking keys from the system's generator, fetched a thousand at a time.

    A key must be unpredictable (RFC 6455, sections 5.3 and 10.3), and a system call for each
    costs as much as the rest of a small frame.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop what is left, so that a forked child does not use its parent's keys."""
        self._pool = b""
        self._position = 0

    def take(self) -> bytes:
        """Return 4 bytes that were not used before."""
        position = self._position
        if position == len(self._pool):
            self._pool = os.urandom(4096)
            position = 0
        self._position = position + 4
        return self._pool[position : position + 4]


_keys = _KeyPool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keys.forget)


class Outbound:
    """Encodes frames of one connection, in the order in which they are asked for.

    Whatever a method returns must be sent, since the peer's decompressor will miss it otherwise.
    """

    __slots__ = ("_deflater", "_deflating", "_keys", "_masked", "_threshold", "_unused")

    def __init__(
        self, *, masked: bool, deflater: Deflater | None = None, threshold: int = 0
    ) -> None:
        self._masked = masked
        self._deflater = deflater
        self._threshold = threshold
        self._deflating = False
        self._unused = 0.0
        self._keys = _keys

    def wants_deflate(self, size: int, compress: bool | None) -> bool:
        """Tell whether a message that begins with ``size`` bytes goes compressed."""
        if self._deflater is None or compress is False:
            return False
        return compress is True or size >= self._threshold

    def is_long(self, opcode: int, size: int, compress: bool | None) -> bool:
        """Tell whether others should run while ``size`` bytes are compressed; see ``compress_ahead``.

        Args:
            opcode: TEXT or BINARY, or CONTINUATION, whose message has been decided on.
            size: bytes of the message or the fragment.
            compress: as for ``message``.
        """
        if size <= COMPRESSED_AT_ONCE:
            return False
        return self.wants_deflate(size, compress) if opcode else self._deflating

    def compress_ahead(self, payload: bytes) -> None:
        """Compress the beginning of the next message or fragment; the rest must go compressed as well."""
        if self._deflater is not None:
            self._deflating = True
            self._deflater.compress_ahead(payload)

    def drop_ahead(self, opcode: int) -> None:
        """Undo ``compress_ahead``: nothing of it is sent.

        Args:
            opcode: CONTINUATION when earlier fragments of the message were sent.
        """
        if self._deflater is not None:
            self._deflating = not opcode
            self._deflater.reset()

    def sends_plain(self, size: int, compress: bool | None) -> bool:
        """Tell whether a message of ``size`` bytes goes as it is: not masked and not compressed."""
        return not (self._masked or self.wants_deflate(size, compress))

    def text_payload(self, text: str) -> bytes:
        """Return the payload of ``text`` for ``message``; compiled, mostly the text itself.

        Raises:
            UnicodeEncodeError: there is a surrogate in ``text``.
        """
        return mask.text_payload(text)

    def message(self, opcode: int, payload: bytes, compress: bool | None) -> list[bytes]:
        """Encode one whole message; ``compress`` None leaves the choice to the threshold."""
        if self._deflater is not None and self.wants_deflate(len(payload), compress):
            self._unused = 0.0
            self._deflating = False
            return self.encode(
                _FIN | _RSV1 | opcode, self._deflater.compress(mask.encoded(payload))
            )
        return self.encode(_FIN | opcode, payload)

    def fragment(
        self, opcode: int, payload: bytes, *, final: bool, compress: bool | None = None
    ) -> list[bytes]:
        """Encode one fragment; ``opcode`` is TEXT or BINARY for the first, else CONTINUATION.

        Only the first fragment's ``compress`` counts: RSV1 belongs to a message's first frame
        (RFC 7692, section 6).
        """
        first = opcode | (_FIN if final else 0)
        if opcode:
            self._deflating = self.wants_deflate(len(payload), compress)
            if self._deflating:
                first |= _RSV1
        if self._deflating and self._deflater is not None:
            payload = self._deflater.finish(payload) if final else self._deflater.fragment(payload)
        if final:
            self._deflating = False
        return self.encode(first, payload)

    def encode(self, first: int, payload: bytes) -> list[bytes]:
        """Encode a frame whose first byte is ``first``, in one piece or as header and payload."""
        if self._masked:
            return [header.frame(first, payload, self._keys.take())]
        if len(payload) < _JOIN_BELOW:
            return [header.frame(first, payload, None)]
        return [header.frame_header(first, len(payload), 0), mask.encoded(payload)]

    def control(self, opcode: int, payload: bytes) -> bytes:
        """Encode a control frame, whose payload is at most 125 bytes."""
        return header.frame(_FIN | opcode, payload, self._keys.take() if self._masked else None)

    def rest(self, seconds: float) -> None:
        """Let ``seconds`` pass; give back the memory of a compressor that was not used for long.

        What a new one writes refers to nothing before it, so the peer does not notice.
        """
        if self._deflater is None:
            return
        self._unused = 0.0 if self._deflating else self._unused + seconds
        if self._unused >= KEEP_COMPRESSOR:
            self._deflater.reset()
