"""One number of bytes for all connections of a server together.

Theory of operation
-------------------
What a connection holds changes with every message, and a sum that follows each change would cost each
message something. So connections say only what they take on (``grow``), never what they give back, and
the estimate is never too low. Once it passes the limit, the true sum is taken and becomes the
estimate. Only when that is too large as well, the connections that hold most are closed, until it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from anyws.enums import CloseCode
from anyws.errors import CloseCause

if TYPE_CHECKING:
    from collections.abc import Collection

    from anyws.net.network import TaskStarter
    from anyws.stream.websocket import WebSocket

__all__ = ["ByteBudget"]


class ByteBudget:
    """Keeps what the connections of one server hold below ``size`` bytes.

    Args:
        size: bytes received and not yet taken, and bytes queued to send, of all connections.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        #: The connections that are counted.
        self.connections: Collection[WebSocket] = ()
        self._estimate = 0
        self._relieving = False
        self._refused: list[WebSocket] = []
        self._work = anyio.Event()

    def grow(self, count: int) -> None:
        """Note that some connection holds ``count`` bytes more."""
        self._estimate += count
        if self._estimate > self.size and not self._relieving:
            self._relieving = True
            self._relieve()
            self._relieving = False

    def _relieve(self) -> None:
        """Take the true sum; while it is too large, close who holds most."""
        held = [(websocket.buffered, websocket) for websocket in self.connections]
        total = sum(size for size, _ in held)
        if total > self.size:
            held.sort(key=lambda pair: pair[0])
            while total > self.size and held:
                size, greediest = held.pop()
                total -= size
                greediest.make_room(f"all connections together held more than {self.size} bytes")
                self._refused.append(greediest)
            self._work.set()
        self._estimate = total

    async def run(self, task_group: TaskStarter) -> None:
        """See to the closing handshakes of those who were told to go."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            refused, self._refused = self._refused, []
            for websocket in refused:
                task_group.start_soon(
                    websocket.close_for, CloseCause.OVER_LIMIT, CloseCode.TRY_AGAIN_LATER
                )
