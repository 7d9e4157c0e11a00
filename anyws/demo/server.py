"""The demo's server: one page, a chat at ``/chat``, a file echo at ``/upload``."""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import anyio

from anyws.demo.chat import ChatRoom
from anyws.demo.page import PageSite
from anyws.demo.status import StatusDisplay, Traffic
from anyws.limits import Limits
from anyws.server import Server, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import TaskStatus

    from anyws.stream.websocket import WebSocket

__all__ = ["DEFAULT_PORT", "Demo", "run_demo"]

DEFAULT_PORT = 8765
_FRAGMENT = 65536
#: Seconds that the pages have to answer the close frame when the server stops.
_GRACE = 3.0


class Demo:
    """What the demo does with its connections."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self._room = ChatRoom()
        self._handlers = {"/chat": self._room.serve, "/upload": echo_files}
        self._site = PageSite(frozenset(self._handlers))

    async def handle(self, websocket: WebSocket) -> None:
        """Serve one connection."""
        with self.traffic.counting(websocket):
            await self._handlers[websocket.request.path](websocket)

    async def serve(
        self, host: str, port: int, *, task_status: TaskStatus[Server] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled, or until the ``Server`` is closed; see ``anyws.serve``."""
        await serve(
            self.handle,
            host,
            port,
            process_request=self._site,
            # Files pass through and are never held, so their messages need no bound. The
            # chat keeps a bound of its own.
            limits=Limits(message_size=None),
            close_timeout=_GRACE,
            task_status=task_status,
        )


async def echo_files(websocket: WebSocket) -> None:
    """Send every message back while it is still arriving, one fragment at a time."""
    async for reader in websocket.readers():
        # Most files that people have at hand are compressed already.
        await websocket.writer.feed(reader, chunksize=_FRAGMENT, compress=False)


async def run_demo(host: str, port: int, backend: str) -> int:
    """Run the demo until SIGINT or SIGTERM.

    Args:
        host: the address to listen on.
        port: the TCP port; 0 for any that is free.
        backend: the event loop's name, to be shown.

    Returns:
        The exit code.

    Raises:
        OSError: the address cannot be listened on.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    demo = Demo()
    display = StatusDisplay(demo.traffic, sys.stdout)
    failure: OSError | None = None
    async with anyio.create_task_group() as task_group:
        try:
            server = await task_group.start(partial(demo.serve, host, port))
        except OSError as error:
            failure = error
        else:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                display.say(f"anyws demo on {_url(host, server.port)} ({backend}), Ctrl-C stops it")
                task_group.start_soon(display.run)
                await anext(aiter(signals))
                display.say(f"stopping, {_count(demo.traffic.connections)} to close")
                # Ends before the signals do: nobody may wait for them after that.
                async with anyio.create_task_group() as stopping:
                    stopping.start_soon(_stop_at_once, signals, task_group.cancel_scope)
                    await server.aclose(_GRACE)
                    stopping.cancel_scope.cancel()
                task_group.cancel_scope.cancel()
    if failure is not None:
        raise OSError(failure.errno, f"cannot listen on {host}:{port}: {_reason(failure)}")
    return 0


async def _stop_at_once(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    """Wait for a second signal: whoever sends it does not want to wait for the pages."""
    await anext(aiter(signals))
    scope.cancel()


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _count(connections: int) -> str:
    return f"{connections} connection{'' if connections == 1 else 's'}"


def _reason(error: OSError) -> str:
    # asyncio's own sentence repeats the address around the system's words.
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
