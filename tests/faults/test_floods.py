"""Servers under floods, each in a process of its own: the memory that docs/reliability.md states is never exceeded.

The floods are those of ``benchmarks/floods.py``, smaller.
"""

import importlib.util
import pathlib
import sys

import pytest

import anyws

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
LOOPS = ["asyncio", "trio"] + ["uvloop"] * (importlib.util.find_spec("uvloop") is not None)

if not (BENCHMARKS / "flood_attacks.py").exists():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
if not pathlib.Path("/proc/self/clear_refs").exists():
    pytest.skip("what a process holds is read from /proc", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
import flood_peer  # noqa: E402
from flood_attacks import FLOODS, STOPS  # noqa: E402

sys.path.remove(str(BENCHMARKS))
MIB = 2**20
#: What the heap of a process may grow by for other reasons: modules imported late, holes.
SLACK = 1.5 * MIB


def bound(limits, connections):
    """Return the most that so many connections may hold; docs/reliability.md has the sum."""
    each = (
        limits.receive_buffer
        + 2 * limits.send_buffer
        + 125 * limits.pending_pongs
        # The windows of deflate, and Python's objects for a connection.
        + 2 * 2**15
        + 2**14
    )
    # What is received at once is one buffer for all, and what comes out of it may be small objects.
    at_once = 8 * 2**18
    message = limits.message_size
    return connections * each + at_once + message + message


@pytest.fixture(scope="module")
def victims():
    """Give a function: the server of a loop, which lives on from flood to flood."""
    running = {}

    def victim(loop):
        if loop not in running:
            running[loop] = flood_peer.start(f"anyws:{loop}", patience=0.3)
            for _ in range(10):
                assert running[loop].serves()
        return running[loop]

    yield victim
    for each in running.values():
        each.__exit__(None, None, None)


REDUCED = [name for name, flood in FLOODS.items() if flood.reduced]
#: Floods by many connections at a time.
CONNECTIONS = {"fifty at once": 50, "half-open handshakes": 200}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", REDUCED)
def test_memory_and_reaction(victims, name, loop):
    """The server holds no more than it says, does what the table says, and serves others afterwards."""
    flood, victim = FLOODS[name], victims(loop)
    victim.start_counting()
    reaction = flood.run(victim, flood.reduced)
    # What the buffers of the kernel hold is none of ours, and a busy machine may be slow to read.
    either = {STOPS, "reads all"}
    assert reaction == flood.expected or {reaction, flood.expected} <= either
    growth = victim.growth() * MIB
    assert growth < bound(anyws.Limits(), CONNECTIONS.get(name, 1)) + SLACK
    assert victim.serves()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("tiny fragments", 4_000),
        ("empty fragments", 4_000),
        ("final blocks", 2_000),
        ("pings never read", 4_000),
    ],
)
def test_cpu_is_linear(victims, name, size, loop):
    """Eight times as much takes about eight times the CPU; its square would be 64 times."""
    victim = victims(loop)

    def spent(count):
        before = victim.cpu()
        assert FLOODS[name].run(victim, count) == FLOODS[name].expected
        assert victim.settle()
        return victim.cpu() - before

    # Cold caches of a busy machine may spoil an attempt, but no attempt makes a square look linear.
    assert any(spent(8 * size) < 24 * spent(size) for _ in range(5))
