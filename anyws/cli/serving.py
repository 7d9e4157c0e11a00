"""Serving until a signal comes: what ``anyws serve`` and ``anyws echo`` have in common."""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from anyws.cli.errors import CommandError, UsageError, system_reason
from anyws.cli.options import limits, server_context
from anyws.demo.status import StatusDisplay, Traffic
from anyws.server import Server, serve

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable

    from anyws.stream.websocket import WebSocket

    Handler = Callable[[WebSocket], Awaitable[Any]]

__all__ = ["serve_until_signal"]

#: Seconds that clients and handlers have to end when the server stops.
_GRACE = 5.0


async def serve_until_signal(
    handler: Handler, name: str, options: argparse.Namespace, default_port: int, live: bool
) -> int:
    """Serve until SIGINT or SIGTERM; a second signal does not wait for those who are connected.

    Args:
        handler: serves one connection.
        name: what is served, to be shown.
        options: the command line, with what ``add_listening`` added.
        default_port: the TCP port, if none was given.
        live: whether a terminal shows the traffic, in one line that changes.

    Returns:
        The exit code.

    Raises:
        UsageError: the options contradict each other.
        CommandError: the address cannot be listened on.
    """
    where, arguments = _listening(options, default_port)
    traffic = Traffic()
    display = StatusDisplay(traffic, sys.stdout)

    async def counted(websocket: WebSocket) -> None:
        with traffic.counting(websocket):
            await handler(websocket)

    failure: OSError | None = None
    async with anyio.create_task_group() as task_group:
        try:
            server = await task_group.start(partial(serve, counted, **arguments))
        except OSError as error:
            failure = error
        else:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                address = _address(options, server)
                display.say(f"{name} on {address} ({options.backend}), Ctrl-C stops it")
                if live and sys.stdout.isatty():
                    task_group.start_soon(display.run)
                await anext(aiter(signals))
                count = traffic.connections
                display.say(f"stopping, {count} connection{'' if count == 1 else 's'} to close")
                # Ends before the signals do: nobody may wait for them after that.
                async with anyio.create_task_group() as stopping:
                    stopping.start_soon(_stop_at_once, signals, task_group.cancel_scope)
                    await server.aclose(_GRACE)
                    stopping.cancel_scope.cancel()
                task_group.cancel_scope.cancel()
    if failure is not None:
        raise CommandError(f"cannot listen on {where}: {system_reason(failure)}") from failure
    return 0


def _listening(options: argparse.Namespace, default_port: int) -> tuple[str, dict[str, Any]]:
    """Return where to listen, as people write it, and the arguments for ``serve``."""
    arguments: dict[str, Any] = {
        "ssl_context": server_context(options),
        "subprotocols": options.subprotocol,
        "compression": None if options.no_compression else "deflate",
        "limits": limits(options),
        "close_timeout": _GRACE,
    }
    if options.origin is not None:
        # A request without an Origin does not come from a page.
        arguments["origins"] = [None, *options.origin]
    if options.unix is not None:
        if options.host is not None or options.port is not None:
            raise UsageError("give either --unix, or --host and --port")
        return options.unix, {**arguments, "unix_path": options.unix}
    host = options.host or "127.0.0.1"
    port = default_port if options.port is None else options.port
    return f"{host}:{port}", {**arguments, "host": host, "port": port}


def _address(options: argparse.Namespace, server: Server) -> str:
    if options.unix is not None:
        return f"the UNIX socket {options.unix}"
    host = options.host or "127.0.0.1"
    scheme = "ws" if options.certificate is None else "wss"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{server.port}/"


async def _stop_at_once(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    """Wait for a second signal: whoever sends it does not want to wait any longer."""
    await anext(aiter(signals))
    scope.cancel()
