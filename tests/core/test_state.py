"""The table of states, against the ways a connection can take (RFC 6455, section 7.1)."""

import pytest

from anyws.core.state import TRANSITIONS, Step
from anyws.enums import State

SENT, RECEIVED, LOST = Step.CLOSE_SENT, Step.CLOSE_RECEIVED, Step.LOST


def walk(*steps):
    state = State.OPEN
    for step in steps:
        state = TRANSITIONS[state, step]
    return state


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ([SENT], State.CLOSING),
        ([RECEIVED], State.CLOSING),
        ([SENT, RECEIVED], State.CLOSED),
        ([RECEIVED, SENT], State.CLOSED),
        ([LOST], State.CLOSED),
        ([SENT, LOST], State.CLOSED),
        ([RECEIVED, LOST], State.CLOSED),
        ([SENT, RECEIVED, LOST], State.CLOSED),
        ([RECEIVED, SENT, LOST], State.CLOSED),
        ([LOST, LOST], State.CLOSED),
    ],
)
def test_ways(steps, state):
    assert walk(*steps) is state


@pytest.mark.parametrize("step", [SENT, RECEIVED])
def test_no_close_frame_counts_once_closed(step):
    with pytest.raises(KeyError):
        walk(LOST, step)


def test_the_stream_can_break_in_every_state():
    assert {TRANSITIONS[state, LOST] for state in State} == {State.CLOSED}


def test_no_step_leads_back():
    order = list(State)
    for (before, _), after in TRANSITIONS.items():
        assert order.index(after) >= order.index(before)


def test_a_closed_connection_stays_closed():
    assert {step for state, step in TRANSITIONS if state is State.CLOSED} == {LOST}
