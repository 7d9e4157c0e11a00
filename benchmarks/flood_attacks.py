"""What hostile clients do to a server: ``FLOODS``, each with the reaction that anyws promises."""

from __future__ import annotations

import contextlib
import time
import zlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from flood_peer import HEAD, Peer, Victim, frame

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
UPGRADE = HEAD % b"/"
#: A server that does not know compression is not asked for it.
NOT_KNOWN = "-"
#: It takes what its buffers hold, and the rest stays with who sends it.
STOPS = "reads no more"
#: It had not taken all of it when the flood was broken off.
SLOW = "is not done"


class Flood(NamedTuple):
    """One way to flood a server.

    Args:
        title: what is sent, in a few words; ``{}`` stands for ``size``.
        run: does it; takes the server and a size, returns what became of it.
        size: how much of it.
        expected: what anyws does.
        reduced: the size in the tests.
        scales: whether less of it is a flood as well.
    """

    title: str
    run: Callable[[Victim, int], str]
    size: int
    expected: str
    reduced: int
    scales: bool = True


def tiny_fragments(victim: Victim, size: int) -> str:
    """One byte in each frame, and the last comes late."""
    with victim.peer() as peer:
        peer.upgrade()
        peer.send(frame(0x02, b"x") + frame(0x00, b"x") * 10)
        peer.send(frame(0x00, b"x"), size)
        return after_fragments(victim, peer, size + 11)


def after_fragments(victim: Victim, peer: Peer, length: int) -> str:
    """Finish the message, which was not too long."""
    if peer.late:
        return SLOW
    victim.settle()
    peer.send(frame(0x80, b""))
    found = peer.next_frame(20.0)
    if found == (0x82, b"x" * length):
        return "delivered"
    if found is not None and found[0] == 0x88:
        return str(int.from_bytes(found[1][:2], "big"))
    return "cut" if peer.ended else "lost"


def many_fragmenters(victim: Victim, size: int) -> str:
    """Fifty connections that do the same."""
    with ExitStack() as stack:
        peers = [stack.enter_context(victim.peer()) for _ in range(50)]
        for peer in peers:
            peer.upgrade()
            peer.send(frame(0x02, b"x"))
        for peer in peers:
            peer.send(frame(0x00, b"x"), size // 50)
        return after_fragments(victim, peers[0], size // 50 + 1)


def empty_fragments(victim: Victim, size: int) -> str:
    """Nothing in each frame, and the last comes late."""
    with victim.peer() as peer:
        peer.upgrade()
        peer.send(frame(0x02, b"x"))
        peer.send(frame(0x00), size)
        return after_fragments(victim, peer, 1)


def unread_pings(victim: Victim, size: int) -> str:
    """Pings, whose answers nobody reads."""
    return unread(victim, frame(0x89, b"p" * 125), size, b"/")


def unread_echoes(victim: Victim, size: int) -> str:
    """Messages, whose echoes nobody reads."""
    return unread(victim, frame(0x82, b"m" * 2**16), size, b"/")


def unread_small_echoes(victim: Victim, size: int) -> str:
    """The same with the smallest messages."""
    return unread(victim, frame(0x82), size, b"/")


def idle_handler(victim: Victim, size: int) -> str:
    """Messages to a handler that does not receive."""
    return unread(victim, frame(0x82, b"m" * 2**16), size, b"/idle")


def idle_handler_small(victim: Victim, size: int) -> str:
    """The same with small messages."""
    return unread(victim, frame(0x81, b"mm"), size, b"/idle")


def idle_handler_pings(victim: Victim, size: int) -> str:
    """Pings to a handler that does not receive, whose answers nobody reads."""
    return unread(victim, frame(0x89, b"p" * 125), size, b"/idle")


def unread(victim: Victim, data: bytes, times: int, target: bytes) -> str:
    """Send, and read nothing."""
    with victim.peer() as peer:
        peer.upgrade(target)
        took_all = peer.send(data, times, reading=False)
        victim.settle()
        if peer.ended:
            return "cut"
        if peer.late:
            return SLOW
        return "reads all" if took_all else STOPS


def bomb(size: int) -> bytes:
    """Return so many zeros, compressed."""
    compressor = zlib.compressobj(9, wbits=-15)
    block = bytes(MIB)
    data = b"".join(compressor.compress(block) for _ in range(size // MIB))
    data += compressor.compress(bytes(size % MIB))
    return (data + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def plain_bomb(victim: Victim, size: int) -> str:
    """A message that is large once inflated, in one frame."""
    with victim.peer() as peer:
        if not peer.upgrade(deflate=True):
            return NOT_KNOWN
        peer.send(frame(0xC2, bomb(size)))
        return peer.reaction()


def bomb_in_fragments(victim: Victim, size: int) -> str:
    """The same, 500 bytes in each frame."""
    with victim.peer() as peer:
        if not peer.upgrade(deflate=True):
            return NOT_KNOWN
        data = bomb(size)
        for start in range(0, len(data), 500):
            first = 0x00 if start else 0x42
            peer.send(frame(first | (0x80 if start + 500 >= len(data) else 0), data[start:][:500]))
        return peer.reaction()


def final_blocks(victim: Victim, size: int) -> str:
    """Two-byte blocks that each end a stream of deflate, in one message."""
    with victim.peer() as peer:
        if not peer.upgrade(deflate=True):
            return NOT_KNOWN
        peer.send(frame(0xC2, b"\x03\x00" * size + b"\x00"))
        found = peer.next_frame(20.0)
        if found is not None and found[0] == 0x88:
            return str(int.from_bytes(found[1][:2], "big"))
        return "delivered" if found else "lost"


def declared_sizes(victim: Victim, _: int) -> str:
    """Lengths that are only said: 2**62, and 64 MiB with 1 kB of it there."""
    found = []
    for declared, there in ((2**62, 0), (64 * MIB, 1000)):
        with victim.peer() as peer:
            peer.upgrade()
            peer.send(b"\x82\xff" + declared.to_bytes(8, "big") + bytes(4 + there))
            found.append(peer.reaction(2.0))
    return "/".join(dict.fromkeys(found))


def impossible_sizes(victim: Victim, _: int) -> str:
    """Lengths of 2**63 and 2**64-1, and fragments whose sum is over 2**63."""
    found = []
    for data in (
        b"\x82\xff\x80" + bytes(7 + 4),
        b"\x82\xff" + b"\xff" * 8 + bytes(4),
        frame(0x02, b"x") + b"\x80\xff\x7f" + b"\xff" * 7 + bytes(4),
    ):
        with victim.peer() as peer:
            peer.upgrade()
            peer.send(data)
            found.append(peer.reaction(2.0))
    return "/".join(dict.fromkeys(found))


def after_violation(victim: Victim, size: int) -> str:
    """A frame that breaks a rule, and messages behind it without end."""
    with victim.peer() as peer:
        peer.upgrade()
        peer.send(b"\x83\x80\x01\x02\x03\x04")
        peer.send(frame(0x82, b"m" * 2**16), size)
        return peer.reaction()


def after_close(victim: Victim, size: int) -> str:
    """A close frame, and messages behind it without end."""
    with victim.peer() as peer:
        peer.upgrade()
        peer.send(frame(0x88, b"\x03\xe8"))
        peer.send(frame(0x82, b"m" * 2**16), size)
        return peer.reaction()


def resets(victim: Victim, size: int) -> str:
    """Connections that are reset in the middle of a message."""
    for _ in range(size):
        with victim.peer() as peer:
            peer.upgrade()
            peer.send(frame(0x02, b"x") + frame(0x80, bytes(1000))[:500])
            peer.reset()
    return "serves" if victim.settle() and victim.serves() else "does not serve"


def many_headers(victim: Victim, size: int) -> str:
    """So many header lines."""
    with victim.peer() as peer:
        peer.send(UPGRADE + b"".join(b"X-%d: x\r\n" % number for number in range(size)) + b"\r\n")
        return peer.status()


def endless_headers(victim: Victim, size: int) -> str:
    """So many bytes of header lines, and no end of them."""
    with victim.peer() as peer:
        peer.send(UPGRADE)
        peer.send(b"X-Header: x\r\n", size // 13)
        return peer.status(2.0)


def long_header(victim: Victim, size: int) -> str:
    """One header line of so many bytes."""
    with victim.peer() as peer:
        peer.send(UPGRADE + b"X-Header: " + b"x" * size + b"\r\n\r\n")
        return peer.status()


def head_byte_by_byte(victim: Victim, size: int) -> str:
    """A request of so many bytes, one at a time."""
    line = b"X-Header: " + b"x" * 88 + b"\r\n"
    with victim.peer() as peer:
        for byte in UPGRADE + line * ((size - len(UPGRADE) - 2) // 100) + b"\r\n":
            peer.send(bytes((byte,)))
        return peer.status()


def backtracking(victim: Victim, size: int) -> str:
    """Header values that regular expressions take long for."""
    found = []
    for header in (
        b'Sec-WebSocket-Extensions: permessage-deflate; a="' + b"\\c" * (size // 2),
        b"Sec-WebSocket-Protocol: a" + b" " * size + b"x",
    ):
        with victim.peer() as peer:
            peer.send(UPGRADE + header + b"\r\n\r\n")
            found.append(peer.status())
    return "/".join(dict.fromkeys(found))


def half_open(victim: Victim, size: int) -> str:
    """So many clients that send half a request and wait."""
    with ExitStack() as stack:
        for _ in range(size):
            try:
                peer = stack.enter_context(victim.peer())
            except OSError:
                break
            peer.send(UPGRADE)
        victim.settle(3.0)
        return "serves" if victim.serves() else "does not serve"


def slow_handshake(victim: Victim, size: int) -> str:
    """Two header lines a second, for so many seconds at most."""
    began = time.monotonic()
    with victim.peer() as peer:
        peer.send(UPGRADE)
        while not peer.ended and time.monotonic() - began < size:
            peer.send(b"X-Header: x\r\n")
            with contextlib.suppress(IndexError):
                peer.head(0.5)
        took = time.monotonic() - began
        return f"cut after {took:.0f} s" if peer.ended else f"open after {took:.0f} s"


_FLOODS = [
    ("tiny fragments", "{:,} fragments of 1 byte", tiny_fragments, 100_000, "delivered", 20_000),
    (
        "fifty at once",
        "{:,} fragments of 1 byte from 50 clients",
        many_fragmenters,
        250_000,
        "delivered",
        25_000,
    ),
    ("empty fragments", "{:,} empty fragments", empty_fragments, 250_000, "delivered", 20_000),
    (
        "pings never read",
        "{:,} pings, answers unread",
        unread_pings,
        500_000,
        "reads all",
        20_000,
    ),
    ("echo never read", "{:,} messages of 64 KiB, echoes unread", unread_echoes, 1_000, STOPS, 500),
    (
        "small echo never read",
        "{:,} empty messages, echoes unread",
        unread_small_echoes,
        4_000_000,
        STOPS,
        200_000,
    ),
    ("never received", "{:,} messages of 64 KiB, not received", idle_handler, 1_000, STOPS, 300),
    (
        "small, never received",
        "{:,} messages of 2 bytes, not received",
        idle_handler_small,
        1_000_000,
        STOPS,
        500_000,
    ),
    (
        "pings, never received",
        "{:,} pings, nothing received, answers unread",
        idle_handler_pings,
        100_000,
        "reads all",
        20_000,
    ),
    ("bomb", "{:,} zeros, compressed", plain_bomb, 64 * MIB, "1009", 16 * MIB),
    (
        "bomb in fragments",
        "{:,} zeros, compressed, 500 bytes a frame",
        bomb_in_fragments,
        64 * MIB,
        "1009",
        16 * MIB,
    ),
    ("final blocks", "{:,} final blocks of deflate", final_blocks, 100_000, "delivered", 20_000),
    ("declared sizes", "64 MiB and 2^62 bytes, only declared", declared_sizes, 1, "1009", 1),
    ("impossible sizes", "sizes and sums of 2^63 and more", impossible_sizes, 1, "1002/1009", 1),
    (
        "after a violation",
        "{:,} messages of 64 KiB after a violation",
        after_violation,
        1_000,
        "1002",
        50,
    ),
    (
        "after a close frame",
        "{:,} messages of 64 KiB after a close frame",
        after_close,
        1_000,
        "1000",
        50,
    ),
    ("resets", "{:,} resets in the middle of a message", resets, 200, "serves", 10),
    ("many headers", "{:,} headers", many_headers, 300, "431", 300, False),
    ("endless headers", "{:,} bytes of headers, no end", endless_headers, 10 * MIB, "431", MIB),
    ("long header", "a header of {:,} bytes", long_header, 100_000, "431", 100_000),
    (
        "head byte by byte",
        "a request of {:,} bytes, byte by byte",
        head_byte_by_byte,
        8_000,
        "101",
        1_000,
    ),
    ("backtracking", "quotes and blanks in headers, {:,} bytes", backtracking, 7_000, "400", 7_000),
    ("half-open handshakes", "{:,} half-open handshakes", half_open, 5_000, "serves", 200),
    ("slow handshake", "two header lines a second", slow_handshake, 15, "cut after 10 s", 0, False),
]
#: Every flood, by its name.
FLOODS = {name: Flood(*fields) for name, *fields in _FLOODS}
