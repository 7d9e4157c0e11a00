"""The frames that the load generator sends: masked, as a client's are."""

from __future__ import annotations

import json
import random
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios import Scenario

__all__ = ["frame", "frames_of", "json_text"]

MASK = bytes.fromhex("37fa213d")
TEXT, BINARY = 1, 2
#: Different texts in turn, so that a compressor's window does not hold the same text already.
TEXTS = 16
#: Messages, or deliveries, of the round that is not counted.
WARM_UP = 1000


def frame(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """Return one final frame from a client (RFC 6455, section 5.2)."""
    size = len(payload)
    first = bytes([0x80 | (0x40 if compressed else 0) | opcode])
    if size < 126:
        header = first + bytes([0x80 | size])
    elif size < 2**16:
        header = first + b"\xfe" + size.to_bytes(2, "big")
    else:
        header = first + b"\xff" + size.to_bytes(8, "big")
    key = MASK * (size // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key[:size], "big")
    return header + MASK + masked.to_bytes(size, "big")


def json_text(size: int, seed: int) -> bytes:
    """Return a JSON array of records, ``size`` bytes of ASCII."""
    source = random.Random(seed)  # noqa: S311
    words = ["open", "pending", "shipped", "cancelled", "Berlin", "Lagos", "Lima", "Osaka"]
    text = "["
    while True:
        record = {
            "id": source.randrange(10**6),
            "state": source.choice(words),
            "price": round(source.random() * 1000, 2),
            "tags": source.sample(words, 2),
        }
        longer = f"{text}{json.dumps(record)}, "
        if len(longer) > size - 3:
            break
        text = longer
    filler = "x" * (size - len(text) - 3)
    return f'{text}"{filler}"]'.encode()


def compress(payload: bytes) -> bytes:
    """Compress one message that refers to no other (RFC 7692, section 7.2.1)."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12, 5)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def frames_of(scenario: Scenario) -> bytes:
    """Return the frames that ``scenario`` sends over and over."""
    if scenario.mode == "rounds":
        numbers = (str(count).encode() for count in (WARM_UP, scenario.expect))
        return b"".join(frame(TEXT, number) for number in numbers)
    if scenario.payload == "binary":
        letters = b"abcdefghijklmnopqrstuvwxyz" * (scenario.size // 26 + 1)
        return frame(BINARY, letters[: scenario.size])
    texts = [json_text(scenario.size, seed) for seed in range(TEXTS)]
    if scenario.payload == "json":
        return b"".join(frame(TEXT, text) for text in texts)
    return b"".join(frame(TEXT, compress(text), compressed=True) for text in texts)
