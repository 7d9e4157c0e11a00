"""The settings of a connection."""

import dataclasses
import functools

import pytest

import anyws
from anyws.core.deflate import Deflate
from anyws.limits import Limits
from anyws.stream.options import ConnectionOptions, check_handler, deflate_setting


def test_defaults():
    options = ConnectionOptions()
    assert options.limits == Limits()
    assert (options.ping_interval, options.ping_timeout, options.close_timeout) == (20, 20, 10)
    assert options.checkpoint_interval == 128


def test_frozen_and_by_keyword():
    options = ConnectionOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.ping_interval = 1
    with pytest.raises(TypeError):
        ConnectionOptions(Limits())
    with pytest.raises(TypeError, match="ping_intervall"):
        ConnectionOptions(ping_intervall=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ping_interval", 0),
        ("ping_interval", -1),
        ("ping_interval", float("nan")),
        ("ping_timeout", 0),
        ("ping_timeout", -0.5),
        ("close_timeout", -1),
        ("close_timeout", float("nan")),
        ("checkpoint_interval", 0),
        ("checkpoint_interval", -1),
    ],
)
def test_refused(name, value):
    with pytest.raises(ValueError, match=name):
        ConnectionOptions(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ping_interval", None),
        ("ping_timeout", None),
        ("ping_interval", 0.01),
        ("close_timeout", 0),
        ("close_timeout", float("inf")),
        ("checkpoint_interval", 1),
    ],
)
def test_accepted(name, value):
    assert getattr(ConnectionOptions(**{name: value}), name) == value


def test_deflate_setting():
    deflate = Deflate()
    assert deflate_setting("deflate") == Deflate()
    assert deflate_setting(None) is None
    assert deflate_setting(deflate) is deflate


@pytest.mark.parametrize("value", ["gzip", "", True, False, 1])
def test_bad_deflate_setting(value):
    with pytest.raises(ValueError, match="compression"):
        deflate_setting(value)


async def coroutine(websocket):
    """A handler."""


async def generator(websocket):
    yield websocket


def plain_generator(websocket):
    yield websocket


@pytest.mark.parametrize("handler", [None, "handler", generator, plain_generator])
def test_what_cannot_be_a_handler(handler):
    with pytest.raises(
        TypeError, match="a handler is an async function that takes a WebSocket, not"
    ):
        check_handler(handler)


def test_a_handler_is_not_called():
    with pytest.raises(TypeError, match="without calling it"):
        check_handler(coroutine(None))


@pytest.mark.parametrize(
    "handler", [coroutine, functools.partial(coroutine), lambda w: coroutine(w)]
)
def test_what_may_be_a_handler(handler):
    check_handler(handler)


@pytest.mark.anyio
async def test_serve_refuses_it_before_it_listens():
    with pytest.raises(TypeError, match="a handler is"):
        await anyws.serve(None)
