"""What ``connect``, ``serve`` and their kin let a user set on a connection."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from anyws.core.deflate import Deflate
from anyws.core.turns import CHECKPOINT_INTERVAL
from anyws.limits import Limits, check_bound

__all__ = ["ConnectionOptions", "check_handler", "deflate_setting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Settings of one connection, the same in both roles.

    Args:
        limits: the bounds to keep.
        ping_interval: seconds of silence after which a ping is sent; ``None`` for never.
        ping_timeout: seconds that the peer has to answer it; ``None`` for ever.
        close_timeout: seconds that closing may take.
        checkpoint_interval: operations that found work ready between two checkpoints.
    """

    limits: Limits = field(default_factory=Limits)
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float = 10.0
    checkpoint_interval: int = CHECKPOINT_INTERVAL

    def __post_init__(self) -> None:
        for name in ("ping_interval", "ping_timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"{name} must be a positive number of seconds or None, not {value}"
                )
        if not self.close_timeout >= 0:
            raise ValueError(f"close_timeout must not be negative, not {self.close_timeout}")
        check_bound("checkpoint_interval", self.checkpoint_interval)


def deflate_setting(compression: str | Deflate | None) -> Deflate | None:
    """Return what the ``compression`` argument of ``connect`` and ``serve`` stands for."""
    if compression == "deflate":
        return Deflate()
    if compression is None or isinstance(compression, Deflate):
        return compression
    raise ValueError(f'compression must be "deflate", None or a Deflate(...), not {compression!r}')


def check_handler(handler: Any) -> None:
    """Refuse what cannot serve a connection, at once and not when the first client comes."""
    if inspect.iscoroutine(handler):
        handler.close()
        raise TypeError("a handler is given as it is, without calling it: serve(handler, ...)")
    if (
        not callable(handler)
        or inspect.isasyncgenfunction(handler)
        or inspect.isgeneratorfunction(handler)
    ):
        raise TypeError(f"a handler is an async function that takes a WebSocket, not {handler!r}")
