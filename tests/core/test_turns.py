"""Counting operations between two checkpoints."""

from anyws.core.turns import CHECKPOINT_INTERVAL, Turns


def spent(turns, most=1000):
    """How many operations there are before a checkpoint is due."""
    for count in range(most):
        if not turns.spend():
            return count
    raise AssertionError("no checkpoint is ever due")


def test_a_checkpoint_is_due_after_so_many_operations():
    for interval in (1, 2, CHECKPOINT_INTERVAL):
        turns = Turns(interval)
        assert spent(turns) == interval
        # It stays due until somebody has made it.
        assert not turns.spend()
        turns.renew()
        assert spent(turns) == interval


def test_counting_begins_anew_at_any_time():
    turns = Turns(3)
    turns.spend()
    turns.renew()
    assert (turns.left, spent(turns)) == (3, 3)


def test_large_operations_may_take_more_turns_than_there_are():
    turns = Turns(3)
    turns.left -= 10
    assert not turns.spend()
    assert turns.left == -7
    turns.renew()
    assert spent(turns) == 3
