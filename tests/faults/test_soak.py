"""The soak of ``soak.py`` for a moment: few connections, and no peer that vanishes without a word."""

import logging
import pathlib
import random
import sys

import anyio
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import soak  # noqa: E402

sys.path.pop(0)

pytestmark = pytest.mark.anyio


async def test_nothing_is_lost_or_left(caplog):
    caplog.set_level(logging.CRITICAL, "anyws")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    before = soak.tasks()
    run = soak.Soak(seed, silent=False)
    with anyio.fail_after(100):
        await run.run(1.0, 25)
    assert run.findings == []
    assert run.messages > 0
    assert soak.tasks() == before


def test_findings_are_found():
    """What the ends say is judged: lost, doubled, out of order, from nowhere, and a connection that should have held."""
    for at_server, at_client, finding in (
        ([0, 1, 2, soak.END], [0, 1, 2, soak.END], None),
        ([0, 2, soak.END], [0, 2, soak.END], "lost"),
        ([0, 0, 1, 2, soak.END], [0, 0, 1, 2, soak.END], "doubled"),
        ([0, 2, 1, soak.END], [0, 2, 1, soak.END], "out of order"),
        ([0, 1, 2, 7, soak.END], [0, 1, 2, 7, soak.END], "from nowhere"),
        ([0, 1, 2, soak.END], [0, 2, soak.END], "echoes"),
        ([0, 1, 2], [0, 1, 2], "nothing was wrong"),
    ):
        session = soak.Session("key", 0, False, 1)
        session.plan = "nothing"
        session.sent = [0, 1, 2]
        session.at_server = session.echoed = at_server
        session.at_client = at_client
        session.complete = soak.END in at_client
        if finding is None:
            session.judge()
        else:
            with pytest.raises(AssertionError, match=finding):
                session.judge()
