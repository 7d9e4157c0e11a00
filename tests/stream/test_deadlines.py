"""One time limit for many transports."""

import anyio
import pytest

from anyws.stream.deadlines import Deadlines

pytestmark = pytest.mark.anyio


class Link:
    """Notes that it was dropped."""

    def __init__(self):
        self.dropped = anyio.Event()

    def abort(self):
        self.dropped.set()


async def test_what_takes_too_long_is_dropped():
    async with anyio.create_task_group() as tg:
        deadlines = Deadlines(tg, 0.01)
        links = [Link(), Link()]
        started = [deadlines.start(link) for link in links]
        for link, deadline in zip(links, started, strict=True):
            with anyio.fail_after(5):
                await link.dropped.wait()
            assert deadline.passed
            deadlines.stop(deadline)
    # The task group has ended, so its task has.
    assert not deadlines._pending


async def test_what_was_stopped_is_not():
    async with anyio.create_task_group() as tg:
        deadlines = Deadlines(tg, 0.01)
        quick, slow = Link(), Link()
        first, second = deadlines.start(quick), deadlines.start(slow)
        deadlines.stop(first)
        deadlines.stop(first)
        with anyio.fail_after(5):
            await slow.dropped.wait()
        assert (first.passed, second.passed) == (False, True)
        assert not quick.dropped.is_set()


async def test_the_task_starts_again():
    async with anyio.create_task_group() as outer:
        deadlines = Deadlines(outer, 0.01)
        deadlines.stop(deadlines.start(Link()))
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            link = Link()
            deadlines.start(link)
            with anyio.fail_after(5):
                await link.dropped.wait()
            await anyio.wait_all_tasks_blocked()
            assert not deadlines._running


async def test_it_ends_with_its_task_group():
    async with anyio.create_task_group() as tg:
        deadlines = Deadlines(tg, 3600)
        link = Link()
        deadlines.start(link)
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert not link.dropped.is_set()
