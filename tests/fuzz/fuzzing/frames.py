"""Random streams of frames: mostly as RFC 6455 wants them, so that what is wrong comes late."""

import random
import zlib
from typing import NamedTuple

from fuzzing.reference import Settings

_TEXTS = [
    "",
    "text",
    "é",
    "€uro",
    "\U0001f40d snake",
    "\ud7ff\ue000\U0010ffff",
    "x" * 125,
    "ü" * 63,
    "z" * 700,
]
_BAD_TEXT = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"ok\x80",
    b"\xf0\x9f\x90",
]
_SIZES = [0, 1, 7, 8, 9, 124, 125, 126, 127, 128, 300, 1000, 4096]
_LARGE = [65535, 65536, 65537, 70001]
_CODES = [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999]
_BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]


class Case(NamedTuple):
    """One stream, how it is cut, and what was agreed on."""

    seed: int
    settings: Settings
    receive_buffer: int
    pieces: list[bytes]

    @property
    def data(self):
        """The whole stream."""
        return b"".join(self.pieces)


def frame(first, payload, key, length_form=None):
    """Encode one frame.

    Args:
        first: FIN, reserved bits and opcode.
        payload: bytes.
        key: four bytes, or ``None`` for no mask.
        length_form: 16 or 64 for a length that is written with so many bits, short or not.
    """
    length = len(payload)
    mask_bit = 0 if key is None else 0x80
    if length_form == 64 or (length_form is None and length > 65535):
        header = bytes((first, mask_bit | 127)) + length.to_bytes(8, "big")
    elif length_form == 16 or length > 125:
        header = bytes((first, mask_bit | 126)) + length.to_bytes(2, "big")
    else:
        header = bytes((first, mask_bit | length))
    if key is None:
        return header + payload
    keystream = (key * (length // 4 + 1))[:length]
    number = int.from_bytes(payload) ^ int.from_bytes(keystream)
    return header + key + number.to_bytes(length)


class Stream:
    """Writes random frames.

    Args:
        choice: a ``random.Random``.
        settings: what was agreed on.
    """

    def __init__(self, choice, settings):
        self._random = choice
        self._settings = settings
        self._window = b""

    def build(self):
        """Return a stream of some frames, maybe broken off, maybe damaged."""
        choice = self._random
        if choice.random() < 0.05:
            return choice.randbytes(choice.randrange(200))
        frames = [part for _ in range(choice.randrange(1, 9)) for part in self._some()]
        if choice.random() < 0.5:
            frames.insert(choice.randrange(len(frames) + 1), self._fault())
        data = bytearray(b"".join(frames))
        if data and choice.random() < 0.15:
            data[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
        if choice.random() < 0.2:
            del data[choice.randrange(len(data) + 1) :]
        return bytes(data)

    def _frame(self, first, payload, length_form=None):
        key = None
        if self._settings.masked:
            key = self._random.choice([bytes(4), self._random.randbytes(4)])
        return frame(first, payload, key, length_form)

    def _some(self):
        """Give one message in one or more frames, or a control frame."""
        choice = self._random
        if choice.random() < 0.2:
            return [self._control()]
        if choice.random() < 0.03:
            code = choice.choice(_CODES).to_bytes(2, "big")
            return [self._frame(0x88, choice.choice([b"", code, code + "é".encode()]))]
        text = choice.random() < 0.5
        payload = self._text() if text else self._bytes()
        if text and choice.random() < 0.05:
            payload += choice.choice(_BAD_TEXT)
        reserved = 0
        if self._settings.deflate and choice.random() < 0.6:
            reserved, payload = 0x40, self._compressed(payload)
        return self._fragmented(1 if text else 2, reserved, payload)

    def _text(self):
        return "".join(self._random.choices(_TEXTS, k=self._random.randrange(4))).encode(
            "utf-8", "surrogatepass"
        )

    def _bytes(self):
        size = self._random.choice(_LARGE if self._random.random() < 0.03 else _SIZES)
        return self._random.choice([bytes(size), self._random.randbytes(size)])

    def _control(self):
        payload = self._random.randbytes(self._random.choice([0, 1, 20, 125]))
        return self._frame(self._random.choice([0x89, 0x8A]), payload)

    def _compressed(self, payload):
        choice = self._random
        # 9 is where zlib makes no window any smaller; each kind of block comes from one of these.
        compressor = zlib.compressobj(
            choice.choice([0, 1, 6]),
            zlib.DEFLATED,
            -choice.choice([9, 15]),
            8,
            choice.choice([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY]),
            **({"zdict": self._window[-400:]} if self._window and choice.random() < 0.7 else {}),
        )
        out = compressor.compress(payload)
        if choice.random() < 0.1:
            out += compressor.flush(zlib.Z_FINISH)
            out += choice.choice([b"", b"\x00"])
        else:
            out += compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
        # What a broken peer makes of the context is as good as what a right one does.
        self._window = payload if self._settings.takeover or choice.random() < 0.1 else b""
        if choice.random() < 0.04:
            out = out[: choice.randrange(len(out) + 1)] + choice.choice([b"", b"\xff\xff", b"\x07"])
        return out

    def _fragmented(self, opcode, reserved, payload):
        choice = self._random
        count = 1 if choice.random() < 0.6 else choice.randrange(2, 5)
        ends = sorted(choice.randrange(len(payload) + 1) for _ in range(count - 1))
        pieces = [
            payload[start:end] for start, end in zip([0, *ends], [*ends, len(payload)], strict=True)
        ]
        frames = []
        for index, piece in enumerate(pieces):
            first = reserved | opcode if index == 0 else 0
            first |= 0x80 if index == count - 1 else 0
            frames.append(self._frame(first, piece))
            if choice.random() < 0.1:
                frames.append(self._control())
        return frames

    def _fault(self):
        choice = self._random
        payload = choice.randbytes(choice.choice([0, 3, 126]))
        wrong_key = None if self._settings.masked else b"abcd"
        return choice.choice(
            [
                lambda: self._frame(choice.randrange(256), payload),
                lambda: frame(0x82, payload, wrong_key),
                lambda: self._frame(0x82, payload[:125], 16),
                lambda: self._frame(0x81, payload, 64),
                lambda: self._frame(0x80, payload),
                lambda: self._frame(0x02, payload),
                lambda: self._frame(0x09, b""),
                lambda: self._frame(0x89, choice.randbytes(126)),
                lambda: self._frame(0x88, b"x"),
                lambda: self._frame(0x88, choice.choice(_BAD_CODES).to_bytes(2, "big")),
                lambda: self._frame(0x88, b"\x03\xe8" + choice.choice(_BAD_TEXT)),
                lambda: self._frame(0x81, choice.choice(_BAD_TEXT)),
                lambda: (
                    bytes((0x82, 0xFF if self._settings.masked else 0x7F))
                    + choice.choice([2**63, 2**64 - 1, 2**62, 2**32]).to_bytes(8, "big")
                ),
            ]
        )()


def _cut(choice, data):
    style = choice.randrange(4)
    if style == 0:
        return [data]
    if style == 1 and len(data) < 600:
        return [data[i : i + 1] for i in range(len(data))]
    most = choice.choice([3, 20, 1000, 70000])
    pieces = []
    while data:
        size = choice.randrange(1, most + 1)
        pieces.append(data[:size])
        data = data[size:]
        if len(pieces) > 300:
            most = 70000
    return pieces


def random_case(seed):
    """Return the case that belongs to ``seed``, an ``int``."""
    choice = random.Random(seed)
    deflate = choice.random() < 0.5
    settings = Settings(
        masked=choice.random() < 0.6,
        deflate=deflate,
        takeover=choice.random() < 0.7,
        message_size=choice.choice([None, None, 2**20, 2**20, 1000, 126, 5]),
        fragments=choice.choice([None, None, None, None, 2]),
    )
    data = Stream(choice, settings).build()
    return Case(seed, settings, choice.choice([1, 500, 65536]), _cut(choice, data))
