"""``anyws connect`` by hand, on a real pseudo-terminal."""

import json
import os
import signal
import termios

import anyio
import pytest

LONG = {"name": "x", "values": [1.0, 2], "long": "y" * 50}


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_session(on_terminal, echo_port, backend):
    terminal = on_terminal("connect", f"localhost:{echo_port}", "--backend", backend)
    terminal.wait_for(f"connected to ws://localhost:{echo_port}; /help says")
    terminal.wait_for_last(">")
    assert not terminal.attributes()[3] & (termios.ECHO | termios.ICANON)

    terminal.type("héllo\r")
    terminal.wait_for("> héllo\n< héllo\n>")
    terminal.type("first\\\rsecond\x1b\rthird\r")
    terminal.wait_for("> first\n. second\n. third\n< first\n  second\n  third\n>")
    terminal.type(json.dumps(LONG, separators=(",", ":")) + "\r")
    indented = [
        "< {",
        '    "name": "x",',
        '    "values": [1.0, 2],',
        f'    "long": "{"y" * 50}"',
        "  }",
    ]
    terminal.wait_for("\n".join([*indented, ">"]))
    terminal.type("/hex 00 ff 41\r")
    terminal.wait_for("< binary, 3 bytes\n  00000000  00 ff 41")
    terminal.type("//slash\r")
    terminal.wait_for("< /slash\n>")
    terminal.type("/ping\r")
    terminal.wait_for("pong after ")
    terminal.type("/stats\r")
    terminal.wait_for("sent 5 messages")
    terminal.type("/nonsense\r")
    terminal.wait_for("there is no /nonsense; /help lists commands")
    terminal.type("/hex 0\r")
    terminal.wait_for("'0' is not bytes in hex")
    terminal.type("/close x\r")
    terminal.wait_for("'x' is not a close code")
    terminal.type(f"/close {5000 * '9'}\r")
    terminal.wait_for("9' is not a close code")
    terminal.type("/close 999\r")
    terminal.wait_for("close code 999")
    # What was sent before, and begins with what was typed; it is sent before the close frame.
    terminal.type("h\x1b[A\r/close 4001 bye\r")
    assert terminal.end() == 0
    assert (
        "> héllo\n> /close 4001 bye\n< héllo\nclosed: 4001 (private use): the"
        in terminal.screen.text
    )
    assert terminal.attributes() == terminal.before
    assert terminal.screen.modes == set()


def closing_with(code, reason=""):
    async def handler(websocket):
        await websocket.receive()
        await websocket.close(code, reason)

    return handler


@pytest.mark.parametrize(
    ("code", "exit_code", "text"),
    [
        (1000, 0, "closed by the server: 1000 (normal closure) 'done': all that was to be done is done"),
        (1008, 4, "the peer closed it: 1008 (policy violation) 'done': what was done is not allowed"),
    ],
)  # fmt: skip
def test_the_server_closes(on_terminal, serving, code, exit_code, text):
    with serving(closing_with(code, "done")) as port:
        terminal = on_terminal("connect", f"localhost:{port}", "--message", "hello", width=200)
        assert terminal.end() == exit_code
    assert text in terminal.screen.text
    assert terminal.attributes() == terminal.before


def test_what_comes_never_drives_the_terminal(on_terminal, serving):
    async def hostile(websocket):
        await websocket.receive()
        await websocket.send("\x1b[2J\x1b]0;title\x07\x9b31m")
        await websocket.send(json.dumps({"a": "\u009b\x1b[2J"}, ensure_ascii=False))
        await websocket.send("\u202egnp.exe")
        await anyio.sleep_forever()

    with serving(hostile) as port:
        # While something is typed, too, and that stays.
        terminal = on_terminal("connect", f"localhost:{port}", "--no-history")
        terminal.wait_for_last(">")
        terminal.type("go\rtyped")
        terminal.wait_for("< \\x1b[2J\\x1b]0;title\\x07\\x9b31m\n")
        terminal.wait_for('< {"a": "\\x9b\\u001b[2J"}\n')
        terminal.wait_for("< \\u202egnp.exe\n> typed")
        # Ctrl-C empties the line, and ends when it is empty.
        terminal.type("\x03")
        terminal.wait_for_last(">")
        assert "> typed^C\n>" in terminal.screen.text
        terminal.type("\x03")
        assert terminal.end() == 0


def test_history_stays(on_terminal, echo_port, tmp_path):
    path = tmp_path / "deep" / "history"
    for number in range(2):
        terminal = on_terminal("connect", f"localhost:{echo_port}", "--history", path)
        terminal.wait_for_last(">")
        if not number:
            terminal.type("two\\\rlines\r secret\r")
            terminal.wait_for("<  secret\n>")
        else:
            terminal.type("\x1b[A")
            terminal.wait_for("> two\n. lines")
            terminal.type("\r")
            terminal.wait_for("< two\n  lines\n>")
        terminal.type("\x04")
        assert terminal.end() == 0
    assert path.read_text() == '"two\\nlines"\n'
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_signals(on_terminal, echo_port, backend):
    terminal = on_terminal("connect", f"localhost:{echo_port}", "--backend", backend, width=40)
    terminal.wait_for_last(">")
    terminal.type("x" * 50)
    terminal.wait_for_last("x" * 13)
    # The rows are cut anew for the new width.
    terminal.resize(60, 20)
    terminal.wait_for_last("> " + "x" * 50)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM
    assert terminal.attributes() == terminal.before


def test_stopped_and_continued(on_terminal, echo_port):
    terminal = on_terminal("connect", f"localhost:{echo_port}", own_session=False)
    # Typed ahead, while the terminal is not yet taken over.
    terminal.type("early\r")
    terminal.wait_for("> early\n< early\n>")
    terminal.type("half\x1a")
    _, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    # Whoever has the terminal now finds it as it was.
    assert terminal.attributes() == terminal.before
    terminal.process.send_signal(signal.SIGCONT)
    terminal.type(" a text\r")
    terminal.wait_for("> half a text\n< half a text\n>")
    assert not terminal.attributes()[3] & termios.ICANON
    terminal.type("\x04")
    assert terminal.end() == 0


@pytest.mark.parametrize("rich", [True, False])
def test_colours(on_terminal, echo_port, rich, tmp_path):
    if rich:
        pytest.importorskip("rich")
    else:
        (tmp_path / "rich.py").write_text("raise ImportError('not installed')\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    terminal = on_terminal(
        "connect", f"localhost:{echo_port}", PYTHONPATH=path, COLORTERM="truecolor"
    )
    terminal.wait_for_last(">")
    terminal.type('{"a": [1]}\r')
    terminal.wait_for('< {"a": [1]}\n>')
    terminal.type("\x04")
    assert terminal.end() == 0
    assert ("\x1b[1;34m" in terminal.raw) is rich
