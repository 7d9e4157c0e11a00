"""``anyws bench``: the numbers, what is shown of them, and servers that fail."""

import json
import os
import random
import signal

import anyio
import pytest

from anyws.cli import main
from anyws.cli.histogram import Bar, Histogram, format_seconds


def test_histogram_is_right_to_three_percent():
    seed = random.randrange(2**32)
    print("seed", seed)
    times = [int(random.Random(seed + n).lognormvariate(14, 2)) for n in range(3000)]
    histogram = Histogram()
    for taken in times:
        histogram.record(taken)
    times.sort()
    assert (histogram.shortest, histogram.longest) == (times[0], times[-1])
    assert histogram.mean == pytest.approx(sum(times) / len(times) / 1e9)
    for percent in (0.1, 1, 50, 90, 99, 99.9, 100):
        exact = times[max(round(len(times) * percent / 100) - 1, 0)] / 1e9
        assert exact <= histogram.percentile(percent) <= exact * 33 / 32
    bars = histogram.bars()
    assert sum(bar.number for bar in bars) == len(times)
    assert [bar.upper for bar in bars] == sorted(bar.upper for bar in bars)
    assert bars[0].number > 0 < bars[-1].number


@pytest.mark.parametrize("exact", [0, 1, 31, 32, 63, 64, 65, 2**20 - 1, 2**20, 2**40])
def test_histogram_of_one(exact):
    histogram = Histogram()
    histogram.record(exact)
    assert histogram.percentile(1) == histogram.percentile(100) == exact / 1e9
    assert (histogram.count, histogram.shortest, histogram.longest) == (1, exact, exact)
    (bar,) = histogram.bars()
    assert bar.number == 1
    assert exact <= bar.upper * 1e9 * 33 / 32


def test_histogram_of_none():
    histogram = Histogram()
    assert (histogram.percentile(50), histogram.mean, histogram.bars()) == (0, 0, [])


def test_bars_are_gapless():
    histogram = Histogram()
    for taken in (120_000, 450_000, 450_000):
        histogram.record(taken)
    found = [(round(bar.upper * 1e6), bar.number) for bar in histogram.bars()]
    assert found == [(150, 1), (200, 0), (300, 0), (500, 2)]
    assert isinstance(histogram.bars()[0], Bar)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 µs"), (1.5e-6, "1.5 µs"), (0.00025, "250 µs"), (0.0123, "12.3 ms"), (0.9999, "1 s"), (70, "70 s")],
)  # fmt: skip
def test_times(seconds, text):
    assert format_seconds(seconds) == text


@pytest.fixture
def stopping_port(serving):
    """A server that echoes, and after fifty messages stops this process as Ctrl-C does."""
    seen = []

    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)
            seen.append(message)
            if len(seen) == 50:
                os.kill(os.getpid(), signal.SIGINT)

    with serving(echo) as port:
        yield port


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize(
    ("connections", "in_flight", "size", "more"),
    [(20, 4, 125, ["--text"]), (2, 3, 100_000, ["--no-compression"]), (1, 2, 0, [])],
)
def test_json(stopping_port, capsys, backend, connections, in_flight, size, more):
    load = ["--connections", str(connections), "--in-flight", str(in_flight), "--size", str(size)]
    uri = f"localhost:{stopping_port}"
    assert (
        main(["bench", uri, "--seconds", "60", "--backend", backend, "--json", *load, *more]) == 130
    )
    output, error = capsys.readouterr()
    assert error == ""
    result = json.loads(output)
    assert result["uri"] == f"ws://{uri}"
    assert [result[name] for name in ("connections", "in_flight", "size", "backend")] == [
        connections, in_flight, size, backend,
    ]  # fmt: skip
    assert result["type"] == ("text" if more == ["--text"] else "binary")
    assert result["connections_lost"] == 0
    assert 0 < result["seconds"] < 60
    # What was under way when it ended is not counted.
    assert result["messages"] >= 50 - connections * in_flight
    assert result["messages"] == sum(bar["count"] for bar in result["histogram"])
    assert result["messages_per_second"] == pytest.approx(result["messages"] / result["seconds"])
    assert result["bytes_per_second"] == pytest.approx(result["messages_per_second"] * size)
    if result["messages"]:
        latency = result["latency"]
        order = [latency[name] for name in ("min", "p50", "p90", "p99", "p99.9", "max")]
        assert order == sorted(order)
        assert 0 < latency["min"] <= latency["mean"] <= latency["max"]


def test_text(stopping_port, capsys):
    assert (
        main(["bench", f"localhost:{stopping_port}", "--seconds", "60", "--connections", "2"])
        == 130
    )
    output, error = capsys.readouterr()
    assert error == ""
    assert output.startswith(
        f"bench of ws://localhost:{stopping_port}\n  connections  2, opened in "
    )
    for name in ("in flight", "size", "measured", "rate", "50 %", "99.9 %", "longest"):
        assert f"\n  {name} " in output
    assert "\nround-trip times\n  to " in output
    assert "#" * 40 in output


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_ends_when_no_answer_comes(serving, capsys, monkeypatch, backend):
    monkeypatch.setattr("anyws.cli.load._PATIENCE", 0.05)
    with serving(silent) as port:
        arguments = ["--seconds", "0.05", "--backend", backend, "--connections", "2"]
        assert main(["bench", f"localhost:{port}", *arguments]) == 5
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith("anyws: no answer came within 0.05 seconds; bench needs a server")


async def shouting(websocket):
    async for message in websocket:
        await websocket.send(message + b"!")


async def leaving(websocket):
    for _ in range(3):
        await websocket.send(await websocket.receive())
    await websocket.close(1013, "busy")


async def silent(websocket):
    await anyio.sleep_forever()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("handler", "code", "text", "messages"),
    [
        (shouting, 1, "anyws: what came back is not what was sent; bench needs a server that echoes", None),
        (leaving, 4, "anyws: 5 of 5 connections ended early: the peer closed it: 1013 (try again later) 'busy'", 15),
    ],
)  # fmt: skip
def test_servers_that_fail(serving, capsys, backend, handler, code, text, messages):
    with serving(handler) as port:
        arguments = ["--connections", "5", "--seconds", "20", "--json", "--backend", backend]
        assert main(["bench", f"localhost:{port}", *arguments]) == code
    output, error = capsys.readouterr()
    assert error.startswith(text)
    assert error.count("\n") == 1
    assert (json.loads(output)["messages"] if output else None) == messages


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_server(capsys, backend):
    assert main(["bench", "127.0.0.1:1", "--backend", backend]) == 1
    assert capsys.readouterr() == (
        "",
        "anyws: cannot connect to ws://127.0.0.1:1: connection refused\n",
    )


@pytest.mark.parametrize("rich", [True, False])
def test_on_a_terminal(on_terminal, echo_port, rich, tmp_path):
    """It shows how far it is, Ctrl-C ends it early, and the result is that of the time until then."""
    if rich:
        pytest.importorskip("rich")
    else:
        (tmp_path / "rich.py").write_text("raise ImportError('not installed')\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    terminal = on_terminal("bench", f"localhost:{echo_port}", "--seconds", "500", PYTHONPATH=path)
    terminal.wait_for_match(r"messages +[1-9]")
    assert ("[" in terminal.screen.text) is not rich
    assert ("10 of 10" in terminal.screen.text) is rich
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 128 + signal.SIGINT
    assert "99.9 %" in terminal.screen.text
    assert "round-trip times" in terminal.screen.text
    assert "[...." not in terminal.screen.text
    assert terminal.attributes() == terminal.before
