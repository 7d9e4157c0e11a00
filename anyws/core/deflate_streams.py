# cython: language_level=3, annotation_typing=False
"""The two halves of permessage-deflate that touch data (RFC 7692, section 7.2).

Theory of operation. At the end of a message the state of a DEFLATE decoder is its window
and nothing else, since the message ends on a byte and on a block. So the ``Inflater`` ends
every message itself: behind the peer's bytes it feeds the four that RFC 7692 takes away,
and then an empty *final* block. The decoder must then say that it is done; if it does not,
the message was cut off inside a block, which nothing else would tell. What goes on to the
next message is a copy of the window, and only if the peer takes its context over; a new
decoder is primed with it. That is how a peer's own final blocks (BFINAL, section 7.2.3.4)
are carried on too, and an idle connection holds no decoder. Making a decoder with a 4 KiB
window took 0.6 us, copying a live one to ask it the same question 1.2 us (zlib 1.2.13,
2026-11).

Neither class knows frames, limits or roles.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from anyws.core.compression import load_implementation

if TYPE_CHECKING:
    from anyws.core.compression import Buffer, Compressor, Decompressor, Implementation

__all__ = ["Deflater", "InflateError", "Inflater"]

#: An empty stored block without its header bits: what a sender takes off (7.2.1, step 3).
_TAIL = b"\x00\x00\xff\xff"
#: What ends a message for our decoder: the tail put back, and an empty final block.
_END = _TAIL + b"\x01" + _TAIL

#: Bytes of a message that may be inflated in one step, and of compressed data that mostly come to less.
_AT_ONCE = 65536
_SHORT = 8192

#: Decoders that are made before the caller may do something else.
_DECODERS_AT_ONCE = 32

#: Input goes to the decoder in pieces, because it copies what it leaves over: a megabyte
#: of two-byte final blocks, or of input taken out in small steps, would cost its square.
_PIECE = 2**14


class InflateError(Exception):
    """The peer's data is not what permessage-deflate allows: bad, or cut off inside a block."""


def _check_room(max_length: int) -> None:
    if max_length < 1:  # zlib takes 0 for "no bound"
        raise ValueError(f"max_length must be at least 1, not {max_length}")


class Deflater:
    """Compresses the messages of one direction (RFC 7692, section 7.2.1).

    Nothing is allocated before the first message with content. All methods are synchronous
    and must be called in the order in which their output is sent.

    Args:
        implementation: which module compresses.
        level: its compression level.
        mem_level: how much memory it takes, 1 to 9.
        window_bits: base-2 logarithm of the window that the peer was promised, 8 to 15.
        takeover: whether a message may refer to the ones before it.
    """

    __slots__ = ("_ahead", "_codec", "_compressor", "_held", "_settings", "_takeover")

    def __init__(
        self,
        implementation: Implementation,
        level: int,
        mem_level: int,
        window_bits: int,
        takeover: bool,
    ) -> None:
        strategy = zlib.Z_DEFAULT_STRATEGY
        if window_bits == 8:
            # No implementation keeps to a window of 256 bytes. One that only counts letters
            # and never refers back needs no window at all; isal has no such strategy.
            strategy = zlib.Z_HUFFMAN_ONLY
            window_bits = 9
            implementation = "zlib"
        self._codec = load_implementation(implementation)
        self._settings = (level, zlib.DEFLATED, -window_bits, mem_level, strategy)
        self._takeover = takeover
        self._compressor: Compressor | None = None
        self._held = False
        self._ahead: list[bytes] = []

    def compress_ahead(self, data: Buffer) -> None:
        """Compress the beginning of the next fragment or message, which the next call gives with the rest.

        May be called again and again, so that something else can run in between; ``reset`` drops it.
        """
        if self._compressor is None:
            self._compressor = self._codec.compressobj(*self._settings)
        self._ahead.append(self._compressor.compress(data))

    def compress(self, data: Buffer) -> bytes:
        """Compress one whole message; the result is never empty.

        Raises:
            RuntimeError: a message begun with ``fragment`` is not finished.
        """
        if self._held:
            raise RuntimeError("the message begun with fragment() must be finished first")
        return self.finish(data)

    def fragment(self, data: Buffer) -> bytes:
        """Compress a part of a message that goes on; all of it can be inflated at once.

        Empty data gives ``b""``. The end of the flush is held back for the next fragment,
        because at the end of the message it has to go.
        """
        if not data:
            return b""
        if self._compressor is None:
            self._compressor = self._codec.compressobj(*self._settings)
        head = _TAIL if self._held else b""
        ahead, self._ahead = self._ahead, []
        body = self._compressor.compress(data)
        end = self._compressor.flush(zlib.Z_SYNC_FLUSH)
        self._held = True
        return b"".join((head, *ahead, body, end[:-4]))

    def finish(self, data: Buffer = b"") -> bytes:
        """Compress the last part of a message, which may be empty.

        The result is ``b""`` when the data is empty and a fragment with content went before.
        An empty message is one octet (RFC 7692, section 7.2.3.6); it is made by hand, because
        a compressor that has just been flushed may answer a second flush with nothing.
        """
        empty = b"" if self._held else b"\x00"
        out = self.fragment(data) or empty
        self._held = False
        if not self._takeover:
            self._compressor = None
        return out

    def reset(self) -> None:
        """Forget what was sent and free the memory, between two calls, with or without takeover.

        What a new compressor writes refers to nothing before it, so the peer needs no notice.
        """
        self._compressor = None
        self._ahead = []


class Inflater:
    """Inflates the messages of one direction in bounded steps (RFC 7692, section 7.2.2).

    A message is any number of ``decompress`` calls, then ``finish``. Both return at most
    ``max_length`` bytes, often less, and then ``pending`` says whether to call once more:

        while chunk := more_of_the_message():
            use(inflater.decompress(chunk, room))
            while inflater.pending:
                use(inflater.decompress(b"", room))
        use(inflater.finish(room))
        while inflater.pending:
            use(inflater.finish(room))

    A message is complete, and the next may begin, when ``finish`` has been called and
    ``pending`` is false. Stopping in the middle and going on later is fine. There is no
    decoder before the first message nor between two; with takeover the window stays.

    Args:
        implementation: which module inflates.
        window_bits: base-2 logarithm of the window that the peer may use, 8 to 15.
        takeover: whether the peer may refer to the messages before.

    Attributes:
        pending: whether there is, or may be, output to take without further input. Such a
            call may turn out to give ``b""``.
        decoders: how many decoders were made: one for each message, one more for each final block
            in the middle of it, and one more for each that ``whole`` has left.
        size: bytes of the last message that ``whole`` returned.
    """

    __slots__ = (
        "_bits",
        "_codec",
        "_decompressor",
        "_ending",
        "_input",
        "_position",
        "_takeover",
        "_window",
        "decoders",
        "pending",
        "size",
    )

    def __init__(self, implementation: Implementation, window_bits: int, takeover: bool) -> None:
        self._codec = load_implementation(implementation)
        # Older compressors take 9 where they were told 8; a bigger window reads both.
        self._bits = max(window_bits, 9)
        self._takeover = takeover
        self._window = bytearray()
        self._decompressor: Decompressor | None = None
        self._input: bytes | memoryview = b""
        self._position = 0
        self._ending = False
        self.pending = False
        self.decoders = 0
        self.size = 0

    def whole(self, data: bytes, limit: int, text: bool) -> str | bytes | None:
        """Return a message that came in one piece, if there is nothing to decide: the usual case.

        Args:
            data: all of its bytes.
            limit: bytes that the message may have.
            text: whether it is text.

        Returns:
            ``None`` when it is long, or longer than ``limit``, or when anything is wrong with it. Nothing has
            changed then but ``decoders``, and ``decompress`` and ``finish`` tell.
        """
        if len(data) > _SHORT:
            return None
        self.decoders += 1
        decompressor = self._codec.decompressobj(-self._bits, zdict=bytes(self._window))
        message: str | bytes
        try:
            out = decompressor.decompress(data + _END, min(limit, _AT_ONCE - 1) + 1)
            message = str(out, "utf-8") if text else out
        except (UnicodeDecodeError, self._codec.error):
            return None
        if len(out) > limit or not decompressor.eof or decompressor.unused_data:
            return None
        self.size = len(out)
        if self._takeover:
            self._remember(out)
            del self._window[: -(1 << self._bits)]
        return message

    def decompress(self, data: Buffer, max_length: int) -> bytes:
        """Inflate what has come of a message; what does not fit is kept for the next call.

        Args:
            data: the next bytes; the buffer may be used anew after the call. Empty to take
                what is pending.
            max_length: the most bytes to return, at least 1.

        Raises:
            InflateError: the data is bad. All state is gone; the connection must be failed.
            RuntimeError: data although the message is finished but not yet taken.
            ValueError: ``max_length`` is below 1.
        """
        _check_room(max_length)
        view = memoryview(data).cast("B")
        if view:
            if self._ending:
                raise RuntimeError("the output of the finished message must be taken first")
            kept = self._kept()
            self._input = b"".join((kept, view)) if kept else view
            self._position = 0
        try:
            return self._step(max_length)
        finally:
            if view:
                self._input = bytes(self._kept())
                self._position = 0

    def finish(self, max_length: int, data: Buffer = b"") -> bytes:
        """End the message, with its last bytes if there are any left to feed.

        Called again while ``pending``, without data, it goes on with the same message. A
        message without a single byte inflates to nothing, and one that ends in a final block
        may leave off the zero octet that RFC 7692, section 7.2.3.4 adds.

        Args:
            max_length: the most bytes to return, at least 1.
            data: the last bytes of the message.

        Raises:
            InflateError: the data is bad or was cut off inside a block.
            RuntimeError: data although the message is finished but not yet taken.
            ValueError: ``max_length`` is below 1.
        """
        _check_room(max_length)
        view = memoryview(data).cast("B")
        if not self._ending:
            self._input = b"".join((self._kept(), view, _END))
            self._position = 0
            self._ending = True
        elif view:
            raise RuntimeError("the output of the finished message must be taken first")
        return self._step(max_length)

    def _kept(self) -> memoryview:
        return memoryview(self._input)[self._position :]

    def _step(self, max_length: int) -> bytes:
        """Give some output if there is any; see to ``pending`` and to the message's end.

        A block that is empty and final takes a new decoder, and two bytes of the peer's: there are only so
        many in one step.
        """
        out = b""
        self.pending = True
        most = self.decoders + _DECODERS_AT_ONCE
        while self.pending and not out and self.decoders < most:
            try:
                out = self._decode(max_length)
            except self._codec.error as error:
                raise self._bad(error) from error
            self._remember(out)
        if self._ending and not self.pending:
            self._end_message()
        return out

    def _end_message(self) -> None:
        complete = self._decompressor is None
        window = self._window
        self._clear()
        if not complete:
            raise InflateError("the compressed data ends inside a block")
        if self._takeover:
            del window[: -(1 << self._bits)]
            self._window = window

    def _decode(self, max_length: int) -> bytes:
        """Put one piece of input through the decoder."""
        decompressor = self._decompressor
        if decompressor is None:
            if self._drained():
                self.pending = False
                return b""
            window = bytes(memoryview(self._window)[-(1 << self._bits) :])
            decompressor = self._codec.decompressobj(-self._bits, zdict=window)
            self._decompressor = decompressor
            self.decoders += 1
        piece = memoryview(self._input)[self._position : self._position + _PIECE]
        end = self._position + len(piece)
        out = decompressor.decompress(piece, max_length)
        self._settle(decompressor, end, len(out) == max_length)
        return out

    def _settle(self, decompressor: Decompressor, end: int, full: bool) -> None:
        """Note how far a decoder came that was given the input up to ``end``."""
        if decompressor.eof:
            rest = decompressor.unused_data
            self._decompressor = None
            if len(rest) > end:
                # isal reads ahead: some of the rest came with a chunk that is gone.
                self._input = b"".join((rest, memoryview(self._input)[end:]))
                end = len(rest)
            self._position = end - len(rest)
            self.pending = not self._drained()
        else:
            self._position = end - len(decompressor.unconsumed_tail)
            # A decoder that filled the room may hold more that it has read already.
            self.pending = full or self._position < len(self._input)

    def _drained(self) -> bool:
        """Whether a decoder that is done, or not begun, has nothing of the peer's before it."""
        left = len(self._input) - self._position
        return left == 0 or (self._ending and left == len(_END))

    def _remember(self, out: bytes) -> None:
        size = 1 << self._bits
        self._window += out[-size:]
        if len(self._window) > 2 * size:
            del self._window[:-size]

    def _bad(self, error: Exception) -> InflateError:
        self._clear()
        return InflateError(f"the compressed data is bad: {error}")

    def _clear(self) -> None:
        self._decompressor = None
        self._window = bytearray()
        self._input = b""
        self._position = 0
        self._ending = False
        self.pending = False
