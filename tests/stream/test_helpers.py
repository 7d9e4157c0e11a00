"""The tasks beside those of the users: who starts them, who stops them, and what becomes of their failures."""

import asyncio

import anyio
import anyio.lowlevel
import pytest

from anyws.stream.helpers import HelperTasks, sole_exception

pytestmark = pytest.mark.anyio


class Stop(BaseException):
    """Like ``KeyboardInterrupt``, with which asyncio would end the whole loop."""


async def opened():
    """Return helpers, and the task group they run in."""
    helpers = HelperTasks()

    async def start(task_group):
        return task_group

    return helpers, await helpers.open(start)


async def fail_at_the_end(error):
    try:
        await anyio.sleep_forever()
    finally:
        raise error


def test_sole_exception():
    error = ValueError()
    assert sole_exception(error) is error
    assert sole_exception(ExceptionGroup("", [ExceptionGroup("", [error])])) is error
    several = ExceptionGroup("", [error, KeyError()])
    assert sole_exception(ExceptionGroup("", [several])) is several


async def test_stopping_cancels_and_waits():
    ended = []

    async def run():
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            ended.append(True)

    helpers, task_group = await opened()
    task_group.start_soon(run)
    await anyio.wait_all_tasks_blocked()
    await helpers.stop(None)
    assert ended == [True]
    await helpers.stop(None)


async def test_started_in_one_task_and_stopped_in_another():
    """And the first one is left alone."""
    made = []
    stopped = anyio.Event()

    async def first():
        made.append((await opened())[0])
        await stopped.wait()
        await anyio.lowlevel.checkpoint()
        made.append("went on")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            tg.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            await made[0].stop(None)
            stopped.set()
    assert made[1:] == ["went on"]


async def test_cancelling_who_opened_leaves_the_tasks_alone():
    helpers = None
    with anyio.CancelScope() as scope:
        helpers, task_group = await opened()
        scope.cancel()
        await anyio.lowlevel.checkpoint()
    ran = anyio.Event()

    async def run():
        ran.set()

    task_group.start_soon(run)
    with anyio.fail_after(5):
        await ran.wait()
    await helpers.stop(None)


@pytest.mark.parametrize("kind", [ValueError, Stop])
@pytest.mark.parametrize("error", [None, KeyError()], ids=["alone", "on its way"])
async def test_a_failure_is_raised_when_they_are_stopped(kind, error):
    """Unless another exception is on its way; what ends the process is raised all the same."""
    helpers, task_group = await opened()
    task_group.start_soon(fail_at_the_end, kind("helper"))
    await anyio.wait_all_tasks_blocked()
    if error is None or kind is Stop:
        with pytest.raises(kind, match="helper"):
            await helpers.stop(error)
    else:
        await helpers.stop(error)


async def test_a_failure_is_told_at_once():
    helpers, task_group = await opened()
    told = anyio.Event()
    helpers.on_failure = told.set
    other = anyio.Event()

    async def fail():
        raise ValueError("helper")

    async def run():
        try:
            await anyio.sleep_forever()
        finally:
            other.set()

    task_group.start_soon(run)
    await anyio.wait_all_tasks_blocked()
    task_group.start_soon(fail)
    with anyio.fail_after(5):
        await told.wait()
        await other.wait()
    with pytest.raises(ValueError, match="helper"):
        await helpers.stop(None)


async def test_a_failure_while_it_opens_ends_the_opening():
    async def fail():
        raise ValueError("helper")

    async def start(task_group):
        task_group.start_soon(fail)
        await anyio.sleep_forever()

    with anyio.fail_after(5), pytest.raises(ValueError, match="helper"):
        await HelperTasks().open(start)


async def test_an_opening_that_fails_stops_them():
    ended = []

    async def run():
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    async def start(task_group):
        task_group.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        raise LookupError

    with pytest.raises(LookupError):
        await HelperTasks().open(start)
    assert ended == [True]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_of_asyncio_is_kept_until_they_have_ended():
    """It is delivered once, and no scope shields from it."""
    go_on = anyio.Event()
    ended = []

    async def run():
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await go_on.wait()
            ended.append(True)

    helpers, task_group = await opened()
    task_group.start_soon(run)
    await anyio.wait_all_tasks_blocked()
    task = asyncio.create_task(helpers.stop(KeyError()))
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_there_is_no_task_before_one_is_needed():
    helpers = HelperTasks()

    async def start(task_group):
        return len(anyio.get_running_tasks())

    before = len(anyio.get_running_tasks())
    assert await helpers.open(start) == before
    await helpers.stop(None)


async def test_stopped_before_they_have_begun():
    helpers, task_group = await opened()
    task_group.start_soon(anyio.sleep_forever)
    with anyio.fail_after(5):
        await helpers.stop(None)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_by_the_loop_while_it_opens():
    """As when it ends: whoever is still opening a connection then is not left hanging."""
    helpers = HelperTasks()

    async def start(task_group):
        task_group.start_soon(anyio.sleep_forever)
        await anyio.wait_all_tasks_blocked()
        helpers._host.cancel()
        await anyio.sleep_forever()

    with anyio.fail_after(5), pytest.raises(RuntimeError, match="the event loop has ended"):
        await helpers.open(start)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_wait_that_is_thrown_away():
    """As Python does with a coroutine that nobody awaits any more; it may not wait again."""
    helpers, task_group = await opened()
    task_group.start_soon(anyio.sleep_forever)
    await anyio.wait_all_tasks_blocked()
    stopping = helpers.stop(None)
    stopping.send(None)
    stopping.close()
    await helpers.stop(None)
