"""The command line, and the demo as its clients see it."""

import contextlib
import errno
import importlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys

import anyio
import pytest

import anyws
from anyws.cli import main


def encode(kind, **content):
    return json.dumps({"type": kind, **content})


async def receive(client, kind):
    """Return the next message of this kind, as a page that ignores the others would."""
    with anyio.fail_after(10):
        while True:
            message = json.loads(await client.receive())
            if message["type"] == kind:
                return message


async def enter(client, name):
    await client.send(encode("hello", name=name))
    return await receive(client, "welcome")


async def get(port, target, method="GET"):
    """Send a plain HTTP request; return the status, the head and the body."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer = b""
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                answer += await stream.receive()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body.decode()


@pytest.mark.anyio
async def test_plain_http(run_demo, loop_name):
    async with run_demo(loop_name) as demo:
        assert f"({loop_name})" in demo.first_line
        status, head, body = await get(demo.port, "/")
        assert status == 200
        assert "Content-Security-Policy: default-src 'none'; script-src 'sha256-" in head
        assert "<title>anyws demo</title>" in body
        assert "/*SCRIPT*/" not in body
        assert not [word for word in ("http-equiv", "onclick=", "src=", "@import") if word in body]
        assert (await get(demo.port, "/health"))[::2] == (200, "ok\n")
        assert (await get(demo.port, "/nothing"))[0] == 404
        assert (await get(demo.port, "/chat"))[0] == 426
        with pytest.raises(anyws.RejectedHandshake):
            async with demo.connect("/"):
                pass
        # With nobody to wait for it ends within the same turn of the loop.
        assert await demo.stop() == 0


@pytest.mark.anyio
async def test_chat(run_demo, loop_name):
    async with run_demo(loop_name) as demo, demo.connect() as ada:
        assert (await enter(ada, "Ada"))["people"] == ["Ada"]
        async with demo.connect() as other:
            assert (await enter(other, "  Ada "))["name"] == "Ada 2"
            assert (await receive(ada, "notice"))["people"] == ["Ada", "Ada 2"]
            await other.send(encode("hello", name="Grace"))
            notice = await receive(ada, "notice")
            assert (notice["event"], notice["to"]) == ("renamed", "Grace")
            await ada.send(encode("say", text="Hello"))
            message = await receive(other, "message")
            assert (message["name"], message["text"]) == ("Ada", "Hello")
            assert message["time"] > 1.7e9
            await other.send(encode("ping", id=7))
            assert (await receive(other, "pong"))["id"] == 7
            assert (await receive(other, "rtt"))["ms"] > 0
        assert (await receive(ada, "notice"))["event"] == "left"
        async with demo.connect() as late:
            assert [said["text"] for said in (await enter(late, "Late"))["history"]] == ["Hello"]


@pytest.mark.anyio
async def test_chat_refuses(run_demo, loop_name):
    refused = [
        ("no JSON", 1007),
        ("[]", 1008),
        (encode("say", text="before the hello"), 1008),
        (encode("hello", name="x" * 9000), 1009),
        (b"\xff", 1007),
    ]
    async with run_demo(loop_name) as demo:
        for data, code in refused:
            async with demo.connect() as client:
                await client.send(data)
                with anyio.fail_after(10), pytest.raises(anyws.ConnectionClosed) as caught:
                    while True:
                        await client.receive()
                assert caught.value.code == code, data


@pytest.mark.anyio
async def test_slow_page_holds_up_nobody(run_demo, loop_name):
    text = "x" * 1900
    async with run_demo(loop_name) as demo, demo.connect() as ada, demo.connect() as grace:
        await enter(ada, "Ada")
        await enter(grace, "Grace")
        async with demo.connect(compression=None) as slow:
            await enter(slow, "Slow")
            before = demo.memory()
            left = False
            with anyio.fail_after(60):
                # It takes megabytes until the kernel's buffers are full and the page is behind.
                while not left:
                    for _ in range(50):
                        await ada.send(encode("say", text=text))
                    for _ in range(50):
                        await receive(grace, "message")
                    for _ in range(50):
                        message = json.loads(await ada.receive())
                        left |= message.get("event") == "left" and message.get("name") == "Slow"
            assert demo.memory() - before < 8e6
            with pytest.raises(anyws.ConnectionClosed) as caught:
                while True:
                    await slow.receive()
            assert caught.value.code in (1006, 1008)


@pytest.mark.anyio
async def test_file_comes_back(run_demo, loop_name):
    data = os.urandom(3_000_000)
    limits = anyws.Limits(message_size=None)
    async with run_demo(loop_name) as demo, demo.connect("/upload", limits=limits) as client:
        fragments = []
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(client.send, data)
            with anyio.fail_after(20):
                reader = await anext(aiter(client.readers()))
                fragments = [piece async for piece in reader]
        assert b"".join(fragments) == data
        assert len(fragments) > 10
        await client.close()
        assert client.close_code == 1000


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_closes_with_1001(run_demo, loop_name, number):
    async with run_demo(loop_name) as demo, demo.connect() as ada, demo.connect("/upload") as file:
        await enter(ada, "Ada")
        codes = []

        async def wait_for_close(client):
            try:
                while True:
                    await client.receive()
            except anyws.ConnectionClosed as error:
                codes.append(error.code)

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(wait_for_close, ada)
            task_group.start_soon(wait_for_close, file)
            assert await demo.stop(number) == 0
        assert codes == [1001, 1001]
        rest = await demo.rest()
        assert b"stopping, 2 connections to close" in rest
        assert b"Traceback" not in rest


@pytest.mark.anyio
async def test_signal_while_a_file_is_under_way(run_demo, loop_name):
    codes = []
    limits = anyws.Limits(message_size=None)

    async def until_closed(operation, *arguments):
        try:
            while True:
                await operation(*arguments)
        except anyws.ConnectionClosed as error:
            codes.append(error.code)

    # Messages this large would keep the loop from receiving, were there no checkpoint between them.
    options = {"limits": limits, "checkpoint_interval": 1}
    async with run_demo(loop_name) as demo, demo.connect("/upload", **options) as client:
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(until_closed, client.send, os.urandom(2**18))
            await client.receive()
            task_group.start_soon(until_closed, client.receive)
            assert await demo.stop() == 0
        assert codes == [1001, 1001]
        assert b"Traceback" not in await demo.rest()


@pytest.mark.anyio
async def test_second_signal_stops_at_once(run_demo, loop_name):
    async with run_demo(loop_name) as demo, demo.connect(compression=None) as silent:
        # Nobody reads here, so the close frame stays unanswered behind all that is to be sent.
        await silent.send(encode("hello"))
        demo.process.send_signal(signal.SIGINT)
        with anyio.fail_after(10):
            while not (await demo.read_line()).startswith("stopping"):
                pass
        assert await demo.stop() == 0


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_port_in_use(backend):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "anyws", "demo", "--backend", backend, "--port", port]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        # In development mode asyncio has something to say on a busy machine.
        environment.pop("PYTHONDEVMODE", None)
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in done.stderr.lower()


def test_interrupted_before_the_signals_are_taken_over(monkeypatch, capsys):
    async def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("anyws.cli.demo.run_demo", interrupted)
    assert main(["demo"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EACCES, "Permission denied"), "anyws: permission denied\n"),
        (OSError("Words of its own"), "anyws: words of its own\n"),
    ],
)
def test_an_error_of_the_system_is_one_line(monkeypatch, capsys, error, text):
    async def failing(*arguments):
        raise error

    monkeypatch.setattr("anyws.cli.demo.run_demo", failing)
    assert main(["demo"]) == 1
    assert capsys.readouterr() == ("", text)


def test_importing_the_command_does_not_run_it():
    assert importlib.import_module("anyws.__main__").main is main


@pytest.mark.parametrize(("backend", "extra"), [("uvloop", "speed"), ("trio", "trio")])
def test_backend_not_installed(monkeypatch, capsys, backend, extra):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["demo", "--backend", backend]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"pip install 'anyws[{extra}]'" in error


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["demo", "--port", "70000"], ["demo", "--port", "x"],
                  ["demo", "--backend", "curio"]]
)  # fmt: skip
def test_wrong_arguments(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: anyws" in capsys.readouterr().err
