"""The one timer of all connections."""

import anyio
import pytest

from anyws.stream.keepalive import TICK, tick_length
from anyws.stream.options import ConnectionOptions
from anyws.stream.ticker import Ticker

pytestmark = pytest.mark.anyio


class Ticked:
    """Stands for a WebSocket; what a tick does is given."""

    def __init__(self, on_tick=lambda: None):
        self.ticks = []
        self.ticked = anyio.Event()
        self.on_tick = on_tick

    def tick(self, now, elapsed, task_group):
        self.ticks.append((now, elapsed, task_group))
        self.ticked.set()
        self.on_tick()


@pytest.mark.parametrize(
    ("interval", "timeout", "length"),
    [
        (20, 20, TICK),
        (None, None, TICK),
        (1, 20, 0.25),
        (20, 1, 0.25),
        (None, 0.4, 0.1),
        (0.2, None, 0.05),
        (2, 2, TICK),
    ],
)
def test_tick_length(interval, timeout, length):
    assert tick_length(interval, timeout) == pytest.approx(length)


@pytest.fixture
def quick():
    return ConnectionOptions(ping_interval=0.02)


async def test_ticks_while_a_connection_is_there(quick):
    async with anyio.create_task_group() as tg:
        ticker = Ticker(tg, quick)
        one, other = Ticked(), Ticked()
        ticker.add(one)
        ticker.add(other)
        with anyio.fail_after(5):
            await one.ticked.wait()
            await other.ticked.wait()
        now, elapsed, group = one.ticks[0]
        assert elapsed >= 0.004
        assert now <= anyio.current_time()
        assert group is tg
        ticker.discard(one)
        count = len(one.ticks)
        other.ticked = anyio.Event()
        with anyio.fail_after(5):
            await other.ticked.wait()
        assert len(one.ticks) == count
        tg.cancel_scope.cancel()


async def test_no_task_before_the_first_connection(quick):
    async with anyio.create_task_group() as tg:
        Ticker(tg, quick)
    # The group would not end otherwise.


async def test_discard_twice_or_unknown(quick):
    async with anyio.create_task_group() as tg:
        ticker = Ticker(tg, quick)
        ticker.discard(Ticked())


async def test_connections_come_and_go_during_a_tick(quick):
    async with anyio.create_task_group() as tg:
        ticker = Ticker(tg, quick)
        late = Ticked()
        first = Ticked(lambda: (ticker.discard(first), ticker.add(late)))
        ticker.add(first)
        with anyio.fail_after(5):
            await late.ticked.wait()
        assert len(first.ticks) == 1
        assert ticker.connections == {late}
        tg.cancel_scope.cancel()


async def test_elapsed_adds_up(quick):
    async with anyio.create_task_group() as tg:
        ticker = Ticker(tg, quick)
        third = anyio.Event()
        ticked = Ticked(lambda: len(ticked.ticks) >= 3 and third.set())
        ticker.add(ticked)
        with anyio.fail_after(5):
            await third.wait()
        (first, _, _), (second, elapsed, _) = ticked.ticks[:2]
        assert second - first == pytest.approx(elapsed)
        tg.cancel_scope.cancel()
