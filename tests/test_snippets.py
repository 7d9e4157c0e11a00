"""Every Python block of README and the documentation runs, on asyncio and on trio.

The blocks of a page run in their order and share one namespace, in a folder of their own that holds
``cert.pem``, ``key.pem`` and ``ca.pem`` for localhost. A block that calls ``anyio.run`` is a program: it runs
beside the following blocks if it serves, and to its end if not. In other blocks ``await`` stands at the top
level. A comment that begins with ``<!-- snippet`` is a block that readers do not see: it prepares names and
checks what happened, with ``page`` (see ``Page``). A ``text`` block right after a block is what it prints.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import pathlib
import re
import socket
from functools import partial
from typing import Any, NamedTuple

import anyio
import pytest
import trio
import trustme

import anyws
from anyws.testing import WebSocketPair

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/**/*.md")))]
PAGES = [page for page in PAGES if "python" in (ROOT / page).read_text("utf-8")]
BLOCK = re.compile(r"^(```\w+|<!-- snippet)\n(.*?)^(?:```|-->)$", re.MULTILINE | re.DOTALL)
#: Ports that pages mention; each run takes free ones in their place.
PORTS = ("8765", "8443")
RUN = anyio.run
#: Lines of a block that can be copied to a file and run.
WHOLE = {"import anyio", "import anyws"}


class Block(NamedTuple):
    line: int
    code: str
    #: What it prints, when the page says so.
    output: str | None


class Program(NamedTuple):
    backend: str | None
    run: Any


def read_blocks(page):
    """Return the blocks of a page that are to run."""
    text = (ROOT / page).read_text("utf-8")
    found = list(BLOCK.finditer(text))
    result = []
    for number, match in enumerate(found):
        if match[1] not in ("```python", "<!-- snippet"):
            continue
        output = None
        if number + 1 < len(found) and found[number + 1][1] == "```text":
            between = text[match.end() : found[number + 1].start()]
            output = found[number + 1][2] if not between.strip() else None
        result.append(Block(text.count("\n", 0, match.start(2)), match[2], output))
    return result


class Output(io.StringIO):
    """What the page's programs print; tells when there is more."""

    def __init__(self):
        super().__init__()
        self._changed = anyio.Event()

    def write(self, text):
        count = super().write(text)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
        return count

    async def wait_for(self, text):
        with anyio.move_on_after(5):
            while self.getvalue() != text:
                await self._changed.wait()
        assert self.getvalue() == text
        self.seek(0)
        self.truncate()


class Page:
    """What hidden blocks know as ``page``."""

    def __init__(self, task_group, stack, output):
        self.task_group = task_group
        self.output = output
        self.servers = []
        self.used = set()
        self.programs = []
        self.changed = anyio.Event()
        self._stack = stack

    async def enter(self, context):
        """Enter an async context manager, which is left at the end of the page."""
        return await self._stack.enter_async_context(context)

    async def start(self, function, *args, **keywords):
        """Start what reports that it has started, such as ``serve``, and return what it reports."""
        return await self.task_group.start(partial(function, *args, **keywords))

    async def stop(self):
        """Stop the servers that run, so that the next program finds its port free."""
        for server in self.servers:
            await server.aclose(0)

    async def echo(self, **options):
        """Return a client's connection in memory, to a server that echoes."""
        client, server = await self.enter(WebSocketPair(**options))
        self.task_group.start_soon(self._echo, server)
        return client

    @staticmethod
    async def _echo(server):
        with contextlib.suppress(anyws.ConnectionClosed):
            async for message in server:
                await server.send(message)

    def notify(self):
        changed, self.changed = self.changed, anyio.Event()
        changed.set()

    def record(self, monkeypatch):
        """Let programs be started by this page, and servers be known to it."""
        monkeypatch.setattr(anyio, "run", self._anyio_run)
        monkeypatch.setattr(trio, "run", lambda *a: self._add("trio", partial(*a)))
        monkeypatch.setattr(asyncio, "run", self._asyncio_run)
        listen, begin = anyws.Server._listen, anyws.Server._begin

        async def listen_and_tell(server):
            await listen(server)
            self.servers.append(server)
            self.notify()

        def begin_and_tell(server, websocket):
            self.used.add(server)
            begin(server, websocket)

        monkeypatch.setattr(anyws.Server, "_listen", listen_and_tell)
        monkeypatch.setattr(anyws.Server, "_begin", begin_and_tell)

    def _add(self, backend, run):
        self.programs.append(Program(backend, run))

    def _anyio_run(self, function, *args, backend=None):
        self._add(backend, partial(function, *args))

    def _asyncio_run(self, coroutine):
        self._stack.callback(coroutine.close)
        self._add("asyncio", lambda: coroutine)

    async def run(self, program):
        """Run a program to its end, or until it serves."""
        done = []
        before = len(self.servers)

        async def run():
            await program.run()
            done.append(True)
            self.notify()

        self.task_group.start_soon(run)
        with anyio.fail_after(20):
            while not done and len(self.servers) == before:
                await self.changed.wait()


async def run_page(name, backend, monkeypatch):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = {
        port: str(listener.getsockname()[1])
        for port, listener in zip(PORTS, listeners, strict=True)
    }
    for listener in listeners:
        listener.close()
    output = Output()
    with anyio.fail_after(20), contextlib.redirect_stdout(output):
        async with anyio.create_task_group() as task_group:
            async with contextlib.AsyncExitStack() as stack:
                page = Page(task_group, stack, output)
                page.record(monkeypatch)
                namespace = {"__name__": "__main__", "page": page, "anyio": anyio, "anyws": anyws}
                for block in read_blocks(name):
                    code = re.sub("|".join(PORTS), lambda match: ports[match[0]], block.code)
                    compiled = compile(
                        "\n" * block.line + code, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                    )
                    # A program that imports all it needs is a file of its own for who reads the page.
                    own = {"__name__": "__main__"} if set(code.split("\n")) >= WHOLE else namespace
                    awaitable = eval(compiled, own)
                    if inspect.isawaitable(awaitable):
                        await awaitable
                    for program in page.programs:
                        if program.backend in (None, backend):
                            await page.run(program)
                    if block.output is not None:
                        await output.wait_for(block.output)
                    page.programs.clear()
                    namespace.update(own)
                assert set(page.servers) == page.used, "no block connects to a server of this page"
            task_group.cancel_scope.cancel()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("localhost", "127.0.0.1", "chat.example.org")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for number, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(str(folder / "cert.pem"), append=number > 0)
    return folder


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("name", PAGES)
def test_blocks_run(name, backend, monkeypatch, tmp_path, certificates):
    for file in certificates.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    RUN(run_page, name, backend, monkeypatch, backend=backend)


@pytest.mark.parametrize("name", PAGES)
def test_no_block_is_passed_over(name):
    text = (ROOT / name).read_text("utf-8")
    fences = re.findall(
        r"^\s*(?:```|~~~|:::)\s*\{?(?:code-block|py|python|python3|pycon|doctest)\b.*",
        text,
        re.MULTILINE,
    )
    hidden = re.findall(r"<!--\s*snippet", text)
    assert len(read_blocks(name)) == len(fences) + len(hidden)
