"""The processes that a measurement needs: servers, the load generator, clients."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from clients import CLIENTS
from servers import PLAIN, SERVERS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["C_ECHO", "Failure", "Python", "Server", "Workshop"]

HERE = pathlib.Path(__file__).parent
C_ECHO = "C epoll"
#: Which CPU bears what is measured, and which bears what measures it.
MEASURED, OTHER = "1", "0"
START_TIMEOUT = 20.0
_given_ports: set[int] = set()
#: What is imported for a library whose name is another.
MODULES = {
    "anyws plain": ("anyws",),
    "anyws zlib-ng": ("anyws", "zlib_ng"),
    "anyws isal": ("anyws", "isal"),
    "anyws at once": ("anyws",),
    "picows.websockets": ("picows",),
    "trio-websocket": ("trio_websocket",),
    "httpx-ws": ("httpx_ws",),
    "raw protocol": (),
    "raw anyio": ("anyio",),
    "raw trio": ("trio",),
}
#: Asked of each interpreter: which modules are there, and which versions of what.
QUESTION = """
import importlib.metadata, importlib.util, json, platform, sys
modules = [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
names = ["anyio", "anyws", "websockets", "aiohttp", "picows", "trio", "trio-websocket", "httpx-ws",
         "uvloop", "zlib-ng", "isal"]
versions = {}
for name in names:
    try:
        versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
anyws = importlib.util.find_spec("anyws")
scan = importlib.util.find_spec("anyws._wire.scan")
print(json.dumps({"modules": modules, "versions": versions, "version": platform.python_version(),
                  "anyws": anyws.origin, "compiled": not scan.origin.endswith(".py")}))
"""


class Failure(Exception):
    """A server, a client or the load generator did not do what it should."""


class Python:
    """An interpreter that runs what is measured.

    Attributes:
        path: of its program.
        version: "3.13.0", for instance.
        versions: of the libraries.
        anyws: the folder of the package that it imports.
        compiled: whether that package is compiled.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        modules = {module for library in SERVERS | CLIENTS for module in self._needs(library)}
        done = subprocess.run(
            [path, "-c", QUESTION, *modules], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{path} cannot run the servers: {done.stderr.strip()}")
        facts = json.loads(done.stdout)
        self._modules = set(facts["modules"])
        self.version: str = facts["version"]
        self.versions: dict[str, str] = facts["versions"]
        self.anyws = pathlib.Path(facts["anyws"]).parent
        self.compiled: bool = facts["compiled"]

    @staticmethod
    def _needs(name: str) -> list[str]:
        library, _, loop = name.partition(":")
        needed = MODULES.get(library, (library,))
        return [*needed, *([loop] if loop in {"uvloop", "trio"} else [])]

    def has(self, name: str) -> bool:
        """Tell whether the libraries that a server or a client needs are there."""
        return name == C_ECHO or all(module in self._modules for module in self._needs(name))


class Server:
    """A running server.

    Attributes:
        name: its library and its loop.
        port: where it listens.
        pid: of its process.
    """

    def __init__(
        self, name: str, command: list[str], port: int, cpu: str, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.port = port
        self._process = subprocess.Popen(
            ["taskset", "-c", cpu, *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=dict(environment),
        )
        self.pid = self._process.pid

    def wait_until_it_listens(self) -> None:
        """Wait until a connection can be opened."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise Failure("it does not start") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Workshop:
    """A folder with the compiled programs, the certificate and the plain build.

    Args:
        folder: where to put all that.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        for name in ("echo", "frame_echo"):
            self._compile(name)
        try:
            self._compile("load", "-DWITH_TLS", "-lssl", "-lcrypto")
            self.has_tls = True
        except subprocess.CalledProcessError:
            print("OpenSSL's headers are missing: TLS is left out", file=sys.stderr)
            self._compile("load")
            self.has_tls = False
        self.certificate = str(folder / "certificate.pem")
        if self.has_tls:
            subprocess.run(
                [
                    *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                    *("-keyout", self.certificate, "-out", str(folder / "chain.pem")),
                ],
                check=True,
                capture_output=True,
            )
            with open(self.certificate, "ab") as file:
                file.write((folder / "chain.pem").read_bytes())

    def _compile(self, name: str, *options: str) -> None:
        command = ["gcc", "-O2", str(HERE / f"{name}.c"), "-o", str(self._folder / name)]
        quiet = subprocess.DEVNULL if options else None
        subprocess.run([*command, *options], check=True, stderr=quiet)

    def _environment(self, python: Python, name: str) -> Mapping[str, str]:
        """Return the environment for ``name``; the plain build is a copy without what was compiled."""
        if name.partition(":")[0] != PLAIN:
            return os.environ
        folder = self._folder / f"plain-{python.version}"
        if not folder.exists():
            ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
            shutil.copytree(python.anyws, folder / "anyws", ignore=ignored)
        return os.environ | {"PYTHONPATH": str(folder)}

    def start(self, python: Python, name: str, setup: Mapping[str, Any]) -> Server:
        """Start a server on the CPU that is measured, without waiting for it."""
        port = free_port()
        command = [python.path, str(HERE / "servers.py"), name, str(port), json.dumps(setup)]
        if name == C_ECHO:
            command = [str(self._folder / "echo"), str(port)]
        return Server(name, command, port, MEASURED, self._environment(python, name))

    def start_echo_for_clients(self) -> Server:
        """Start the server that clients are measured against."""
        port = free_port()
        command = [str(self._folder / "frame_echo"), str(port)]
        server = Server("frame echo", command, port, OTHER, os.environ)
        server.wait_until_it_listens()
        return server

    def load(self, port: int, seconds: float, frames: bytes, **values: object) -> dict[str, float]:
        """Run the load generator; return what it says.

        Raises:
            Failure: it, or the server, failed.
        """
        path = self._folder / "frames"
        path.write_bytes(frames)
        arguments = {"seconds": seconds, "frames": path, **values}
        found = _run(
            ["taskset", "-c", OTHER, str(self._folder / "load"), str(port)]
            + [f"{name}={value}" for name, value in arguments.items()],
            os.environ,
            seconds,
        )
        if "pid" in values and found.get("microseconds") == 0:
            raise Failure("another process answered in its place")
        return found

    def run_client(
        self, python: Python, name: str, port: int, window: int, size: int, seconds: float
    ) -> dict[str, float]:
        """Run a client against the echo at ``port``; return what it says.

        Raises:
            Failure: it failed.
        """
        values = (name, f"ws://127.0.0.1:{port}/", window, size, seconds)
        return _run(
            ["taskset", "-c", MEASURED, python.path, str(HERE / "clients.py")]
            + [str(value) for value in values],
            self._environment(python, name),
            seconds,
        )


def _run(command: list[str], environment: Mapping[str, str], seconds: float) -> dict[str, float]:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds * 4 + 90,
            cwd="/",
            env=dict(environment),
        )
    except subprocess.TimeoutExpired:
        raise Failure("it takes too long") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise Failure(lines[-1] if lines else f"exit code {done.returncode}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def free_port() -> int:
    """Return a port that nobody listens on, and none twice: whoever got it may not listen yet."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port not in _given_ports:
            _given_ports.add(port)
            return port
