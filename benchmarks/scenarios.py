"""What is measured, and the ratio to a peer of the same run that is aimed at."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SCENARIOS", "Scenario", "Target"]


class Target(NamedTuple):
    """At most ``ratio`` times the cheapest of ``peers``, names of servers without their loop."""

    ratio: float
    peers: tuple[str, ...]


class Scenario(NamedTuple):
    """A load on an echo server: messages of ``size`` bytes, ``window`` in flight on a connection."""

    title: str
    connections: int
    window: int
    size: int
    kind: str
    #: The target on each loop.
    targets: dict[str, Target]


PICOWS = ("picows.websockets",)
CALLBACKS = ("picows",)
BEST = ("websockets", "aiohttp", "picows", "picows.websockets")
WEBSOCKETS = ("websockets",)
RAW_TRIO = ("raw trio",)


def _targets(asyncio: Target, uvloop: Target, trio: Target) -> dict[str, Target]:
    return {"asyncio": asyncio, "uvloop": uvloop, "trio": trio}


_PING_PONG = _targets(Target(1.0, PICOWS), Target(1.0, PICOWS), Target(1.0, RAW_TRIO))
_IN_FLIGHT = _targets(Target(0.25, BEST), Target(0.25, BEST), Target(0.04, WEBSOCKETS))
_MANY = _targets(Target(0.8, PICOWS), Target(0.9, PICOWS), Target(0.22, WEBSOCKETS))

SCENARIOS = {
    "ping-pong": Scenario("1 connection, ping-pong, 125 B", 1, 1, 125, "binary", _PING_PONG),
    "in-flight": Scenario("1 connection, 64 in flight, 125 B", 1, 64, 125, "binary", _IN_FLIGHT),
    "100": Scenario("100 connections, ping-pong, 125 B", 100, 1, 125, "binary", _MANY),
    "1000": Scenario("1000 connections, ping-pong, 125 B", 1000, 1, 125, "binary", _MANY),
    "16k": Scenario(
        "10 connections, 8 in flight, 16 KiB",
        10,
        8,
        16384,
        "binary",
        _targets(Target(0.85, BEST), Target(0.8, BEST), Target(0.15, WEBSOCKETS)),
    ),
    "1m": Scenario(
        "1 connection, 4 in flight, 1 MiB",
        1,
        4,
        2**20,
        "binary",
        _targets(Target(0.9, CALLBACKS), Target(0.95, CALLBACKS), Target(1.0, RAW_TRIO)),
    ),
    "text-ping-pong": Scenario(
        "1 connection, ping-pong, text of 200 B", 1, 1, 200, "text", _PING_PONG
    ),
    "text-in-flight": Scenario(
        "1 connection, 64 in flight, text of 4 KiB", 1, 64, 4096, "text", _IN_FLIGHT
    ),
}
