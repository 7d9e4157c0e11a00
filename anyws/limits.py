"""The bounds that one connection keeps, all in one place.

Those of a whole server are arguments of ``serve``: ``max_connections`` and ``max_buffer_size``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

__all__ = ["Limits", "check_bound"]


def check_bound(name: str, value: object) -> None:
    """Refuse what is no bound.

    Raises:
        TypeError: ``value`` is no whole number.
        ValueError: it is below 1, or more than any machine has bytes.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    if value > sys.maxsize:
        # The compiled build counts in C.
        raise ValueError(f"{name} must be at most {sys.maxsize}, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one connection may hold, each number with a safe default.

    Every bound is checked before memory is taken and before lengths are added up.

    Args:
        message_size: bytes of one message after inflation; a larger one closes the
            connection with 1009. ``None`` is no bound, for relays that stream with
            ``readers()`` and never hold a whole message.
        fragments: frames of one message, or ``None`` for no bound. None is needed for
            memory, since fragments are joined as they come.
        receive_buffer: bytes received and not yet taken by the application. Above it
            nothing more is read, unless a ``receive()`` waits for the rest of its message.
        send_buffer: bytes queued to send. Above it a ``send()`` waits until a quarter is left.
        pending_pongs: answers to pings that are kept while the peer does not read; older
            ones are dropped, as RFC 6455, section 5.5.3 allows.
        handshake_size: bytes of the request or response up to its empty line.
        handshake_line: bytes of one line of it.
        handshake_headers: number of header lines.
    """

    message_size: int | None = 2**20
    fragments: int | None = None
    receive_buffer: int = 2**16
    send_buffer: int = 2**16
    pending_pongs: int = 16
    handshake_size: int = 2**14
    handshake_line: int = 2**13
    handshake_headers: int = 100

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name in {"message_size", "fragments"}:
                continue
            check_bound(f"Limits.{field.name}", value)
