"""The resident memory that a server takes for its connections."""

from __future__ import annotations

import pathlib
import socket
from typing import TYPE_CHECKING

from payloads import BINARY, frame
from processes import Failure

if TYPE_CHECKING:
    from scenarios import Scenario

__all__ = ["growth_kib", "idle_kib"]

#: Connections that are open before the first reading, so that caches are filled.
WARM_UP = 100
#: Messages that each connection echoes before the first reading, and after it. The allocator has what the
#: largest of the rounds takes after some thousands only: on trio their order is a matter of chance.
BEFORE, AFTER = 3000, 1000
#: Messages that are sent in one go.
AT_ONCE = 50


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


def connect(port: int, *, deflate: bool) -> socket.socket:
    """Open a connection and do the opening handshake."""
    sock = socket.create_connection(("127.0.0.1", port))
    extensions = "permessage-deflate; client_max_window_bits"
    offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if deflate else ""
    request = (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    )
    sock.sendall(f"{request}{offer}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        received = sock.recv(4096)
        if not received:
            raise Failure("the server did not answer the handshake")
        answer += received
    if deflate and b"permessage-deflate" not in answer:
        raise Failure("the server does not compress")
    return sock


def idle_kib(pid: int, port: int, scenario: Scenario) -> float:
    """Return the KiB that an idle connection takes, its handler waiting for a message."""
    sockets = [connect(port, deflate=scenario.deflate) for _ in range(WARM_UP)]
    before = resident_kib(pid)
    sockets += [connect(port, deflate=scenario.deflate) for _ in range(scenario.connections)]
    after = resident_kib(pid)
    for sock in sockets:
        sock.close()
    return (after - before) / scenario.connections


def growth_kib(pid: int, port: int, scenario: Scenario) -> float:
    """Return the KiB by which a connection grows while it echoes messages."""
    sockets = [connect(port, deflate=False) for _ in range(scenario.connections)]
    burst = frame(BINARY, bytes(scenario.size)) * AT_ONCE
    size = (scenario.size + 2) * AT_ONCE

    def echo(messages: int) -> None:
        for _ in range(messages // AT_ONCE):
            for sock in sockets:
                sock.sendall(burst)
            for sock in sockets:
                left = size
                while left:
                    left -= len(sock.recv(left)) or _ended()

    echo(BEFORE)
    before = resident_kib(pid)
    echo(AFTER)
    after = resident_kib(pid)
    for sock in sockets:
        sock.close()
    return (after - before) / scenario.connections


def _ended() -> int:
    raise Failure("the server closed the connection")
