"""``anyws connect`` in pipes and scripts."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading

import anyio
import pytest

import anyws
from anyws.cli import main


@pytest.fixture
def connect(monkeypatch, capsys, tmp_path):
    """Give ``connect(*arguments, stdin)``, which runs the command in this process."""

    def run(*arguments, stdin=b"", backend="asyncio"):
        (tmp_path / "stdin").write_bytes(stdin)
        with open(tmp_path / "stdin") as source, open(tmp_path / "stdout", "w+b") as target:
            monkeypatch.setattr(sys, "stdin", source)
            monkeypatch.setattr(sys, "stdout", target)
            code = main(["connect", "--backend", backend, *map(str, arguments)])
            target.seek(0)
            return code, target.read(), capsys.readouterr().err

    return run


def test_from_pipe_to_pipe(echo_port, call):
    done = call("connect", f"localhost:{echo_port}", "--once", text="hi\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_lines(connect, echo_port, backend):
    lines = [f"line {number}".encode() for number in range(1000)]
    code, output, error = connect(
        f"localhost:{echo_port}", "--receive", 1000, stdin=b"\r\n".join(lines), backend=backend
    )
    assert (code, error) == (0, "")
    assert output.splitlines() == lines


@pytest.mark.parametrize(
    ("arguments", "stdin", "output"),
    [
        (["--once"], b"two\nlines\n", b"two\nlines\n"),
        (["--once", "--binary"], b"\x00\xff\n", b"00ff0a\n"),
        (["--once", "--binary", "--format", "raw"], bytes(range(256)) * 300, bytes(range(256)) * 300),
        (["--once", "--format", "raw"], "é".encode(), "é".encode()),
        (["--once", "--format", "json"], b'say "hi"', b'{"type": "text", "data": "say \\"hi\\""}\n'),
        (["--once", "--binary", "--format", "json"], b"\xff", b'{"type": "binary", "data": "ff"}\n'),
        (["--once", "--message", "given"], b"not read", b"given\n"),
        (["--receive", "3", "--message", "first"], b"a\nb\nc\n", b"first\na\nb\n"),
        (["--wait", "0.2"], b"a\n\nb", b"a\n\nb\n"),
        (["--wait", "0.2"], b"", b""),
    ],
)  # fmt: skip
def test_what_is_sent_and_printed(connect, echo_port, arguments, stdin, output):
    assert connect(f"localhost:{echo_port}", *arguments, stdin=stdin) == (0, output, "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "text"),
    [
        (["--once", "--timeout", "0.1"], b"", 5, "not done within 0.1 seconds"),
        (["--once"], b"\xff", 1, "standard input is not UTF-8 text; --binary sends it as it is"),
        (["--once", "--max-size", "5"], b"123456", 4, "the connection ended before what was waited for came: 1006"),
        (["--header", "A: b\r\nC: d"], b"", 2, ""),
        (["--insecure"], b"", 2, "--insecure and --ca are for wss:// addresses"),
        (["--unix", "/nonexistent/socket"], b"", 1, "cannot connect to /nonexistent/socket: no such file or directory"),
    ],
)  # fmt: skip
def test_what_goes_wrong(connect, echo_port, arguments, stdin, code, text):
    found, output, error = connect(f"ws://localhost:{echo_port}", *arguments, stdin=stdin)
    assert (found, output) == (code, b"")
    assert error.startswith(f"anyws: {text}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("uri", "code", "text"),
    [
        ("http://localhost", 2, "a WebSocket address begins with ws:// or wss://, not 'http://'"),
        ("ws://127.0.0.1:1", 1, "cannot connect to ws://127.0.0.1:1: connection refused"),
    ],
)
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_no_server(connect, uri, code, text, backend):
    assert connect(uri, backend=backend) == (code, b"", f"anyws: {text}\n")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tls(connect, serving, authority, backend):
    import ssl

    async def handler(websocket):
        await websocket.send("secret")

    contexts = {}
    for name in ("both", "expired"):
        contexts[name] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        contexts[name].load_cert_chain(authority / f"{name}.pem")
    with serving(handler, ssl_context=contexts["both"]) as port:
        uri = f"wss://localhost:{port}"
        arguments = [uri, "--once", "--ca", authority / "ca.pem"]
        assert connect(*arguments, backend=backend) == (0, b"secret\n", "")
        assert connect(uri, "--once", "--insecure", backend=backend) == (0, b"secret\n", "")
        code, _, error = connect(uri, "--once", backend=backend)
        assert code == 1
        assert "the server's certificate is not trusted: unable to get local issuer" in error
    with serving(handler, ssl_context=contexts["expired"]) as port:
        code, _, error = connect(
            f"wss://localhost:{port}", "--ca", authority / "ca.pem", backend=backend
        )
        assert code == 1
        assert "certificate has expired" in error
    code, _, error = connect(uri, "--ca", authority / "key.pem", backend=backend)
    assert code == 2
    assert f"cannot use {authority / 'key.pem'}: " in error


def test_a_proxy(connect, serving):
    async def handler(websocket):
        raise AssertionError

    with serving(handler) as port:
        # Our server is no proxy, and says so.
        proxy = f"http://user:secret@localhost:{port}"
        code, _, error = connect("ws://chat.example", "--proxy", proxy)
    assert code == 1
    assert error.startswith("anyws: cannot connect to ws://chat.example: the proxy answered 400 ")
    code, _, error = connect("ws://chat.example", "--proxy", "ftp://user:secret@localhost")
    assert code == 2
    assert "a proxy's address begins with http" in error
    assert "secret" not in error


def test_what_the_server_is_told(connect, serving):
    requests = []

    async def handler(websocket):
        requests.append(websocket.request)

    options = {"subprotocols": ["v2"], "origins": ["https://page"]}
    with serving(handler, **options) as port:
        arguments = [
            "-H",
            "X-Token:  a: b ",
            "--origin",
            "https://page",
            "--subprotocol",
            "v1",
            "--subprotocol",
            "v2",
        ]
        assert connect(f"localhost:{port}/path?x", *arguments, "--no-compression")[0] == 0
        code, _, error = connect(f"localhost:{port}", "--origin", "https://other")
        assert code == 3
        assert error.startswith("anyws: the server refused to open a WebSocket: 403 Forbidden")
    headers = requests[0].headers
    assert requests[0].target == "/path?x"
    assert headers["X-Token"] == "a: b"
    assert headers["Sec-WebSocket-Protocol"] == "v1, v2"
    assert "Sec-WebSocket-Extensions" not in headers


@pytest.mark.parametrize(
    ("code", "exit_code", "text"),
    [(1000, 0, ""), (1013, 4, "anyws: the peer closed it: 1013 (try again later) 'busy': the server is overloaded")],
)  # fmt: skip
def test_the_server_closes(connect, serving, code, exit_code, text):
    async def handler(websocket):
        await websocket.send("last")
        await websocket.close(code, "busy")

    with serving(handler) as port:
        found, output, error = connect(f"localhost:{port}", "--wait", "inf")
    assert (found, output) == (exit_code, b"last\n")
    assert error.startswith(text)


def test_who_reads_the_output_slowly_loses_nothing(serving, monkeypatch):
    """The time that nothing comes is not counted while what came waits to be taken."""
    closed = threading.Event()
    message = "x" * 500_000

    async def handler(websocket):
        await websocket.send(message)
        with contextlib.suppress(anyws.ConnectionClosed):
            await websocket.receive()
        closed.set()

    def read_late():
        # Longer than --wait: were it counted, the connection would be closed by now.
        found.append(closed.wait(0.5))
        with open(source, "rb") as file:
            found.append(file.read())

    found = []
    source, target = os.pipe()
    reader = threading.Thread(target=read_late)
    with serving(handler) as port, open(os.devnull) as nothing:
        reader.start()
        with open(target, "w") as output:
            monkeypatch.setattr(sys, "stdin", nothing)
            monkeypatch.setattr(sys, "stdout", output)
            assert main(["connect", f"localhost:{port}", "--wait", "0.05"]) == 0
        reader.join(20)
    assert found == [False, message.encode() + b"\n"]


def test_who_reads_the_output_goes_away(echo_port):
    """As in ``anyws connect ... | head -1``: nothing is said, and nothing is left behind."""
    command = shlex.join([sys.executable, "-m", "anyws", "connect", f"localhost:{echo_port}"])
    done = subprocess.run(
        ["bash", "-c", f"seq 100000 | {command} --wait inf | head -1; echo ${{PIPESTATUS[1]}}"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1\n1\n", "")


@pytest.mark.parametrize(("closed", "output"), [(">&-", ""), ("2>&-", "hi\n"), (">&- 2>&-", "")])
def test_what_the_shell_closed(echo_port, closed, output):
    """No socket takes its place, and what is written there goes nowhere."""
    command = shlex.join(
        [sys.executable, "-m", "anyws", "connect", f"localhost:{echo_port}", "--once"]
    )
    done = subprocess.run(
        ["bash", "-c", f"echo hi | {command} {closed}; echo $? ${{PIPESTATUS[1]}}"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"{output}0 0\n", "")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_interrupted(run_command, anyio_backend_name):
    """Ctrl-C closes in good order, and what came before is in the output."""
    ended = anyio.Event()
    codes = []

    async def handler(websocket):
        await websocket.send("last")
        with pytest.raises(anyws.ConnectionClosedOK) as caught:
            await websocket.receive()
        codes.append(caught.value.code)
        ended.set()

    async with anyio.create_task_group() as task_group:
        server = await task_group.start(anyws.serve, handler, "127.0.0.1")
        arguments = ["connect", f"localhost:{server.port}", "--backend", anyio_backend_name]
        async with run_command(*arguments) as command:
            assert await command.line() == "last"
            assert await command.stop() == 128 + signal.SIGINT
            assert await command.rest() == ""
        with anyio.fail_after(20):
            await ended.wait()
        assert codes == [1000]
        task_group.cancel_scope.cancel()


def test_verbose_shows_what_happened(connect):
    code, _, error = connect("ws://127.0.0.1:1", "--verbose")
    assert code == 1
    assert "Traceback" in error
    assert error.endswith("\nanyws: cannot connect to ws://127.0.0.1:1: connection refused\n")
