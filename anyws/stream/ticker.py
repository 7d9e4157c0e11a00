"""The one timer of a server, or of a client: it looks after every open connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from anyws.stream import closing
from anyws.stream.deadlines import Deadlines
from anyws.stream.keepalive import tick_length

if TYPE_CHECKING:
    from anyws.net.network import TaskStarter
    from anyws.stream.options import ConnectionOptions
    from anyws.stream.websocket import WebSocket

__all__ = ["Ticker"]


class Ticker:
    """Calls ``WebSocket.tick`` of every connection, twice a second or as often as pings need.

    Args:
        task_group: where it runs, and where helpers run that a connection needs.
        options: the settings that the connections share.
    """

    def __init__(self, task_group: TaskStarter, options: ConnectionOptions) -> None:
        self.task_group = task_group
        #: Seconds between two ticks, when nothing holds them up.
        self.length = tick_length(options.ping_interval, options.ping_timeout)
        self._running = False
        self.connections: set[WebSocket] = set()
        #: What drops connections whose peers do not end TCP.
        self.lingering = Deadlines(task_group, closing.LINGER)

    def add(self, websocket: WebSocket) -> None:
        """Look after ``websocket`` until ``discard``."""
        self.connections.add(websocket)
        if not self._running:
            self._running = True
            self.task_group.start_soon(self._run)

    def discard(self, websocket: WebSocket) -> bool:
        """Look after ``websocket`` no longer; tell whether it was looked after."""
        known = websocket in self.connections
        self.connections.discard(websocket)
        return known

    async def _run(self) -> None:
        last = anyio.current_time()
        while True:
            await anyio.sleep(self.length)
            now = anyio.current_time()
            for websocket in tuple(self.connections):
                websocket.tick(now, now - last, self.task_group)
            last = now
