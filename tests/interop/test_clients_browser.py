"""Chromium talks to our server: messages, compression, close codes, cookies, and pages of other sites."""

import pytest

from anyws import Response

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BIG = bytes(range(256)) * 2**12
LONG = "to be or not to be, " * 10_000

PAGE = """<!doctype html>
<title>A client</title>
<link rel="icon" href="data:,">
<script>
  const bytes = Uint8Array.from({length: 2 ** 20}, (_, i) => i % 256);
  const messages = [
    "grüße", bytes.slice(0, 256), "", new Uint8Array(), "to be or not to be, ".repeat(10000), bytes,
  ];

  const next = (socket, name) =>
    new Promise((resolve) => socket.addEventListener(name, resolve, {once: true}));

  async function ask(socket, message) {
    socket.send(message);
    const {data} = await next(socket, "message");
    return typeof data === "string" ? data : new Uint8Array(data);
  }

  async function open(url) {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    await Promise.race([next(socket, "open"), next(socket, "close")]);
    return socket;
  }

  async function closed(socket) {
    const {code, reason, wasClean} = await next(socket, "close");
    return [code, reason, wasClean];
  }

  async function talk(url) {
    const socket = await open(url);
    const saw = {extensions: socket.extensions, same: []};
    for (const message of messages) {
      saw.same.push(String(await ask(socket, message)) === String(message));
    }
    saw.pieces = await ask(socket, "pieces please");
    saw.pong = await ask(socket, "ping please");
    socket.close(3456, "bye ✓");
    saw.answer = await closed(socket);
    const other = await open(url);
    other.send("close please");
    saw.closed = await closed(other);
    return saw;
  }

  async function wanted(url) {
    const socket = await open(url);
    const answer = socket.readyState === WebSocket.OPEN;
    socket.close();
    return answer;
  }
</script>
"""


def page(request):
    """Answer requests for the page; others go on to be WebSockets."""
    if request.path == "/page":
        headers = {"Content-Type": "text/html; charset=utf-8", "Set-Cookie": "ticket=42; Path=/"}
        return Response(200, headers=headers, body=PAGE)
    return None


async def open_page(browser, visited):
    tab = await browser.open(f"http://127.0.0.1:{visited.port}/page")
    await tab.until("document.title === 'A client'")
    return tab


async def test_chromium(serve_visits, run_browser):
    async with (
        serve_visits(process_request=page) as compressing,
        serve_visits(process_request=page, compression=None) as plain,
        run_browser() as browser,
    ):
        for visited in (compressing, plain):
            tab = await open_page(browser, visited)
            saw = await tab.evaluate(f"talk('{visited.url}')")
            first, second = await visited.visit(), await visited.visit()
            assert browser.problems == []
            check(saw, first, second)
            assert first.extensions.startswith("permessage-deflate") is (visited is compressing)
            assert first.request.origin == f"http://127.0.0.1:{visited.port}"


def check(saw, first, second):
    assert saw["same"] == [True] * 6
    assert saw["pieces"] == "one two " + "three " * 1000
    assert saw["pong"] == "pong came"
    assert saw["answer"] == [3456, "", True]
    assert saw["closed"] == [4001, "enough ✓", True]
    assert saw["extensions"] == first.extensions
    assert first.messages == ["grüße", bytes(range(256)), "", b"", LONG, BIG]
    assert first.ponged
    assert first.request.cookies == {"ticket": "42"}
    assert first.closed == (3456, "bye ✓")
    assert second.closed[0] == 4001
    assert second.error.sent.code == 4001


async def test_pages_of_other_sites(serve_visits, run_browser):
    async with serve_visits(process_request=page) as foreign, serve_visits() as usual:
        origin = f"http://127.0.0.1:{foreign.port}"
        async with serve_visits(origins=[origin]) as friendly, run_browser() as browser:
            tab = await open_page(browser, foreign)
            assert await tab.evaluate(f"wanted('{foreign.url}')")
            assert not await tab.evaluate(f"wanted('{usual.url}')")
            assert await tab.evaluate(f"wanted('{friendly.url}')")
            # Cookies are sent whatever the port: without the check they would have been used.
            visit = await friendly.visit()
            assert visit.request.origin == origin
            assert visit.request.cookies == {"ticket": "42"}
            assert usual.waiting == 0
