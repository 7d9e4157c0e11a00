"""The lock that keeps one message together."""

import anyio
import pytest

from anyws.stream.lock import SendLock

pytestmark = pytest.mark.anyio


async def test_free_lock_is_taken_without_a_wait():
    lock = SendLock()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await lock.acquire()
    assert lock.locked
    assert not scope.cancelled_caught
    lock.release()
    assert not lock.locked


async def test_waiters_are_served_in_order():
    lock = SendLock()
    order = []

    async def wait(name):
        await lock.acquire()
        order.append(name)
        lock.release()

    await lock.acquire()
    async with anyio.create_task_group() as tg:
        for name in range(10):
            tg.start_soon(wait, name)
            await anyio.wait_all_tasks_blocked()
        lock.release()
        # Nobody can slip in before those who wait.
        assert lock.locked
    assert order == list(range(10))
    assert not lock.locked


async def test_cancelled_waiter_is_passed_over():
    lock = SendLock()
    got = []
    scope = anyio.CancelScope()

    async def cancelled():
        with scope:
            await lock.acquire()
            got.append("cancelled")

    async def patient():
        await lock.acquire()
        got.append("patient")
        lock.release()

    await lock.acquire()
    async with anyio.create_task_group() as tg:
        tg.start_soon(cancelled)
        await anyio.wait_all_tasks_blocked()
        tg.start_soon(patient)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        lock.release()
    assert got == ["patient"]
    assert not lock.locked


async def test_cancelled_as_the_lock_is_handed_over():
    lock = SendLock()
    scope = anyio.CancelScope()
    got = []

    async def cancelled():
        with scope:
            await lock.acquire()
            got.append("cancelled")
            lock.release()

    async def patient():
        await lock.acquire()
        got.append("patient")
        lock.release()

    await lock.acquire()
    async with anyio.create_task_group() as tg:
        tg.start_soon(cancelled)
        await anyio.wait_all_tasks_blocked()
        tg.start_soon(patient)
        await anyio.wait_all_tasks_blocked()
        lock.release()
        scope.cancel()
    # Whether the first took it or not, it does not keep it.
    assert got[-1] == "patient"
    assert not lock.locked


async def test_handed_over_to_a_task_that_is_being_cancelled():
    """The cancellation comes first, and before the task can tell, so does the lock."""
    lock = SendLock()
    scope = anyio.CancelScope()
    got = []

    async def wait(name):
        await lock.acquire()
        got.append(name)
        lock.release()

    async def cancelled():
        with scope:
            await wait("cancelled")

    await lock.acquire()
    async with anyio.create_task_group() as tg:
        tg.start_soon(cancelled)
        await anyio.wait_all_tasks_blocked()
        tg.start_soon(wait, "patient")
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        lock.release()
    assert got == ["patient"]
    assert not lock.locked


async def test_own_task_would_wait_for_itself():
    lock = SendLock()
    await lock.acquire()
    lock.owner = anyio.get_current_task().id
    with pytest.raises(RuntimeError, match="fragment"):
        await lock.acquire()
    lock.owner = None
    lock.release()
    assert not lock.locked
