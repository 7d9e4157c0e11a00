"""The bounds of one connection: what may be set, and that nothing else gets in."""

import dataclasses
import inspect
import sys

import pytest

from anyws.limits import Limits

NAMES = [field.name for field in dataclasses.fields(Limits)]
OPTIONAL = ["message_size", "fragments"]


def test_defaults():
    assert dataclasses.asdict(Limits()) == {
        "message_size": 1_048_576,
        "fragments": None,
        "receive_buffer": 65_536,
        "send_buffer": 65_536,
        "pending_pongs": 16,
        "handshake_size": 16_384,
        "handshake_line": 8_192,
        "handshake_headers": 100,
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [1, 2**40])
def test_any_whole_number_from_one_on(name, value):
    assert getattr(Limits(**{name: value}), name) == value


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1])
def test_nothing_below_one(name, value):
    with pytest.raises(ValueError, match=rf"^Limits\.{name} must be at least 1, not {value}$"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [1.0, "1", True, float("inf")])
def test_whole_numbers_only(name, value):
    with pytest.raises(TypeError, match=rf"^Limits\.{name} must be a whole number, not {value!r}$"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", OPTIONAL)
def test_none_is_no_bound(name):
    assert getattr(Limits(**{name: None}), name) is None


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OPTIONAL])
def test_the_others_must_be_bounded(name):
    with pytest.raises(TypeError, match=f"{name} must be a whole number, not None"):
        Limits(**{name: None})


def test_limits_are_named_and_do_not_change():
    with pytest.raises(TypeError):
        Limits(2**20)
    limits = Limits()
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.message_size = None
    # A changed copy is checked like any other.
    with pytest.raises(ValueError, match="fragments"):
        dataclasses.replace(limits, fragments=0)


def test_limits_that_are_alike_are_equal():
    assert Limits(fragments=5) == dataclasses.replace(Limits(), fragments=5)
    assert len({Limits(), Limits(), Limits(fragments=5)}) == 2


def test_every_limit_is_explained():
    text = inspect.getdoc(Limits)
    assert [name for name in NAMES if f"\n    {name}: " not in text] == []


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
def test_more_than_a_machine_can_count(name):
    assert getattr(Limits(**{name: sys.maxsize}), name) == sys.maxsize
    with pytest.raises(ValueError, match=f"{name} must be at most"):
        Limits(**{name: sys.maxsize + 1})
