"""What a task of asyncio awaits until bytes have come."""

import asyncio
from contextvars import ContextVar

import anyio
import pytest

from anyws.net._reading_waiter import ReadingWaiter

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
#: asyncio has both, and programs may choose.
TASKS = [asyncio.Task, asyncio.tasks._PyTask]
where = ContextVar("where", default="outside")


class Waiting:
    """A task that waits, and what it has gone through."""

    def __init__(self, task_class=asyncio.Task):
        self.loop = asyncio.get_running_loop()
        self.waiter = ReadingWaiter(self.loop)
        self.steps = []
        self.task = task_class(self._run(), loop=self.loop)

    async def _run(self):
        where.set("inside")
        for step in ("first", "second"):
            await self.waiter.begin()
            self.steps.append((step, where.get()))

    async def begun(self):
        while not self.waiter.waiting:
            await asyncio.sleep(0)
        return self

    async def call(self, function):
        """Have the loop call ``function`` as it does when a socket can be read; return the steps right after."""
        done = self.loop.create_future()
        self.loop.call_soon(lambda: done.set_result((function(), list(self.steps))[1]))
        return await done


@pytest.mark.parametrize("task_class", TASKS)
async def test_wake_resumes_the_task_in_the_callback(task_class):
    waiting = await Waiting(task_class).begun()
    assert await waiting.call(waiting.waiter.wake) == [("first", "inside")]
    assert await waiting.call(waiting.waiter.wake) == [("first", "inside"), ("second", "inside")]
    await waiting.task
    assert not waiting.waiter.waiting
    waiting.waiter.wake()


@pytest.mark.parametrize("task_class", TASKS)
async def test_wake_soon_resumes_it_in_the_next_round(task_class):
    waiting = await Waiting(task_class).begun()
    assert await waiting.call(waiting.waiter.wake_soon) == []
    await waiting.begun()
    assert waiting.steps == [("first", "inside")]
    waiting.task.cancel()


@pytest.mark.parametrize("task_class", TASKS)
async def test_a_task_that_waits_can_be_cancelled_once(task_class):
    waiting = await Waiting(task_class).begun()
    waiting.task.cancel("enough")
    assert waiting.waiter.cancelled()
    assert waiting.waiter.done()
    waiting.waiter.wake()
    with pytest.raises(asyncio.CancelledError):
        await waiting.task
    assert waiting.steps == []


@pytest.mark.parametrize("task_class", TASKS)
async def test_a_task_that_was_woken_is_cancelled_before_it_runs(task_class):
    """What came is with the receiver, so nothing is lost."""
    waiting = await Waiting(task_class).begun()
    waiting.waiter.wake_soon()
    waiting.task.cancel()
    assert not waiting.waiter.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await waiting.task
    assert waiting.steps == []


async def test_one_task_at_a_time():
    waiting = await Waiting().begun()
    with pytest.raises(anyio.BusyResourceError):
        waiting.waiter.begin()
    waiting.waiter.wake_soon()
    with pytest.raises(anyio.BusyResourceError):
        waiting.waiter.begin()
    waiting.task.cancel()


async def test_it_is_a_future_to_others():
    loop = asyncio.get_running_loop()
    waiter = ReadingWaiter(loop)
    assert waiter.get_loop() is loop
    waiter.begin()
    with pytest.raises(RuntimeError):
        waiter.result()
    called = []
    waiter.add_done_callback(called.append)
    assert waiter.remove_done_callback(print) == 0
    assert waiter.remove_done_callback(called.append) == 1
    waiter.wake()
    assert called == []
    waiter.begin()
    where.set("here")
    waiter.add_done_callback(lambda future: called.append((future.result(), where.get())))
    where.set("elsewhere")
    waiter.wake()
    assert called == [(None, "here")]
