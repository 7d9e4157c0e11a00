"""Measures the resident memory that an idle server connection takes, compression negotiated.

Usage: python benchmarks/idle_memory.py [asyncio|uvloop|trio] [CONNECTIONS]
"""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import sys
from typing import Any

import anyio

import anyws

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
#: Connections that are open before the first reading, so that caches are filled.
WARM_UP = 50


def run_options(loop: str) -> dict[str, Any]:
    """Return the arguments of ``anyio.run`` for ``loop``."""
    if loop == "trio":
        return {"backend": "trio"}
    return {"backend_options": {"use_uvloop": loop == "uvloop"}}


async def echo(websocket: anyws.WebSocket) -> None:
    """Send every message back."""
    async for message in websocket:
        await websocket.send(message)


async def serve() -> None:
    """Serve on a free port, and print it."""
    async with anyio.create_task_group() as task_group:
        server: anyws.Server = await task_group.start(_serve)
        print(server.port, flush=True)


async def _serve(*, task_status: anyio.abc.TaskStatus[anyws.Server]) -> None:
    await anyws.serve(echo, "127.0.0.1", 0, task_status=task_status)


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


async def measure(pid: int, port: int, connections: int) -> float:
    """Return the KiB that one of ``connections`` takes."""
    writers = []

    async def connect(count: int) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            if b"permessage-deflate" not in head:
                raise RuntimeError("compression was not negotiated")
            writers.append(writer)

    await connect(WARM_UP)
    before = resident_kib(pid)
    await connect(connections)
    return (resident_kib(pid) - before) / connections


def main() -> None:
    """Measure one loop, or all."""
    if sys.argv[1:2] == ["serve"]:
        anyio.run(serve, **run_options(sys.argv[2]))
        return
    loops = sys.argv[1:2] or ["asyncio", "uvloop", "trio"]
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    for loop in loops:
        command = [sys.executable, __file__, "serve", loop]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            kib = asyncio.run(measure(process.pid, port, connections))
            print(f"{loop:8} {kib:5.2f} KiB for each of {connections} idle connections")
            process.terminate()


if __name__ == "__main__":
    main()
