"""docs/reliability.md and docs/security.md: what they name exists."""

import ast
import functools
import pathlib
import re

import pytest

TESTS = pathlib.Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
NAMED = re.compile(r"`([^`\s]+\.py)::(\w+)`")


def page(name):
    path = DOCS / name
    if not path.exists():
        pytest.skip("the documentation is not here")
    return path.read_text("utf-8")


@functools.cache
def names_in(path):
    tree = ast.parse((TESTS / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


def rows(text, pattern):
    """Give the cells of each table row whose first cell matches ``pattern``."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and re.fullmatch(pattern, cells[0]):
            yield cells


@pytest.mark.parametrize("name", ["reliability.md", "security.md"])
def test_every_test_that_is_named_exists(name):
    text = page(name)
    named = NAMED.findall(text)
    assert len(named) > 15
    assert len(named) == text.count(".py::"), "a name that is not in backticks is not checked"
    missing = [f"{path}::{test}" for path, test in named if test not in names_in(path)]
    assert missing == []


def test_every_limit_has_its_row():
    found = {cells[0].strip("`"): cells for cells in rows(page("reliability.md"), r"`\w+`")}
    expected = [
        "message_size",
        "fragments",
        "receive_buffer",
        "send_buffer",
        "pending_pongs",
        "handshake_size",
        "handshake_line",
        "handshake_headers",
        "max_connections",
        "max_buffer_size",
        "open_timeout",
        "ping_interval",
        "ping_timeout",
        "close_timeout",
    ]
    assert list(found) == expected
    assert all(NAMED.search(cells[-1]) for cells in found.values())


def test_every_fault_has_its_row():
    found = list(rows(page("reliability.md"), r"\d+"))
    assert sorted(int(cells[0]) for cells in found) == list(range(1, 49))
    assert all(len(cells) == 4 and NAMED.search(cells[-1]) for cells in found)


def test_every_advisory_has_its_row():
    found = list(rows(page("security.md"), r"[A-Z]\d+"))
    counts = {"M": 10, "H": 16, "X": 9, "F": 15}
    expected = [f"{kind}{number + 1}" for kind, count in counts.items() for number in range(count)]
    assert [cells[0] for cells in found] == expected
    assert all(len(cells) == 4 and NAMED.search(cells[-1]) for cells in found)
