"""The public names, and what importing them costs."""

import inspect
import json
import os
import subprocess
import sys

import pytest

import anyws
import anyws.testing

#: Modules that ``import anyws`` must not load: they are optional, slow, or for one command only.
OPTIONAL = (
    "trio",
    "uvloop",
    "h2",
    "rich",
    "ssl",
    "asyncio",
    "anyws.proxy",
    "hypothesis",
    "pytest",
    "anyws.testing",
    "anyws.demo",
    "anyws.cli",
)


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("module", [anyws, anyws.testing], ids=["anyws", "testing"])
def test_every_public_name_exists_and_is_documented(module):
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        thing = getattr(module, name)
        text = inspect.getdoc(thing)
        assert text, f"{name} has no documentation"
        if inspect.isclass(thing) and not issubclass(thing, tuple):
            assert thing.__doc__, f"{name} has no documentation of its own"


@pytest.mark.parametrize("name", sorted(anyws.__all__))
def test_every_public_method_is_documented(name):
    thing = getattr(anyws, name)
    if not inspect.isclass(thing):
        return
    for attribute, value in vars(thing).items():
        if attribute.startswith("_") or not (callable(value) or isinstance(value, property)):
            continue
        assert inspect.getdoc(getattr(thing, attribute)), f"{name}.{attribute} has no documentation"


@pytest.mark.parametrize("name", ["connect", "serve", "accept", "client_over"])
def test_every_argument_is_in_the_documentation(name):
    function = getattr(anyws, name)
    text = inspect.getdoc(function)
    if name in ("connect", "serve"):
        for argument in inspect.signature(function).parameters:
            assert f"\n    {argument}: " in text, f"{name} does not explain {argument}"
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert "If cancelled" in text


def test_shared_keywords_have_the_same_defaults():
    connect = inspect.signature(anyws.connect).parameters
    serve = inspect.signature(anyws.serve).parameters
    shared = connect.keys() & serve.keys()
    assert {"subprotocols", "compression", "limits", "open_timeout", "ssl_context"} <= shared
    for name in shared:
        assert connect[name].default == serve[name].default, name


def test_the_original_name():
    from anyws.client import Client

    assert Client is anyws.WebSocket


def test_importing_loads_nothing_optional():
    # Without site-packages' hooks (pytest-cov, coverage) nothing else is in the process.
    code = (
        f"import json, sys, anyws; print(json.dumps([m for m in {OPTIONAL!r} if m in sys.modules]))"
    )
    assert json.loads(run(code)) == []
