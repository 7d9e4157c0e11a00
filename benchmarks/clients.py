"""Clients to measure against an echo: ours, and those of others.

``python clients.py NAME URI WINDOW SIZE SECONDS`` runs one and prints what a message cost. A name is a
library and a loop. Each keeps WINDOW messages in flight: it sends as many, and then one more for each
that comes back.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CLIENTS"]

#: Messages between two looks at the clock.
STRIDE = 64


def cpu_seconds() -> float:
    """Return the CPU time of this process."""
    return int(pathlib.Path("/proc/self/schedstat").read_text().split()[0]) * 1e-9


class Meter:
    """Counts messages, after a fifth of the time for warming up.

    Args:
        window: messages in flight.
        size: bytes of each.
        seconds: how long to count.
    """

    def __init__(self, window: int, size: int, seconds: float) -> None:
        self.window = window
        self.message = b"x" * size
        self._count = 0
        self._seconds = seconds
        self._start = time.monotonic() + seconds * 0.2
        self._cpu: float | None = None

    def more(self) -> bool:
        """Count ``STRIDE`` messages; tell whether to go on."""
        self._count += STRIDE
        now = time.monotonic()
        if self._cpu is None:
            if now >= self._start:
                self._cpu = cpu_seconds()
                self._start = now
                self._count = 0
            return True
        return now < self._start + self._seconds

    def report(self) -> NoReturn:
        """Print what one message cost, and exit.

        Closing is left out: some wait for long when a full queue stands before the close frame.
        """
        assert self._cpu is not None
        cpu = cpu_seconds() - self._cpu
        microseconds = cpu * 1e6 / self._count
        print(json.dumps({"microseconds": microseconds, "count": self._count}), flush=True)
        os._exit(0)


async def converse(
    send: Callable[[bytes], Awaitable[object]],
    receive: Callable[[], Awaitable[object]],
    meter: Meter,
) -> None:
    """Keep messages in flight with two coroutine functions, and report."""
    message = meter.message
    for _ in range(meter.window):
        await send(message)
    while True:
        for _ in range(STRIDE):
            await receive()
            await send(message)
        if not meter.more():
            break
    meter.report()


async def anyws(uri: str, meter: Meter) -> None:
    """Ours."""
    import anyws

    async with anyws.connect(uri, compression=None, ping_interval=None) as websocket:
        await converse(websocket.send, websocket.receive, meter)


async def websockets(uri: str, meter: Meter) -> None:
    """That of websockets, on asyncio."""
    from websockets.asyncio.client import connect

    async with connect(uri, compression=None, ping_interval=None, proxy=None) as websocket:
        await converse(websocket.send, websocket.recv, meter)


async def websockets_trio(uri: str, meter: Meter) -> None:
    """That of websockets, on trio."""
    from websockets.trio.client import connect

    async with connect(uri, compression=None, ping_interval=None, proxy=None) as websocket:
        await converse(websocket.send, websocket.recv, meter)


async def picows_websockets(uri: str, meter: Meter) -> None:
    """That of picows, with the interface of websockets."""
    from picows.websockets import connect

    async with connect(uri, compression=None, ping_interval=None, proxy=None) as websocket:
        await converse(websocket.send, websocket.recv, meter)


async def picows(uri: str, meter: Meter) -> None:
    """That of picows, with callbacks for frames."""
    from picows import WSListener, WSMsgType, ws_connect

    class Listener(WSListener):
        left = STRIDE

        def on_ws_connected(self, transport: Any) -> None:
            for _ in range(meter.window):
                transport.send(WSMsgType.BINARY, meter.message)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            frame.get_payload_as_bytes()
            self.left -= 1
            if not self.left:
                self.left = STRIDE
                if not meter.more():
                    transport.disconnect()
                    return
            transport.send(WSMsgType.BINARY, meter.message)

    transport, _ = await ws_connect(Listener, uri)
    await transport.wait_disconnected()
    meter.report()


async def aiohttp(uri: str, meter: Meter) -> None:
    """That of aiohttp."""
    from aiohttp import ClientSession

    async with ClientSession() as session, session.ws_connect(uri, max_msg_size=0) as websocket:
        await converse(websocket.send_bytes, websocket.receive_bytes, meter)


async def trio_websocket(uri: str, meter: Meter) -> None:
    """That of trio-websocket."""
    from trio_websocket import open_websocket_url

    async with open_websocket_url(uri) as websocket:
        await converse(websocket.send_message, websocket.get_message, meter)


async def httpx_ws(uri: str, meter: Meter) -> None:
    """That of httpx-ws."""
    from httpx_ws import aconnect_ws

    async with aconnect_ws(uri, keepalive_ping_interval_seconds=None) as websocket:
        await converse(websocket.send_bytes, websocket.receive_bytes, meter)


OURS = {"anyws": anyws, "anyws plain": anyws}
ON_ASYNCIO = {
    **OURS,
    "websockets": websockets,
    "aiohttp": aiohttp,
    "picows": picows,
    "picows.websockets": picows_websockets,
    "httpx-ws": httpx_ws,
}
ON_TRIO = {
    **OURS,
    "websockets": websockets_trio,
    "trio-websocket": trio_websocket,
    "httpx-ws": httpx_ws,
}
#: Every client, by name.
CLIENTS: dict[str, Callable[[str, Meter], Awaitable[None]]] = {
    **{f"{name}:{loop}": run for loop in ("asyncio", "uvloop") for name, run in ON_ASYNCIO.items()},
    **{f"{name}:trio": run for name, run in ON_TRIO.items()},
}


def main() -> None:
    """Run the client named on the command line."""
    name, uri, window, size, seconds = sys.argv[1:]
    loop = name.rpartition(":")[2]
    options: dict[str, Any] = {"backend": "trio"}
    if loop != "trio":
        options = {"backend": "asyncio", "backend_options": {"use_uvloop": loop == "uvloop"}}
    meter = Meter(int(window), int(size), float(seconds))
    anyio.run(partial(CLIENTS[name], uri, meter), **options)


if __name__ == "__main__":
    main()
