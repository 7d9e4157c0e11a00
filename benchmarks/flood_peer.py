"""A server as a hostile client sees it: what it takes, what it answers, and what that costs it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

HOST = "127.0.0.1"
#: Seconds after which a flood is broken off.
LONGEST = 10.0
KEY = b"\x01\x02\x03\x04"
HEAD = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def frame(first: int, payload: bytes = b"") -> bytes:
    """Return a masked frame."""
    length = len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + length.to_bytes(8, "big")
    key = int.from_bytes((KEY * (length // 4 + 1))[:length], "big")
    masked = (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")
    return head + KEY + masked


class Victim:
    """A running server: a process, what it holds and what it has worked.

    Args:
        command: what runs it; it prints its port.
        patience: seconds without progress after which a server is said to take no more.
    """

    def __init__(self, command: list[str], patience: float = 1.0) -> None:
        self.patience = patience
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline() or 0)
        self._folder = pathlib.Path(f"/proc/{self.process.pid}")
        self._before = 0

    def __enter__(self) -> Victim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _kib(self, field: str) -> int:
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
        raise RuntimeError(f"the server is gone: no {field}")

    def start_counting(self) -> None:
        """Let ``growth`` count from here."""
        (self._folder / "clear_refs").write_text("5")
        self._before = self._kib("VmRSS")

    def growth(self) -> float:
        """Return by how many MiB the resident memory was larger at its peak."""
        return max(0, self._kib("VmHWM") - self._before) / 1024

    def _threads(self, file: str) -> list[str]:
        """Return what the system tells in ``file`` of each thread."""
        found = []
        for thread in (self._folder / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.append((thread / file).read_text())
        return found

    def cpu(self) -> float:
        """Return the seconds that all its threads have run."""
        return sum(int(line.split()[0]) for line in self._threads("schedstat")) / 1e9

    def waits(self) -> bool:
        """Tell whether all its threads wait for something; one that wants a processor does not."""
        # The name of the thread comes before, in parentheses, and may hold anything.
        return all(line.rpartition(")")[2].split()[0] == "S" for line in self._threads("stat"))

    def settle(self, limit: float = 30.0) -> bool:
        """Wait until it has nothing left to do; return whether that came within ``limit`` seconds."""
        deadline = time.monotonic() + limit
        before, quiet = self.cpu(), 0
        while quiet < 3:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
            now = self.cpu()
            quiet = quiet + 1 if now - before < 0.002 and self.waits() else 0
            before = now
        return True

    def peer(self) -> Peer:
        """Connect to it."""
        return Peer(self.port, self.patience)

    def serves(self) -> bool:
        """Tell whether a new client is served."""
        try:
            with self.peer() as peer:
                return peer.upgrade() and peer.echoes(b"served?")
        except OSError:
            return False


class Peer:
    """One connection to a server, which looks at what comes back only when it is told to."""

    def __init__(self, port: int, patience: float) -> None:
        self._patience = patience
        self._data = bytearray()
        self._socket = socket.create_connection((HOST, port), timeout=10)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        #: Whether the server has ended the connection.
        self.ended = False
        #: Whether it took no more.
        self.stalled = False
        #: Whether it took so long that the rest was left out.
        self.late = False
        #: When that is.
        self.deadline = time.monotonic() + LONGEST
        #: Bytes that were sent.
        self.sent = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def reset(self) -> None:
        """End the connection with a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(2**18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.ended = not data
        self._data += data

    def send(self, data: bytes, times: int = 1, *, reading: bool = True) -> bool:
        """Send ``data`` again and again; return whether the server took it all."""
        each = max(1, min(times, 2**20 // max(1, len(data))))
        while times > 0 and not (self.ended or self.stalled or self.late):
            self.late = time.monotonic() > self.deadline
            count = min(each, times)
            times -= count
            view = memoryview(data * count)
            while view and not (self.ended or self.stalled):
                events = self._ready(select.POLLOUT | (select.POLLIN if reading else 0))
                if events & ~select.POLLOUT:
                    self._read()
                if events & select.POLLOUT and not self.ended:
                    try:
                        taken = self._socket.send(view)
                    except BlockingIOError:
                        continue
                    except OSError:
                        self.ended = True
                        continue
                    view = view[taken:]
                    self.sent += taken
                self.stalled = not events
        return not (self.ended or self.stalled or self.late)

    def _ready(self, events: int, seconds: float | None = None) -> int:
        poll = select.poll()
        poll.register(self._socket, events)
        found = poll.poll(1000 * (self._patience if seconds is None else max(0.0, seconds)))
        return found[0][1] if found else 0

    def _wait(self, seconds: float) -> bool:
        """Read what comes within so many seconds; return whether something did."""
        if self.ended or not self._ready(select.POLLIN, seconds):
            return False
        self._read()
        return True

    def head(self, seconds: float = 5.0) -> bytes:
        """Return the head of the answer to the opening handshake, or what has come of it."""
        deadline = time.monotonic() + seconds
        while b"\r\n\r\n" not in self._data and not self.ended:
            if not self._wait(deadline - time.monotonic()):
                break
        head, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        self._data = bytearray(rest)
        return head

    def upgrade(self, target: bytes = b"/", *, deflate: bool = False) -> bool:
        """Do the opening handshake; return whether all that was asked for was granted."""
        self.send(HEAD % target + (DEFLATE if deflate else b"") + b"\r\n")
        head = self.head()
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"not upgraded: {head[:50]!r}")
        return not deflate or b"permessage-deflate" in head

    def status(self, seconds: float = 5.0) -> str:
        """Return what the answer to a request was."""
        head = self.head(seconds)
        if head:
            return head.split()[1].decode()
        return "cut" if self.ended else "no answer"

    def next_frame(self, seconds: float = 5.0) -> tuple[int, bytes] | None:
        """Return first byte and payload of the next frame, ``None`` if none comes."""
        deadline = time.monotonic() + seconds
        while True:
            data = self._data
            if len(data) >= 2:
                length, header = data[1] & 0x7F, 2
                if length >= 126:
                    header = 4 if length == 126 else 10
                    length = int.from_bytes(data[2:header], "big")
                if len(data) >= header + length:
                    found = data[0], bytes(data[header : header + length])
                    del data[: header + length]
                    return found
            if not self._wait(deadline - time.monotonic()):
                return None

    def echoes(self, message: bytes, seconds: float = 5.0) -> bool:
        """Tell whether a message comes back."""
        self.send(frame(0x82, message))
        while (found := self.next_frame(seconds)) is not None:
            if found == (0x82, message):
                return True
        return False

    def reaction(self, seconds: float = 5.0) -> str:
        """Tell what became of the connection: closed with a code, cut, or open."""
        probe = os.urandom(8)
        if not self.ended and not self.stalled:
            self.send(frame(0x89, probe))
        while (found := self.next_frame(0.1 if self.stalled else seconds)) is not None:
            first, payload = found
            if first == 0x88:
                return f"{int.from_bytes(payload[:2], 'big')}" if payload else "1005"
            if (first, payload) == (0x8A, probe):
                return "open"
        if self.ended:
            return "cut"
        return "reads no more" if self.stalled else "silent"


class Neighbour:
    """Another client of the same server, which notes how long its echoes take meanwhile."""

    def __init__(self, victim: Victim) -> None:
        self._victim = victim
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        #: Seconds that the slowest echo took.
        self.slowest = 0.0

    def _run(self) -> None:
        with contextlib.suppress(OSError), self._victim.peer() as peer:
            peer.upgrade()
            peer.deadline = float("inf")
            while not self._stop.is_set():
                began = time.monotonic()
                if not peer.echoes(b"neighbour", 30.0):
                    self.slowest = float("inf")
                    return
                self.slowest = max(self.slowest, time.monotonic() - began)
                self._stop.wait(0.01)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()


def start(name: str, patience: float = 1.0, *, python: str = sys.executable) -> Victim:
    """Start a server of ``flood_servers.py``."""
    program = pathlib.Path(__file__).with_name("flood_servers.py")
    return Victim([python, str(program), name], patience)
