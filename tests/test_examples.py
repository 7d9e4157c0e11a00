"""Each program in docs/examples does what it says."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

import anyws
from anyws.testing import RawPeer, WebSocketPair, memory_pair

pytestmark = pytest.mark.anyio
#: Where ``anyws`` was found, which may be this folder.
ROOT = str(pathlib.Path(anyws.__file__).parent.parent)
EXAMPLES = pathlib.Path(__file__).parent.parent / "docs" / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def running(serve, *args, **options):
    """Run a server, and give its address."""
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg:
            server = await tg.start(partial(serve, *args, **options))
            yield f"ws://127.0.0.1:{server.port}"
            await server.aclose()


async def test_echo(capsys):
    echo = load("echo")
    async with running(anyws.serve, echo.echo, "127.0.0.1") as uri:
        await echo.talk(uri, "hello", "world")
    assert capsys.readouterr().out == "hello\nworld\n"


async def receive_json(websocket):
    return json.loads(await websocket.receive())


async def test_chat():
    async with running(load("chat").serve_chat, 0) as uri:
        async with anyws.connect(f"{uri}/chat") as ada, anyws.connect(f"{uri}/chat") as bob:
            await ada.send('{"name": "Ada"}')
            assert await receive_json(ada) == {"notice": "Ada joined"}
            await bob.send('{"name": "Bob"}')
            assert await receive_json(ada) == {"notice": "Bob joined"}
            for nonsense in ("[]", "no JSON", '{"text": 1}', b"\xff"):
                await bob.send(nonsense)
            await bob.send('{"text": "hello"}')
            assert await receive_json(ada) == {"name": "Bob", "text": "hello"}
            await bob.close()
            assert await receive_json(ada) == {"notice": "Bob left"}
        async with anyws.connect(f"{uri}/chat") as nobody:
            await nobody.send("{}")
            with pytest.raises(anyws.ConnectionClosedError, match="what is your name"):
                await nobody.receive()
        with pytest.raises(anyws.RejectedHandshake) as caught:
            async with anyws.connect(uri):
                pass
        assert (caught.value.status, caught.value.body[:15]) == (200, b"<!doctype html>")


async def test_chat_sends_away_who_is_too_slow():
    chat = load("chat")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg, WebSocketPair() as (ada, ada_server):
            room = chat.Room(tg)
            tg.start_soon(room.serve, ada_server)
            await ada.send('{"name": "Ada"}')
            assert await receive_json(ada) == {"notice": "Ada joined"}
            one, other = memory_pair()
            slow = RawPeer(one)

            async def serve_slow():
                async with anyws.accept(other, compression=None) as server:
                    with pytest.raises(anyws.ConnectionClosed):
                        await room.serve(server)

            tg.start_soon(serve_slow)
            await slow.request()
            await slow.send_frame(0x81, b'{"name": "Bob"}', mask=b"mask")
            assert await receive_json(ada) == {"notice": "Bob joined"}
            while len(room.members) == 2:
                await ada.send(json.dumps({"text": "x" * 4000}))
                await ada.receive()
            while (frame := await slow.receive_frame()).opcode != anyws.Opcode.CLOSE:
                pass
            assert frame.payload == b"\x03\xf0too slow"
            await one.aclose()
            assert await receive_json(ada) == {"notice": "Bob left"}


async def test_relay():
    relay = load("relay")

    async def shout(client):
        assert client.request.headers["X-Forwarded-For"] == "127.0.0.1"
        async for message in client:
            if message == "stop":
                await client.close(4000, "stopped")
            await client.send(message.upper())

    async with running(anyws.serve, shout, "127.0.0.1", limits=relay.UNBOUND) as behind:
        handler = partial(relay.relay, behind)
        async with running(anyws.serve, handler, "127.0.0.1", limits=relay.UNBOUND) as uri:
            async with anyws.connect(uri, limits=relay.UNBOUND) as websocket:
                for message in ("hello", "x" * 3_000_000):
                    await websocket.send(message)
                    assert await websocket.receive() == message.upper()
                await websocket.send("stop")
                with pytest.raises(anyws.ConnectionClosedError) as caught:
                    await websocket.receive()
                assert (caught.value.code, caught.value.reason) == (4000, "stopped")
    async with running(anyws.serve, handler, "127.0.0.1") as uri, anyws.connect(uri) as websocket:
        with pytest.raises(anyws.ConnectionClosedError, match="1014"):
            await websocket.receive()


async def test_files(tmp_path, capsys):
    files = load("files")
    store, home = tmp_path / "store", tmp_path / "home"
    store.mkdir()
    home.mkdir()
    content = bytes(range(256)) * 4000
    (home / "a b.bin").write_bytes(content)
    (tmp_path / "secret").write_text("secret")
    async with running(files.serve_files, store, 0) as uri:
        await files.put(uri, home / "a b.bin")
        assert (store / "a b.bin").read_bytes() == content
        (home / "a b.bin").unlink()
        await files.get(uri, "a b.bin", home)
        assert (home / "a b.bin").read_bytes() == content
        for path in (
            "/get/none",
            "/get/..%2Fsecret",
            "/get/..",
            "/put/.hidden",
            "/put/",
            "/else/x",
        ):
            with pytest.raises(anyws.RejectedHandshake, match="404"):
                async with anyws.connect(uri + path):
                    pass
        # Half a file is none.
        with pytest.raises(LookupError):
            async with anyws.connect(f"{uri}/put/half") as websocket:
                async with websocket.writer.fragment() as stream:
                    await stream.send(b"half")
                    raise LookupError
    assert sorted(path.name for path in store.iterdir()) == ["a b.bin"]
    assert capsys.readouterr().out == "stored\n"


async def test_jsonrpc(caplog):
    jsonrpc = load("jsonrpc")

    async def fail():
        raise LookupError("a private detail")

    async def refuse():
        raise jsonrpc.RpcError(7, "not today", [1])

    async def greet(name):
        return f"hello, {await rpc.call('title')} {name}"

    seen = []
    methods = {"add": jsonrpc.add, "fail": fail, "refuse": refuse, "greet": greet}
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tg, WebSocketPair() as (client, server):
            rpc = jsonrpc.Rpc(server, {**methods, "note": seen.append})
            caller = jsonrpc.Rpc(client, {"title": lambda: "Ms"})
            await tg.start(rpc.run)
            await tg.start(caller.run)
            assert await caller.call("add", 2, 3) == 5
            assert await caller.call("add", one=2, other=4) == 6
            assert await caller.call("greet", "Ada") == "hello, Ms Ada"
            await caller.notify("note", "a word")
            for call, code, message in (
                (partial(caller.call, "add", 1), -32602, "Invalid params"),
                (partial(caller.call, "none"), -32601, "Method not found"),
                (partial(caller.call, "fail"), -32603, "Internal error"),
                (partial(caller.call, "refuse"), 7, "not today"),
            ):
                with pytest.raises(jsonrpc.RpcError) as caught:
                    await call()
                assert (caught.value.code, caught.value.message) == (code, message)
            assert seen == ["a word"]
            assert [record.name for record in caplog.records] == ["example_jsonrpc"]
            # Calls that wait for one another's answers, all at the same time.
            async with anyio.create_task_group() as calls:
                for _ in range(50):
                    calls.start_soon(caller.call, "greet", "Ada")


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ("nonsense", {"id": None, "error": {"code": -32700, "message": "Parse error"}}),
        ("[]", {"id": None, "error": {"code": -32600, "message": "Invalid Request"}}),
        ('{"method": "add", "id": 1}', {"id": 1, "error": {"code": -32600, "message": "Invalid Request"}}),
        ('{"jsonrpc": "2.0", "method": "add", "params": 1, "id": 1}',
         {"id": 1, "error": {"code": -32602, "message": "Invalid params"}}),
        ('{"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": "x"}', {"id": "x", "result": 3}),
    ],
)  # fmt: skip
async def test_jsonrpc_on_the_wire(sent, answer):
    jsonrpc = load("jsonrpc")
    async with anyio.create_task_group() as tg, WebSocketPair() as (client, server):
        tg.start_soon(jsonrpc.serve_methods, server)
        await client.send(sent)
        assert await receive_json(client) == {"jsonrpc": "2.0", **answer}
        batch = '[{"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": 1}, {"jsonrpc": "2.0", "method": "add"}]'
        await client.send(batch)
        assert await receive_json(client) == [{"jsonrpc": "2.0", "id": 1, "result": 3}]


async def test_jsonrpc_calls_end_with_the_connection():
    jsonrpc = load("jsonrpc")
    jsonrpc.MAX_CALLS = 1
    called = anyio.Event()

    async def never():
        called.set()
        await anyio.sleep_forever()

    async def close():
        await called.wait()
        with pytest.raises(jsonrpc.RpcError, match="Too many calls"):
            await caller.call("never")
        await server.close()

    async with anyio.create_task_group() as tg, WebSocketPair() as (client, server):
        await tg.start(jsonrpc.Rpc(server, {"never": never}).run)
        caller = jsonrpc.Rpc(client, {})
        await tg.start(caller.run)
        tg.start_soon(close)
        with anyio.fail_after(5), pytest.raises(anyio.BrokenResourceError):
            await caller.call("never")


async def test_dashboard():
    async with running(load("dashboard").serve_dashboard, 0, 0.001) as uri:
        async with anyws.connect(f"{uri}/watch") as watcher:
            assert await receive_json(watcher) == {}
            async with anyws.connect(f"{uri}/produce/a") as one:
                async with anyws.connect(f"{uri}/produce/b") as two:
                    for number in range(100):
                        await one.send(str(number))
                        await two.send(str(-number))
                    while await receive_json(watcher) != {"a": 99, "b": -99}:
                        pass
                while await receive_json(watcher) != {"a": 99}:
                    pass
                await one.send("nan")
                with pytest.raises(anyws.ConnectionClosedError, match="no number"):
                    await one.receive()
            while await receive_json(watcher) != {}:
                pass


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("in_trio", ["'one two three' has 3 words", "'one two' has 2 words", "'one' has 1 words"]),
        (
            "in_asyncio",
            ["'one two three' has 3 words", "'one two' has 2 words", "'one' has 1 words"],
        ),
        ("jsonrpc", ["5", "Method not found"]),
    ],
)
def test_programs(name, output):
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        capture_output=True, text=True, timeout=30, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == sorted(output)
