"""A dashboard fed by many producers: open http://127.0.0.1:8765/ and start producers.

    python dashboard.py             serves
    python dashboard.py NAME        sends a number as NAME, ten times a second

Producers may send as often as they like; watchers get what is newest, a few times a second. A watcher that is
slower than that misses some states and never the latest.
"""

import json
import math
import random
import sys
from functools import partial

import anyio
from anyio.abc import TaskStatus

import anyws

PAGE = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Dashboard</title>
<table id="values"></table>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws") + "watch");
  socket.onmessage = (event) => {
    const rows = Object.entries(JSON.parse(event.data)).map(([name, value]) => {
      const row = document.createElement("tr");
      for (const text of [name, value]) row.insertCell().textContent = text;
      return row;
    });
    document.getElementById("values").replaceChildren(...rows);
  };
</script>
"""


class Dashboard:
    """The latest value of each producer, and those who watch them.

    Args:
        interval: seconds between two states that a watcher is sent.
    """

    def __init__(self, interval: float = 0.25) -> None:
        self.values: dict[str, float] = {}
        self.interval = interval
        self._changed = anyio.Event()

    def _notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def handle(self, client: anyws.WebSocket) -> None:
        """Serve a producer or a watcher."""
        if client.request.path == "/watch":
            await self.show(client)
        else:
            await self.collect(client, client.request.path.removeprefix("/produce/"))

    async def collect(self, client: anyws.WebSocket, name: str) -> None:
        """Take the numbers of one producer, which is forgotten when it goes."""
        try:
            async for message in client:
                value = read_number(message)
                if value is None:
                    await client.close(1007, "this is no number")
                    return
                self.values[name] = value
                self._notify()
        finally:
            self.values.pop(name, None)
            self._notify()

    async def show(self, client: anyws.WebSocket) -> None:
        """Send the state whenever it has changed, but not more often than the interval allows."""
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(self._until_closed, client, task_group.cancel_scope)
            while True:
                changed = self._changed
                await client.send(json.dumps(self.values))
                await anyio.sleep(self.interval)
                await changed.wait()

    @staticmethod
    async def _until_closed(client: anyws.WebSocket, scope: anyio.CancelScope) -> None:
        # Watchers say nothing; this sees that they are gone while nothing changes.
        async for _ in client:
            pass
        scope.cancel()


def read_number(message: str | bytes) -> float | None:
    """Return the number in a message, if it is one that JSON knows."""
    try:
        value = float(message)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def answer(request: anyws.Request) -> anyws.Response | None:
    """Answer a request for the page; values come at ``/produce/NAME`` and go out at ``/watch``."""
    if request.path == "/":
        return anyws.Response(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE)
    if request.path == "/watch" or len(request.path) > len("/produce/"):
        return None
    return anyws.Response(404, body="There is nothing here.\n")


async def serve_dashboard(
    port: int,
    interval: float = 0.25,
    *,
    task_status: TaskStatus[anyws.Server] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or until the server is closed."""
    await anyws.serve(
        Dashboard(interval).handle,
        "127.0.0.1",
        port,
        process_request=answer,
        limits=anyws.Limits(message_size=64),
        max_connections=10_000,
        task_status=task_status,
    )


async def produce(uri: str, name: str) -> None:
    """Send a number that wanders, ten times a second, until the server closes."""
    value = 0.0
    async with anyws.connect(f"{uri}/produce/{name}") as websocket:
        while True:
            value += random.uniform(-1, 1)
            await websocket.send(f"{value:.2f}")
            await anyio.sleep(0.1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        anyio.run(partial(produce, "ws://127.0.0.1:8765", sys.argv[1]))
    else:
        anyio.run(serve_dashboard, 8765)
