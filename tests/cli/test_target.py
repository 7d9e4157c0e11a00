"""What FILE_OR_MODULE:handler may name, and what is said of the rest."""

import sys

import pytest

from anyws.cli import main
from anyws.cli.target import load_handler

SOURCE = """
import functools

async def handler(websocket):
    return "default"

async def other(websocket, greeting="hi"):
    return greeting

async def stream(websocket):
    yield 1

async def two(websocket, room):
    pass

class Application:
    async def handler(self, websocket):
        return "bound"

    async def __call__(self, websocket):
        return "called"

application = Application()
partial = functools.partial(two, room=1)
number = 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to import from, of which nothing stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    modules = set(sys.modules)
    (tmp_path / "site_under_test.py").write_text(SOURCE)
    (tmp_path / "broken_under_test.py").write_text("import site_under_test\n1 / 0\n")
    (tmp_path / "lacking_under_test.py").write_text("import there_is_no_such\n")
    yield tmp_path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "function"),
    [("", "handler"), (":other", "other"), (":application.handler", "handler")],
)
@pytest.mark.parametrize("place", ["site_under_test", "site_under_test.py", "./site_under_test.py"])
def test_found(folder, place, name, function):
    assert load_handler(place + name).__name__ == function


@pytest.mark.parametrize("name", ["application", "partial"])
def test_what_can_be_called_is_a_handler(folder, name):
    assert callable(load_handler(f"site_under_test:{name}"))


def test_a_file_never_takes_the_place_of_a_module(folder):
    (folder / "anyio.py").write_text(SOURCE)
    before = sys.modules["anyio"]
    assert load_handler("anyio.py:other").__name__ == "other"
    assert sys.modules["anyio"] is before


@pytest.mark.parametrize(
    ("target", "code", "text"),
    [
        ("missing.py", 2, "there is no file missing.py"),
        ("missing_module:handler", 2, "there is no module missing_module"),
        ("site_under_test.missing:handler", 2, "there is no module site_under_test.missing"),
        (":handler", 2, "':handler' is not FILE_OR_MODULE:handler"),
        ("site_under_test:", 2, "'site_under_test:' is not FILE_OR_MODULE:handler"),
        ("site_under_test:absent", 2, "site_under_test has no 'absent'; its async functions are handler, other, two"),
        ("site_under_test:number", 2, "site_under_test:number is no function, but 1"),
        ("site_under_test:Application", 2, "site_under_test:Application is no function, but <class"),
        ("site_under_test:stream", 2, "site_under_test:stream is a generator (it has a yield)"),
        ("site_under_test:two", 2, "site_under_test:two does not take one argument"),
        ("broken_under_test.py", 1, "broken_under_test.py cannot be imported: ZeroDivisionError: division by zero"),
        ("lacking_under_test", 1, "lacking_under_test cannot be imported: ModuleNotFoundError: No module named"),
    ],
)  # fmt: skip
def test_refused_in_one_line(folder, capsys, target, code, text):
    assert main(["serve", target]) == code
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith(f"anyws: {text}")
    assert error.count("\n") == 1


def test_verbose_shows_where(folder, capsys):
    assert main(["serve", "broken_under_test.py", "--verbose"]) == 1
    error = capsys.readouterr().err
    assert "1 / 0" in error
    assert error.endswith("(--verbose shows where)\n")
