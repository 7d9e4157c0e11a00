"""What is measured, and the ratio to others in the same run that is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["SCENARIOS", "Scenario", "Target"]

Loops = dict[str, "tuple[float, tuple[str, ...]]"]


@dataclass(frozen=True)
class Target:
    """At most ``ratio`` times the cheapest of ``peers``.

    Attributes:
        subject: which of ours, without its loop.
        loop: the loop of all of them.
        ratio: without peers, the value itself.
        peers: names of servers, or of clients, without their loop.
        scenario: where the peers are measured, if not in the same scenario.
    """

    subject: str
    loop: str
    ratio: float
    peers: tuple[str, ...] = ()
    scenario: str | None = None


@dataclass(frozen=True)
class Scenario:
    """A load, and who has to bear it.

    Attributes:
        title: what it is, for people.
        unit: of the values.
        mode: "echo", "rounds" and "open" are modes of load.c; "client" measures clients; "idle" and
            "growth" measure memory.
        libraries: whose servers, or clients, without their loops.
        connections: how many at once.
        window: messages in flight on each, or connections that are opened at a time.
        size: bytes of a message.
        payload: "binary" is letters; "json" is text, and "deflate" the same, compressed.
        task: what the server does.
        expect: messages of a round, in which one is sent and all of these come back.
        tls: whether connections are encrypted.
        deflate: whether permessage-deflate is negotiated.
        value: which of the load generator's values counts.
        targets: what is aimed at.
    """

    title: str
    libraries: tuple[str, ...]
    targets: tuple[Target, ...] = ()
    unit: str = "µs of server CPU per message"
    mode: Literal["echo", "rounds", "open", "client", "idle", "growth"] = "echo"
    connections: int = 1
    window: int = 1
    size: int = 125
    payload: Literal["binary", "json", "deflate"] = "binary"
    task: Literal["echo", "flood", "broadcast"] = "echo"
    expect: int = 0
    tls: bool = False
    deflate: bool = False
    value: str = "microseconds"


OURS = ("anyws", "anyws plain")
PICOWS = ("picows.websockets",)
CALLBACKS = ("picows",)
BEST = ("websockets", "aiohttp", "picows", "picows.websockets")
WEBSOCKETS = ("websockets",)
RAW_TRIO = ("raw trio",)
LIBRARIES = (*OURS, "websockets", "aiohttp", "picows", "picows.websockets", "trio-websocket")
FLOOR = ("C epoll", "raw protocol", "raw anyio", "raw trio")
LOOPS = ("asyncio", "uvloop", "trio")


def on_each(subject: str, ratio: float, peers: tuple[str, ...] = ()) -> tuple[Target, ...]:
    """Return the same target for each loop."""
    return tuple(Target(subject, loop, ratio, peers) for loop in LOOPS)


def targets(loops: Loops, *, slack: float = 1.0) -> tuple[Target, ...]:
    """Return a target for each loop, and those of the plain build."""
    compiled = [
        Target("anyws", loop, ratio * slack, peers) for loop, (ratio, peers) in loops.items()
    ]
    return (*compiled, *on_each("anyws plain", 0.9, WEBSOCKETS))


PING_PONG: Loops = {"asyncio": (1.0, PICOWS), "uvloop": (1.0, PICOWS), "trio": (1.0, RAW_TRIO)}
IN_FLIGHT: Loops = {"asyncio": (0.25, BEST), "uvloop": (0.25, BEST), "trio": (0.04, WEBSOCKETS)}
MANY: Loops = {"asyncio": (0.8, PICOWS), "uvloop": (0.9, PICOWS), "trio": (0.22, WEBSOCKETS)}
KIB_16: Loops = {"asyncio": (0.85, BEST), "uvloop": (0.8, BEST), "trio": (0.15, WEBSOCKETS)}
MIB_1: Loops = {"asyncio": (0.9, CALLBACKS), "uvloop": (0.95, CALLBACKS), "trio": (1.0, RAW_TRIO)}
TLS: Loops = {"asyncio": (1.0, PICOWS), "uvloop": (1.0, PICOWS), "trio": (0.4, WEBSOCKETS)}
CLIENT: Loops = {"asyncio": (1.0, PICOWS), "uvloop": (1.0, PICOWS), "trio": (0.3, WEBSOCKETS)}
CLIENT_IN_FLIGHT: Loops = {
    "asyncio": (0.3, PICOWS),
    "uvloop": (0.3, PICOWS),
    "trio": (0.05, WEBSOCKETS),
}
FLOOD: Loops = {"asyncio": (1 / 4, BEST), "uvloop": (1 / 4, BEST), "trio": (1 / 20, WEBSOCKETS)}
BROADCAST: Loops = {
    "asyncio": (0.6, WEBSOCKETS),
    "uvloop": (0.6, WEBSOCKETS),
    "trio": (0.2, WEBSOCKETS),
}
OPENING: Loops = {"asyncio": (1.0, BEST), "uvloop": (1.0, BEST), "trio": (1 / 1.5, WEBSOCKETS)}

ECHO = Scenario("", (*LIBRARIES, *FLOOR))
WSS = replace(ECHO, libraries=LIBRARIES, targets=targets(TLS), tls=True)
CLIENTS = replace(
    ECHO,
    libraries=(*LIBRARIES, "httpx-ws"),
    mode="client",
    unit="µs of client CPU per message",
)
IDLE = replace(ECHO, unit="KiB", mode="idle", connections=1000)


def echo_scenarios() -> dict[str, Scenario]:
    """Return those with one kind of message, sent back in the clear."""
    binary = {
        "ping-pong": ("1 connection, ping-pong, 125 B", 1, 1, 125, PING_PONG),
        "in-flight": ("1 connection, 64 in flight, 125 B", 1, 64, 125, IN_FLIGHT),
        "100": ("100 connections, ping-pong, 125 B", 100, 1, 125, MANY),
        "1000": ("1000 connections, ping-pong, 125 B", 1000, 1, 125, MANY),
        "16k": ("10 connections, 8 in flight, 16 KiB", 10, 8, 2**14, KIB_16),
        "1m": ("1 connection, 4 in flight, 1 MiB", 1, 4, 2**20, MIB_1),
    }
    text = {
        "text-200": ("1 connection, ping-pong, JSON of 200 B", 1, 1, 200, PING_PONG),
        "text-200-in-flight": ("1 connection, 64 in flight, JSON of 200 B", 1, 64, 200, IN_FLIGHT),
        "text-4k": ("1 connection, ping-pong, JSON of 4 KiB", 1, 1, 4096, PING_PONG),
        "text-4k-in-flight": ("1 connection, 64 in flight, JSON of 4 KiB", 1, 64, 4096, IN_FLIGHT),
    }
    found = {}
    for name, (title, connections, window, size, loops) in (binary | text).items():
        found[name] = replace(
            ECHO,
            title=title,
            # What gathering frames is worth shows best here.
            libraries=(*ECHO.libraries, *(("anyws at once",) if name == "in-flight" else ())),
            connections=connections,
            window=window,
            size=size,
            payload="json" if name in text else "binary",
            # Text is to be as fast as binary, within 10 %.
            targets=targets(loops, slack=1.1 if name in text else 1.0),
        )
    return found


SCENARIOS = {
    **echo_scenarios(),
    "deflate": replace(
        ECHO,
        title="1 connection, ping-pong, compressed JSON of 4 KiB",
        libraries=(
            *(*OURS, "anyws zlib-ng", "anyws isal"),
            *("websockets", "aiohttp", "picows.websockets"),
        ),
        size=4096,
        payload="deflate",
        deflate=True,
        targets=(
            *on_each("anyws", 0.9, WEBSOCKETS),
            *on_each("anyws zlib-ng", 0.5, WEBSOCKETS),
            *on_each("anyws isal", 0.5, WEBSOCKETS),
            *on_each("anyws plain", 0.9, WEBSOCKETS),
        ),
    ),
    "wss": replace(WSS, title="TLS, 1 connection, ping-pong, 125 B"),
    "wss-1m": replace(WSS, title="TLS, 1 connection, ping-pong, 1 MiB", size=2**20),
    "client": replace(CLIENTS, title="client, ping-pong, 125 B", targets=targets(CLIENT)),
    "client-in-flight": replace(
        CLIENTS,
        title="client, 64 in flight, 125 B",
        window=64,
        targets=targets(CLIENT_IN_FLIGHT),
    ),
    "flood": replace(
        ECHO,
        title="one task sends 100 000 messages of 125 B, nobody answers",
        libraries=LIBRARIES,
        mode="rounds",
        task="flood",
        expect=100_000,
        targets=targets(FLOOD),
    ),
    "broadcast": replace(
        ECHO,
        title="broadcast of 1 KiB to 1000 connections",
        unit="µs of server CPU per delivery",
        libraries=LIBRARIES,
        mode="rounds",
        connections=1000,
        task="broadcast",
        expect=1000,
        targets=targets(BROADCAST),
    ),
    "open": replace(
        ECHO,
        title="connections opened and closed, 16 at a time",
        unit="µs of server CPU per connection",
        libraries=LIBRARIES,
        mode="open",
        window=16,
        targets=targets(OPENING),
    ),
    "10000": replace(
        ECHO,
        title="10 000 connections, ping-pong, 125 B",
        libraries=("anyws", "C epoll"),
        connections=10_000,
        targets=tuple(Target("anyws", loop, 1.3, ("anyws",), "100") for loop in LOOPS),
    ),
    "latency": replace(
        ECHO,
        title="round trip of a lone message of 125 B",
        unit="µs, median",
        libraries=("anyws", "anyws at once", "websockets", "picows.websockets", "C epoll"),
        value="round_trip",
        targets=on_each("anyws", 1.05, ("anyws at once",)),
    ),
    "idle": replace(
        IDLE,
        title="memory of an idle connection",
        libraries=LIBRARIES,
        targets=(
            Target("anyws", "asyncio", 6.0),
            Target("anyws", "uvloop", 6.0),
            Target("anyws", "trio", 9.0),
        ),
    ),
    "idle-deflate": replace(
        IDLE,
        title="memory of an idle connection, deflate negotiated",
        libraries=(*OURS, "websockets", "aiohttp", "picows.websockets"),
        deflate=True,
        targets=(
            Target("anyws", "asyncio", 7.0),
            Target("anyws", "uvloop", 7.0),
            Target("anyws", "trio", 9.0),
        ),
    ),
    "growth": replace(
        IDLE,
        title="memory that 1000 messages leave behind",
        libraries=("anyws",),
        mode="growth",
        connections=200,
        targets=on_each("anyws", 0.1),
    ),
}
