"""The client's side of the opening handshake (RFC 6455, section 4.1)."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from anyws.core.deflate import EXTENSION_NAME
from anyws.core.handshake.headers import (
    Headers,
    HeadersLike,
    build_extensions,
    is_token,
    parse_extensions,
    parse_token_list,
)
from anyws.core.handshake.http import ResponseReader
from anyws.core.handshake.request import Request
from anyws.core.handshake.upgrade import (
    Acceptance,
    accept_value,
    added_headers,
    checked_subprotocols,
    names_protocol,
)
from anyws.core.handshake.uri import split_authority
from anyws.errors import InvalidHandshake, RejectedHandshake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyws.core.deflate import Deflate, DeflateParameters
    from anyws.core.handshake.response import Response
    from anyws.core.handshake.uri import URI
    from anyws.limits import Limits

__all__ = ["ClientHandshake"]

# A user may set these, but a request carries each of them once.
_SINGLE = ("Host", "User-Agent", "Authorization", "Origin")


class ClientHandshake:
    """Makes one upgrade request and judges its answer.

    Args:
        uri: where to connect to. A user name in it makes an ``Authorization`` header.
        headers: what to add to the request. ``Host``, ``User-Agent`` and ``Authorization``
            take the place of ours.
        origin: the ``Origin`` header, for a client that is a browser or acts for one.
        subprotocols: what to offer, in the order of preference.
        compression: what to offer of permessage-deflate; ``None`` offers nothing.
        limits: the bounds of the answer.
        user_agent: the ``User-Agent`` header; ``None`` sends none.

    Raises:
        TypeError: a header is not a ``str``, or ``subprotocols`` is a single string.
        ValueError: a header is malformed, belongs to the handshake or comes twice; a
            subprotocol is not a token or comes twice; the URI cannot be written to a request.
    """

    #: The request.
    request: Request
    #: The bytes to send.
    data: bytes

    def __init__(
        self,
        uri: URI,
        *,
        headers: HeadersLike = (),
        origin: str | None = None,
        subprotocols: Sequence[str] = (),
        compression: Deflate | None = None,
        limits: Limits,
        user_agent: str | None = None,
    ) -> None:
        self._subprotocols = checked_subprotocols(subprotocols)
        self._compression = compression
        self._key = base64.b64encode(os.urandom(16)).decode("ascii")
        self._reader = ResponseReader(limits)
        self._secure = uri.secure
        self._acceptance: Acceptance | None = None
        added = added_headers(headers)
        ours = self._handshake_headers(uri, origin, user_agent, added)
        every = Headers([*ours, *(pair for pair in added.raw if pair[0].lower() != "host")])
        for name in _SINGLE:
            if len(every.get_all(name)) > 1:
                raise ValueError(f"the header {name} is set twice")
        self.request = Request("GET", uri.resource, every)
        self.data = self.request.serialize()

    @property
    def leftover(self) -> bytes:
        """What came after the answer: the first frames."""
        return self._reader.leftover

    @property
    def answered(self) -> bool:
        """Whether the server has answered with another status than 101, and only the body is not whole."""
        return self._reader.answered

    def receive_data(self, data: bytes) -> Acceptance | None:
        """Take what has arrived; return the outcome once the answer is complete.

        Raises:
            InvalidHandshake: the answer breaks a rule (RFC 6455, section 4.1); the connection
                must be dropped and no frame be sent.
            RejectedHandshake: the server answered with another status than 101.
        """
        response = self._reader.receive_data(data)
        if response is None:
            return None
        self._acceptance = self._judge(response)
        return self._acceptance

    def receive_eof(self) -> Acceptance:
        """Take the end of the stream, which also ends the body of some answers.

        Returns:
            The outcome, if ``receive_data`` has returned it before.

        Raises:
            InvalidHandshake: there was no answer, or half of one.
            RejectedHandshake: the answer had another status than 101.
        """
        if self._acceptance is None and self._reader.empty and not self._secure:
            # What a server that expects TLS often does with plain text.
            raise InvalidHandshake(
                "the server closed the connection without an answer; does it expect wss://?"
            )
        return self._acceptance or self._judge(self._reader.receive_eof())

    def _handshake_headers(
        self, uri: URI, origin: str | None, user_agent: str | None, added: Headers
    ) -> list[tuple[str, str]]:
        # RFC 9110, section 7.2: Host goes first.
        hosts = added.get_all("Host") or [uri.authority]
        if split_authority(hosts[0]) is None:
            raise ValueError(f"not a valid Host header: {hosts[0]!r}")
        pairs = [("Host", host) for host in hosts]
        pairs += [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self._key),
            ("Sec-WebSocket-Version", "13"),
        ]
        if origin is not None:
            pairs.append(("Origin", origin))
        if self._subprotocols:
            pairs.append(("Sec-WebSocket-Protocol", ", ".join(self._subprotocols)))
        if self._compression is not None:
            offer = build_extensions([(EXTENSION_NAME, self._compression.offer())])
            pairs.append(("Sec-WebSocket-Extensions", offer))
        if uri.authorization is not None and "Authorization" not in added:
            pairs.append(("Authorization", uri.authorization))
        if user_agent is not None and "User-Agent" not in added:
            pairs.append(("User-Agent", user_agent))
        return pairs

    def _judge(self, response: Response) -> Acceptance:
        headers = response.headers
        if response.status != 101:
            raise RejectedHandshake(response.status, response.reason, headers.raw, response.body)
        upgrades = headers.get_all("Upgrade")
        if len(upgrades) != 1 or not names_protocol(upgrades, "websocket"):
            raise InvalidHandshake("the answer lacks the header Upgrade: websocket")
        tokens = parse_token_list(headers.get_all("Connection"))
        if "upgrade" not in map(str.lower, tokens):
            raise InvalidHandshake("the answer lacks the header Connection: Upgrade")
        if headers.get("Sec-WebSocket-Accept") != accept_value(self._key):
            raise InvalidHandshake("Sec-WebSocket-Accept does not answer the key of the request")
        return Acceptance(response, b"", self._subprotocol(headers), self._deflate(headers))

    def _subprotocol(self, headers: Headers) -> str | None:
        names = headers.get_all("Sec-WebSocket-Protocol")
        if not names:
            return None
        if len(names) != 1 or not is_token(names[0]):
            raise InvalidHandshake("the answer must name one subprotocol")
        if names[0] not in self._subprotocols:
            raise InvalidHandshake("the server chose a subprotocol that was not offered")
        return names[0]

    def _deflate(self, headers: Headers) -> DeflateParameters | None:
        extensions = parse_extensions(headers.get_all("Sec-WebSocket-Extensions"))
        if not extensions:
            return None
        name, parameters = extensions[0]
        if self._compression is None or name != EXTENSION_NAME:
            raise InvalidHandshake("the server uses an extension that was not offered")
        if len(extensions) > 1:
            raise InvalidHandshake("the server uses more extensions than were offered")
        return self._compression.confirm(parameters)
