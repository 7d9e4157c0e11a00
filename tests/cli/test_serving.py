"""``anyws echo`` and ``anyws serve`` as processes, and clients that use them."""

import signal
import socket
import ssl

import anyio
import pytest
from cryptography.hazmat.primitives import serialization

import anyws
from anyws.cli import main

SHOUT = """
import suffix

async def handler(websocket):
    async for message in websocket:
        await websocket.send(message.upper() + suffix.TEXT)

async def fail(websocket):
    raise RuntimeError("the handler's own words")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shout.py").write_text(SHOUT)
    (tmp_path / "suffix.py").write_text("TEXT = '!'\n")
    return tmp_path


async def ask(uri, message, **options):
    with anyio.fail_after(20):
        async with anyws.connect(uri, **options) as client:
            await client.send(message)
            return await client.receive()


@pytest.mark.anyio
async def test_echo(run_command, loop_name):
    async with run_command("echo", "--backend", loop_name, "--port", "0") as echo:
        line = await echo.listening()
        assert line == (f"anyws echo on ws://127.0.0.1:{echo.port}/ ({loop_name}), Ctrl-C stops it")
        uri = f"ws://127.0.0.1:{echo.port}"
        assert await ask(uri, "héllo") == "héllo"
        async with anyws.connect(uri) as client:
            await client.send(b"\x00\xff")
            assert await client.receive() == b"\x00\xff"
            echo.process.send_signal(signal.SIGTERM)
            with anyio.fail_after(20), pytest.raises(anyws.ConnectionClosedOK) as caught:
                await client.receive()
            assert caught.value.code == 1001
        assert await echo.exit_code() == 0
        assert await echo.rest() == "stopping, 1 connection to close\n"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_serve_a_file(run_command, folder):
    arguments = ["--backend", "trio", "--port", "0"]
    # From another folder: what lies beside the file can be imported all the same.
    async with run_command("serve", folder / "shout.py", *arguments, cwd="/") as serve:
        await serve.listening()
        assert await ask(f"ws://127.0.0.1:{serve.port}", "hello") == "HELLO!"
        assert await serve.stop() == 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_serve_a_module_whose_handler_fails(run_command, folder):
    async with run_command("serve", "shout:fail", "--port", "0", cwd=folder) as serve:
        assert (await serve.listening()).startswith("shout:fail on ws://127.0.0.1:")
        with pytest.raises(anyws.ConnectionClosedError) as caught:
            await ask(f"ws://127.0.0.1:{serve.port}", "hello")
        assert caught.value.code == 1011
        assert await serve.stop() == 0
        assert "RuntimeError: the handler's own words" in await serve.rest()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_options_of_a_server(run_command, authority, tmp_path):
    path = tmp_path / "echo.sock"
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    arguments = ["--certificate", authority / "chain.pem", "--key", authority / "key.pem"]
    more = ["--subprotocol", "chat", "--max-size", "1k", "--origin", "https://page"]
    async with run_command("echo", "--unix", path, *arguments, *more, "--no-compression") as echo:
        assert f"on the UNIX socket {path} (asyncio)" in await echo.listening()
        options = {"unix_path": path, "ssl_context": context, "subprotocols": ["other", "chat"]}
        with anyio.fail_after(20):
            async with anyws.connect("wss://localhost", origin="https://page", **options) as client:
                assert client.subprotocol == "chat"
                assert "sec-websocket-extensions" not in client.response.headers
                await client.send("x" * 1024)
                assert len(await client.receive()) == 1024
                await client.send("x" * 1025)
                with pytest.raises(anyws.ConnectionClosedError) as caught:
                    await client.receive()
                assert caught.value.code == 1009
        with pytest.raises(anyws.RejectedHandshake):
            await ask("wss://localhost", "", origin="https://other", **options)
        assert await echo.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_port_in_use(capsys, backend):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["echo", "--backend", backend, "--port", str(port)]) == 1
    text = f"anyws: cannot listen on 127.0.0.1:{port}: address already in use\n"
    assert capsys.readouterr() == ("", text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--unix", "x", "--port", "1"], "give either --unix, or --host and --port"),
        (["--key", "x"], "--key needs --certificate"),
        (["--certificate", "/nonexistent.pem"], "cannot use /nonexistent.pem: no such file or directory"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(capsys, arguments, text):
    assert main(["echo", *arguments]) == 2
    assert capsys.readouterr() == ("", f"anyws: {text}\n")


def test_a_key_with_a_password(capsys, tmp_path, authority):
    """It is refused, and not asked for on the terminal."""
    key = serialization.load_pem_private_key((authority / "key.pem").read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    (tmp_path / "locked.pem").write_bytes(key.private_bytes(*form))
    files = ["--certificate", str(authority / "chain.pem"), "--key", str(tmp_path / "locked.pem")]
    assert main(["echo", *files]) == 2
    error = capsys.readouterr().err
    assert error == "anyws: the private key has a password; give a key without one\n"
