"""Where transports come from: what each event loop can connect and accept."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Sequence
    from os import PathLike
    from socket import socket

    from anyws.net.transport import Transport

__all__ = ["Listening", "Network", "TaskStarter", "current_network", "start_task"]


class TaskStarter(Protocol):
    """What tasks are started with, as a task group is."""

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any) -> Any:
        """Run ``function`` in a task, from the next scheduling round on."""


class Listening(Protocol):
    """Sockets on which connections are accepted."""

    def close(self) -> None:
        """Accept no more."""


class Network(Protocol):
    """What one event loop can connect and accept; its helper tasks run in one task group."""

    @property
    def clock(self) -> Callable[[], float]:
        """What ``anyio.current_time`` returns, without finding out each time which loop is running."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> Transport:
        """Connect to the first address of ``host`` that answers; raises ``OSError``.

        ``ssl_context`` True does TLS with the system's authorities.
        """

    async def connect_unix(
        self,
        path: str | PathLike[str],
        *,
        ssl_context: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
    ) -> Transport:
        """Connect to a UNIX socket; raises ``OSError``."""

    async def listen(
        self,
        sockets: Sequence[socket],
        accepted: Callable[[Transport], Coroutine[Any, Any, None]],
        *,
        ssl_context: ssl.SSLContext | None = None,
        handshake_timeout: float,
    ) -> Listening:
        """Run ``accepted`` in a task of its own for each connection that comes to ``sockets``.

        The tasks are cancelled with the task group, and it does not end before they do.
        """


def current_network(task_group: TaskStarter) -> Network:
    """Return the network of the event loop that runs the calling task."""
    if _runs_on_trio():
        from anyws.net._trio import TrioNetwork

        return TrioNetwork(task_group)
    from anyws.net._asyncio import AsyncioNetwork

    return AsyncioNetwork(task_group)


def start_task(function: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Run ``function`` in a task that is in no task group; the event loop cancels it at its own end.

    Args:
        function: must not raise.

    Returns:
        What must be kept while the task runs.
    """
    if _runs_on_trio():
        from anyws.net._trio import start_system_task

        return start_system_task(function)
    from anyws.net._asyncio import start_loop_task

    return start_loop_task(function)


def _runs_on_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_task()
