"""The demo's page in a real browser: two tabs chat, a big file comes back, the server stays small."""

import os
import sys

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MEGABYTE = 10**6
SIZE = 50 * MEGABYTE
GROWTH = 8 * MEGABYTE

# Half of the file can be compressed and half cannot.
SEND_FILE = """
(async () => {
  const data = new Uint8Array(%d);
  for (let i = 0; i < data.length; i += 131072) {
    crypto.getRandomValues(data.subarray(i, Math.min(i + 65536, data.length)));
  }
  const digest = await crypto.subtle.digest("SHA-256", data);
  const transfer = new DataTransfer();
  transfer.items.add(new File([data], "holiday.bin"));
  const input = document.getElementById("file");
  input.files = transfer.files;
  input.dispatchEvent(new Event("change"));
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
})()
"""
CONNECTED = "(document.getElementById('state').dataset.state === 'open')"


def said(text):
    return f"[...document.querySelectorAll('.said p')].some((p) => p.textContent === {text!r})"


def noticed(text):
    return (
        f"[...document.querySelectorAll('.notice')].some((p) => p.textContent.startsWith({text!r}))"
    )


async def open_tab(browser, demo, name):
    tab = await browser.open(demo.url)
    await tab.until(f"{CONNECTED} && document.querySelector('.notice')")
    await tab.type("#name", name)
    await tab.until(
        f"{noticed('')} && document.getElementById('people').textContent.includes({name!r})"
    )
    return tab


# The other loops serve the same page in test_cli.py, without a browser's seconds.
@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"debug": True}), ("trio", {})], ids=["asyncio", "trio"]
)
async def test_demo_page(run_demo, run_browser, loop_name, tmp_path):
    async with run_demo(loop_name) as demo, run_browser() as browser:
        ada = await open_tab(browser, demo, "Ada")
        grace = await open_tab(browser, demo, "Grace")

        await grace.type("#text", "Hello from the other tab")
        await ada.until(said("Hello from the other tab"))
        await ada.type("#text", "<b>Hello</b> back")
        await grace.until(said("<b>Hello</b> back"))
        await ada.until(
            "[...document.querySelectorAll('.figures td')].every((td) => +td.textContent > 0)"
        )

        demo.forget_peak()
        before = demo.memory()
        expected = await ada.evaluate(SEND_FILE % SIZE)
        verdict = "document.getElementById('verdict')"
        await ada.until(f"!['idle', 'busy'].includes({verdict}.dataset.state)", 25)
        growth = demo.memory("VmHWM") - before

        assert await ada.evaluate(f"{verdict}.dataset.state") == "equal"
        assert await ada.evaluate("document.getElementById('sum').textContent") == expected
        rate = await ada.evaluate("document.getElementById('rate').textContent")
        sys.stdout.write(f"{loop_name}: the server grew by {growth / MEGABYTE:.2f} MB; {rate}\n")
        assert growth <= GROWTH, f"the server grew by {growth / MEGABYTE:.1f} MB"

        await look(ada, tmp_path)
        assert browser.problems == []

        assert await demo.stop() == 0
        await grace.until(
            "document.getElementById('state-text').textContent.startsWith('Server stopped')"
        )


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_page_connects_again(run_demo, run_browser):
    async with run_browser() as browser:
        async with run_demo("asyncio") as demo:
            port = demo.port
            tab = await open_tab(browser, demo, "Ada")
            await demo.stop()
            await tab.until(f"!{CONNECTED}")
        async with run_demo("asyncio", "--port", str(port)):
            await tab.until(
                f"{CONNECTED} && document.getElementById('people').textContent === '1 here: Ada'"
            )


async def look(tab, folder):
    """Leave pictures of the page, wide, dark and on a phone, for people to look at."""
    folder = os.environ.get("ANYWS_SCREENSHOTS", folder)
    # A tab behind another one is not painted.
    await tab.call("Page.bringToFront")
    await tab.evaluate("plot.draw()")
    await tab.screenshot(f"{folder}/demo-wide.png")
    await tab.scheme("dark")
    await tab.evaluate("plot.draw()")
    await tab.screenshot(f"{folder}/demo-dark.png")
    await tab.scheme("light")
    await tab.resize(390, 844)
    await tab.evaluate("plot.draw()")
    await tab.screenshot(f"{folder}/demo-phone.png")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await tab.evaluate(overflow) == 0, "the page is wider than a phone"
