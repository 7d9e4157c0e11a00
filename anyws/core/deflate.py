"""permessage-deflate: what is offered, answered and agreed (RFC 7692, sections 5 and 7.1).

A server answers only what the client offered, with one exception that RFC 7692, section
7.1.1.2 gives it: ``client_no_context_takeover``. Whatever it may do without telling, such
as a smaller window or no takeover for its own messages, it does without telling. A client
is strict with what an answer says and lenient with what it leaves out, because servers that
know no window bits leave out what they owe, and reading with a bigger window or keeping a
context longer is always right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from anyws.core.compression import Implementation, load_implementation
from anyws.core.deflate_streams import Deflater, InflateError, Inflater
from anyws.enums import Role
from anyws.errors import InvalidHandshake

__all__ = [
    "EXTENSION_NAME",
    "Deflate",
    "DeflateParameters",
    "Deflater",
    "Implementation",
    "InflateError",
    "Inflater",
]

EXTENSION_NAME = "permessage-deflate"

_SERVER_TAKEOVER = "server_no_context_takeover"
_CLIENT_TAKEOVER = "client_no_context_takeover"
_SERVER_BITS = "server_max_window_bits"
_CLIENT_BITS = "client_max_window_bits"

_FULL = 15
#: RFC 7692, section 7.1.2: a decimal number from 8 to 15 without leading zeroes.
_BITS = {str(bits): bits for bits in range(8, _FULL + 1)}

_DEFAULT_LEVELS = {"zlib": 6, "zlib-ng": 6, "isal": 1}
_TOP_LEVELS = {"zlib": 9, "zlib-ng": 9, "isal": 3}

Parameters: TypeAlias = Iterable[tuple[str, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """How to compress messages, with defaults that keep a connection small (RFC 7692).

    A direction in use takes about 32 KiB to compress and 4 KiB between messages to inflate;
    with windows of 15 bits and ``mem_level`` 8 it is 256 and 32 KiB. isal takes more to compress.
    Data that an attacker can influence, next to a secret in the same message or context, can
    give the secret away by its length: turn compression off there (RFC 7692, section 8).

    Args:
        level: effort, 0 to 9 (isal: 0 to 3). ``None`` is 6, for isal 1: with zlib 6 took
            13 to 15 % fewer bytes than 1 for 1.5 to 2 times the time, 7 to 9 gained nothing
            to speak of, and zlib-ng at 6 is about as fast as zlib at 1 (JSON, 2026-11).
        mem_level: 1 to 9, the memory for compressing; 5 is about 16 KiB beside the window.
        server_max_window_bits: 9 to 15, base-2 logarithm of the window for the server's
            messages. A client asks for it, a server keeps to it.
        client_max_window_bits: the same for the client's messages. ``None`` leaves it out of
            the negotiation; the client's window is then 15 bits.
        server_context_takeover: whether the server's messages may refer to earlier ones.
        client_context_takeover: whether the client's messages may refer to earlier ones.
        threshold: bytes below which a message goes uncompressed. The default, 256, is where
            the bytes saved stop being worth the time: the message fits one packet anyway.
        implementation: ``"zlib"``, or its faster twins ``"zlib-ng"`` and ``"isal"``.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of its range.
        ImportError: the package of the implementation is not installed.
    """

    level: int | None = None
    mem_level: int = 5
    server_max_window_bits: int = 12
    client_max_window_bits: int | None = 12
    server_context_takeover: bool = True
    client_context_takeover: bool = True
    threshold: int = 256
    implementation: Implementation = "zlib"

    def __post_init__(self) -> None:
        if not isinstance(self.implementation, str):
            raise TypeError(f"Deflate.implementation must be a str, not {self.implementation!r}")
        load_implementation(self.implementation)
        top = _TOP_LEVELS[self.implementation]
        self._check_number("level", 0, top, optional=True)
        self._check_number("mem_level", 1, 9)
        self._check_number(_SERVER_BITS, 9, _FULL)
        self._check_number(_CLIENT_BITS, 9, _FULL, optional=True)
        self._check_number("threshold", 0, None)
        for name in ("server_context_takeover", "client_context_takeover"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"Deflate.{name} must be a bool, not {getattr(self, name)!r}")

    def _check_number(
        self, name: str, low: int, high: int | None, *, optional: bool = False
    ) -> None:
        value = getattr(self, name)
        if value is None and optional:
            return
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"Deflate.{name} must be a whole number, not {value!r}")
        if value < low or (high is not None and value > high):
            bounds = f"at least {low}" if high is None else f"from {low} to {high}"
            raise ValueError(f"Deflate.{name} must be {bounds}, not {value}")

    def offer(self) -> list[tuple[str, str | None]]:
        """Give the parameters that a client offers (RFC 7692, section 7.1)."""
        offer: list[tuple[str, str | None]] = []
        if not self.server_context_takeover:
            offer.append((_SERVER_TAKEOVER, None))
        if not self.client_context_takeover:
            offer.append((_CLIENT_TAKEOVER, None))
        if self.server_max_window_bits < _FULL:
            offer.append((_SERVER_BITS, str(self.server_max_window_bits)))
        if self.client_max_window_bits is not None:
            own = self.client_max_window_bits
            offer.append((_CLIENT_BITS, str(own) if own < _FULL else None))
        return offer

    def confirm(self, parameters: Parameters) -> DeflateParameters:
        """Judge the server's answer to our ``offer``.

        A parameter that the server owes and leaves out is let pass: we then read with a window
        of 15 bits, or keep the context.

        Args:
            parameters: name and value pairs, unquoted; ``None`` where there is no value.

        Raises:
            InvalidHandshake: an unknown or repeated parameter, a bad value, more than was
                offered, or ``client_max_window_bits`` although it was not offered.
        """
        try:
            answer = _parse(parameters)
        except _BadParameterError as error:
            raise InvalidHandshake(f"bad answer to {EXTENSION_NAME}: {error}") from None
        server_bits = answer.get(_SERVER_BITS, _FULL)
        # Unasked for, it is the server's right to tell (section 7.1.2.1); too big is not.
        if _SERVER_BITS in answer and server_bits > self.server_max_window_bits:
            raise InvalidHandshake(
                f"bad answer to {EXTENSION_NAME}: {_SERVER_BITS}={server_bits} is more than "
                f"the {self.server_max_window_bits} that we offered"
            )
        client_bits = self.client_max_window_bits or _FULL
        if _CLIENT_BITS in answer:
            answered = answer[_CLIENT_BITS]
            if self.client_max_window_bits is None or answered < 8:
                raise InvalidHandshake(
                    f"bad answer to {EXTENSION_NAME}: {_CLIENT_BITS} does not fit our offer"
                )
            # More than we hinted at allows our window too (section 7.1.2.2).
            client_bits = min(client_bits, answered)
        return DeflateParameters(
            server_max_window_bits=server_bits,
            client_max_window_bits=client_bits,
            server_context_takeover=_SERVER_TAKEOVER not in answer,
            client_context_takeover=self.client_context_takeover and _CLIENT_TAKEOVER not in answer,
            settings=self,
        )

    def accept(
        self, parameters: Parameters
    ) -> tuple[list[tuple[str, str | None]], DeflateParameters] | None:
        """Judge one offer of a client; give the answer to send and what it means, or ``None``.

        ``None`` declines the offer, and the next one may be tried: an unknown or repeated
        parameter, a bad value, or a window of 8 bits for our messages, which the
        implementations do not keep to (RFC 7692, sections 5.1 and 7.1).

        Args:
            parameters: name and value pairs, unquoted; ``None`` where there is no value.
        """
        try:
            offer = _parse(parameters)
        except _BadParameterError:
            return None
        if offer.get(_SERVER_BITS) == 8:
            return None
        agreed = DeflateParameters(
            server_max_window_bits=min(self.server_max_window_bits, offer.get(_SERVER_BITS, _FULL)),
            client_max_window_bits=self._client_bits(offer.get(_CLIENT_BITS)),
            server_context_takeover=self.server_context_takeover and _SERVER_TAKEOVER not in offer,
            client_context_takeover=self.client_context_takeover and _CLIENT_TAKEOVER not in offer,
            settings=self,
        )
        answer: list[tuple[str, str | None]] = []
        if _SERVER_TAKEOVER in offer:
            answer.append((_SERVER_TAKEOVER, None))
        if not agreed.client_context_takeover:
            answer.append((_CLIENT_TAKEOVER, None))
        if _SERVER_BITS in offer:
            answer.append((_SERVER_BITS, str(agreed.server_max_window_bits)))
        if agreed.client_max_window_bits < _FULL:
            answer.append((_CLIENT_BITS, str(agreed.client_max_window_bits)))
        return answer, agreed

    def _client_bits(self, offered: int | None) -> int:
        """The client's window when it offered ``offered``; only an offer can be answered."""
        if offered is None or self.client_max_window_bits is None:
            return _FULL
        return min(self.client_max_window_bits, offered or _FULL)


class DeflateParameters(NamedTuple):
    """What holds on one connection, in the same words for both roles.

    Args:
        server_max_window_bits: window of the server's messages, 8 to 15.
        client_max_window_bits: window of the client's messages, 8 to 15.
        server_context_takeover: whether the server's messages refer to earlier ones.
        client_context_takeover: whether the client's messages refer to earlier ones.
        settings: our own configuration, for what is not negotiated.
    """

    server_max_window_bits: int
    client_max_window_bits: int
    server_context_takeover: bool
    client_context_takeover: bool
    settings: Deflate

    @property
    def threshold(self) -> int:
        """Bytes below which a message goes uncompressed."""
        return self.settings.threshold

    def deflater(self, role: Role) -> Deflater:
        """Make what compresses the messages that ``role`` sends.

        With 8 window bits, which only a server can impose on a client, it compresses without
        any reference back: less well, but correctly.
        """
        bits, takeover = self._direction(role)
        settings = self.settings
        level = settings.level
        if level is None:
            level = _DEFAULT_LEVELS[settings.implementation]
        return Deflater(settings.implementation, level, settings.mem_level, bits, takeover)

    def inflater(self, role: Role) -> Inflater:
        """Make what inflates the messages that ``role`` receives."""
        sender = Role.CLIENT if role is Role.SERVER else Role.SERVER
        return Inflater(self.settings.implementation, *self._direction(sender))

    def _direction(self, sender: Role) -> tuple[int, bool]:
        if sender is Role.SERVER:
            return self.server_max_window_bits, self.server_context_takeover
        return self.client_max_window_bits, self.client_context_takeover


class _BadParameterError(Exception):
    """An offer or an answer that no configuration could agree to."""


#: Stands for a parameter without a value; no window has 0 bits.
_NO_VALUE = 0


def _parse(parameters: Parameters) -> dict[str, int]:
    """Check what holds for an offer and an answer alike; flags and missing values are 0."""
    found: dict[str, int] = {}
    for name, value in parameters:
        if name in found:
            raise _BadParameterError(f"{name} comes twice")
        if name in (_SERVER_TAKEOVER, _CLIENT_TAKEOVER):
            if value is not None:
                raise _BadParameterError(f"{name} takes no value, not {value!r}")
            found[name] = _NO_VALUE
        elif name == _CLIENT_BITS and value is None:
            found[name] = _NO_VALUE
        elif name in (_SERVER_BITS, _CLIENT_BITS):
            if value not in _BITS:
                raise _BadParameterError(f"{name} must be from 8 to 15, not {value!r}")
            found[name] = _BITS[value]
        else:
            raise _BadParameterError(f"{name!r} is unknown")
    return found
