"""WebSockets for structured concurrency: one library on asyncio, uvloop and trio."""

from anyws.client import client_over, connect
from anyws.core.deflate import Deflate
from anyws.core.handshake.headers import Headers
from anyws.core.handshake.request import Request
from anyws.core.handshake.response import Response
from anyws.enums import CloseCode, DataType, Opcode, State
from anyws.errors import (
    Close,
    CloseCause,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    HandshakeError,
    InvalidHandshake,
    InvalidURI,
    ProtocolError,
    RejectedHandshake,
    Rule,
)
from anyws.limits import Limits
from anyws.server import Server, accept, serve
from anyws.stream.broadcast import broadcast
from anyws.stream.buffer import Buffer
from anyws.stream.fragment import FragmentContext
from anyws.stream.reader import WebSocketReader
from anyws.stream.websocket import Statistics, WebSocket
from anyws.stream.writer import WebSocketWriter

__all__ = [
    "Buffer",
    "Close",
    "CloseCause",
    "CloseCode",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DataType",
    "Deflate",
    "FragmentContext",
    "HandshakeError",
    "Headers",
    "InvalidHandshake",
    "InvalidURI",
    "Limits",
    "Opcode",
    "ProtocolError",
    "RejectedHandshake",
    "Request",
    "Response",
    "Rule",
    "Server",
    "State",
    "Statistics",
    "WebSocket",
    "WebSocketReader",
    "WebSocketWriter",
    "accept",
    "broadcast",
    "client_over",
    "connect",
    "serve",
]
