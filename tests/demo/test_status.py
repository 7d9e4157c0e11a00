"""What the terminal shows."""

import io

import anyio
import pytest

from anyws.demo.status import StatusDisplay, Traffic, format_bytes
from anyws.stream.websocket import Statistics


class FakeWebSocket:
    def __init__(self):
        self.now = Statistics(0, 0, 0, 0)

    def statistics(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_line():
    traffic, client, seconds = Traffic(), FakeWebSocket(), [0.0]
    display = StatusDisplay(traffic, io.StringIO(), lambda: seconds[0])
    with traffic.counting(client):
        client.now = Statistics(20, 10, 3_000_000, 4000)
        seconds[0] = 2.0
        assert display.line() == (
            "1 connection | in 5 messages/s, 2 kB/s | out 10 messages/s, 1.5 MB/s"
        )
        client.now = Statistics(22, 10, 3_000_000, 4000)
    seconds[0] = 3.0
    assert display.line() == "0 connections | in 0 messages/s, 0 B/s | out 2 messages/s, 0 B/s"
    assert traffic.total() == client.now


def test_terminal_has_one_line_that_changes():
    output = Terminal()
    display = StatusDisplay(Traffic(), output)
    display.say("hello")
    display.update()
    display.update()
    assert output.getvalue().count("\n") == 1
    assert output.getvalue().count("\r\x1b[2K0 connections") == 2


def test_log_has_plain_lines_and_none_twice():
    output = io.StringIO()
    display = StatusDisplay(Traffic(), output)
    display.update()
    display.update()
    assert output.getvalue().splitlines() == [display.line()]
    assert "\x1b" not in output.getvalue()


@pytest.mark.anyio
@pytest.mark.parametrize("output", [Terminal, io.StringIO], ids=["terminal", "log"])
async def test_it_runs_until_cancelled_and_leaves_a_clean_line(output):
    output = output()
    display = StatusDisplay(Traffic(), output)
    async with anyio.create_task_group() as tg:
        tg.start_soon(display.run)
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert "0 connections" in output.getvalue()
    assert output.getvalue().endswith("\r\x1b[2K" if output.isatty() else "0 B/s\n")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234, "1.23 kB"), (999_400, "999 kB"),
     (999_600, "1 MB"), (12_300_000, "12.3 MB"), (5e9, "5 GB")],
)  # fmt: skip
def test_bytes(count, text):
    assert format_bytes(count) == text
