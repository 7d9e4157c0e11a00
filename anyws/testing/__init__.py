"""Tests without a network: connected pairs in memory, faults, a raw peer, and the contract as a function.

Everything works on asyncio, uvloop and trio, and nothing sleeps.
"""

from anyws.testing.checks import check_websocket_pair
from anyws.testing.pairs import WebSocketPair
from anyws.testing.raw import Frame, RawPeer
from anyws.testing.streams import FaultyStream, MemoryStream, lockstep_pair, memory_pair

__all__ = [
    "FaultyStream",
    "Frame",
    "MemoryStream",
    "RawPeer",
    "WebSocketPair",
    "check_websocket_pair",
    "lockstep_pair",
    "memory_pair",
]
