"""Chromium without a window, driven over a WebSocket of our own."""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import asynccontextmanager

import anyio
import pytest

import anyws

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--mute-audio",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
]

# While the page is still being parsed, the condition may fail to find what it looks at.
_UNTIL = """
new Promise((resolve, reject) => {
  const met = () => { try { return CONDITION; } catch { return false; } };
  const end = () => { observer.disconnect(); clearTimeout(timer); };
  const look = () => met() && (end(), resolve(true));
  const observer = new MutationObserver(look);
  const timer = setTimeout(() => { end(); reject("timeout"); }, SECONDS * 1000);
  observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
  look();
})
"""


class Browser:
    """Chromium, driven through its debugging protocol over a WebSocket of our own."""

    def __init__(self, websocket):
        self._websocket = websocket
        self._numbers = itertools.count(1)
        self.problems = []

    async def call(self, method, session=None, **parameters):
        number = next(self._numbers)
        request = {"id": number, "method": method, "params": parameters}
        await self._websocket.send(
            json.dumps(request | ({"sessionId": session} if session else {}))
        )
        with anyio.fail_after(60):
            while True:
                message = json.loads(await self._websocket.receive())
                if message.get("id") == number:
                    if "error" in message:
                        raise AssertionError(f"{method}: {message['error']}")
                    return message["result"]
                self._note(message)

    def _note(self, message):
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(message["params"]["exceptionDetails"])
        elif message.get("method") == "Log.entryAdded":
            self.problems.append(message["params"]["entry"])

    async def open(self, url, width=1280, height=860):
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        tab = Tab(self, attached["sessionId"])
        for domain in ("Runtime", "Log", "Page"):
            await tab.call(f"{domain}.enable")
        await tab.resize(width, height)
        await tab.call("Page.navigate", url=url)
        return tab


class Tab:
    """One page in the browser."""

    def __init__(self, browser, session):
        self._browser = browser
        self._session = session

    async def call(self, method, **parameters):
        return await self._browser.call(method, self._session, **parameters)

    async def resize(self, width, height):
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    async def scheme(self, value):
        feature = {"name": "prefers-color-scheme", "value": value}
        await self.call("Emulation.setEmulatedMedia", features=[feature])

    async def evaluate(self, script):
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition, seconds=20):
        """Wait until a JavaScript expression is true; looks after each change of the page."""
        script = _UNTIL.replace("CONDITION", condition).replace("SECONDS", str(seconds))
        try:
            return await self.evaluate(script)
        except AssertionError:
            seen = await self.evaluate("document.body && document.body.innerText")
            raise AssertionError(f"never true: {condition}; the page says {seen!r}") from None

    async def type(self, selector, text):
        await self.evaluate(f"document.querySelector({selector!r}).select()")
        await self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter",
                            windowsVirtualKeyCode=13, text="\r")  # fmt: skip

    async def screenshot(self, path):
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        await anyio.Path(path).write_bytes(base64.b64decode(answer["data"]))


async def _debugging_address(folder):
    file = anyio.Path(folder) / "DevToolsActivePort"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if await file.exists():
            lines = (await file.read_text()).split("\n")
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        # Chromium tells by this file alone that it is ready.
        await anyio.sleep(0.05)
    raise AssertionError("Chromium did not start")


@pytest.fixture
def run_browser(tmp_path):
    """Give ``async with run_browser()``, a Chromium without a window."""
    program = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if program is None:
        text = "no Chromium is installed (Debian: apt install chromium); the page was NOT tried in a browser"
        if {"ANYWS_REQUIRE_CHROMIUM", "ANYWS_REQUIRE_PROGRAMS"} & os.environ.keys():
            pytest.fail(text)
        pytest.skip(text)

    @asynccontextmanager
    async def run():
        folder = tmp_path / "chromium"
        process = await anyio.open_process(
            [program, *_FLAGS, f"--user-data-dir={folder}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            address = await _debugging_address(folder)
            limits = anyws.Limits(message_size=2**26)
            async with anyws.connect(address, limits=limits, compression=None) as websocket:
                yield Browser(websocket)
        finally:
            # Chromium is a family of processes; the group has them all.
            os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await process.aclose()

    return run
