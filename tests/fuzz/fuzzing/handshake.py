"""Targets: the opening handshake, in both roles."""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from anyws.core.deflate import Deflate
from anyws.core.handshake.client import ClientHandshake
from anyws.core.handshake.server import ServerHandshake, error_response
from anyws.core.handshake.uri import parse_uri
from anyws.errors import InvalidHandshake, RejectedHandshake
from anyws.limits import Limits
from fuzzing import corpus

_LIMITS = Limits(handshake_size=600, handshake_line=200, handshake_headers=9)
_STATUSES = {400, 403, 405, 414, 426, 431, 505}


class Head(NamedTuple):
    """What a peer sends."""

    pieces: list[bytes]


def _request_outcome(pieces):
    handshake = ServerHandshake(
        limits=_LIMITS, subprotocols=["chat"], compression=Deflate(), origins=None
    )
    request, rest = None, list(pieces)
    try:
        while request is None and rest:
            request = handshake.receive_data(rest.pop(0))
        if request is None:
            handshake.receive_eof()
        leftover = handshake.leftover + b"".join(rest)
        acceptance = handshake.accept(request)
    except InvalidHandshake as error:
        assert error.status in _STATUSES
        answer = handshake.reject(error_response(error))
        assert answer.startswith(b"HTTP/1.1 %d " % error.status)
        return error.status, str(error), request
    assert acceptance.data.startswith(b"HTTP/1.1 101 ")
    return acceptance, request, leftover


def check_request(drawn):
    """Compare what comes of a request in pieces and in one."""
    pieces = drawn.pieces
    assert _request_outcome(pieces) == _request_outcome([b"".join(pieces)])


def _response_outcome(data, sizes):
    handshake = ClientHandshake(
        parse_uri("ws://a/"), subprotocols=["chat"], compression=Deflate(), limits=_LIMITS
    )
    # The key of RFC 6455, section 1.3, which the answers in the corpus belong to.
    handshake._key = "dGhlIHNhbXBsZSBub25jZQ=="
    acceptance, position = None, 0
    try:
        while acceptance is None and sizes:
            size = sizes[0]
            acceptance = handshake.receive_data(data[position : position + size])
            position += size
            sizes = sizes[1:]
        acceptance = acceptance or handshake.receive_eof()
    except InvalidHandshake as error:
        return str(error), None
    except RejectedHandshake as error:
        assert len(error.body) <= _LIMITS.handshake_size
        return error.args
    assert acceptance.subprotocol in {None, "chat"}
    leftover = handshake.leftover + data[position:]
    return acceptance, leftover


def check_response(drawn):
    """Compare what comes of an answer in pieces and in one."""
    data = b"".join(drawn.pieces)
    sizes = [len(piece) for piece in drawn.pieces]
    assert _response_outcome(data, sizes) == _response_outcome(data, [len(data)])


@st.composite
def _heads(draw, name):
    return Head(draw(corpus.cuts(draw(corpus.anything(name)))))


REQUESTS = _heads("requests")
RESPONSES = _heads("responses")


def head_corpus(name):
    """Give each seed byte by byte."""
    for key, data in corpus.seeds(name).items():
        drawn: Any = Head([data[i : i + 1] for i in range(len(data))])
        yield key, drawn
