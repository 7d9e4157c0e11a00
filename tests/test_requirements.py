"""docs/requirements.md: complete, with tests that exist."""

import ast
import functools
import pathlib
import re

import pytest

TESTS = pathlib.Path(__file__).parent
ROW = re.compile(r"\| (\d{4}-\S+) \| (client|server|both) \| (.+?) \| (.+) \|")


def rows():
    lines = (TESTS.parent / "docs" / "requirements.md").read_text("utf-8").splitlines()
    return [re.fullmatch(ROW, line).groups() for line in lines if re.match(r"\| \d", line)]


@functools.cache
def names_in(path):
    tree = ast.parse((TESTS / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


def test_every_rule_has_its_row():
    assert [row[0] for row in rows()] == (TESTS / "requirements.txt").read_text().split()


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_row_names_tests_that_exist(row):
    _, _, text, tests = row
    assert text.strip()
    if tests.startswith("not applicable: "):
        assert len(tests) > 30
        return
    named = re.findall(r"`([^`:]+\.py)::(test_\w+)`", tests)
    assert len(named) == tests.count("`") / 2
    assert named
    for path, name in named:
        assert name in names_in(path), f"{path} has no {name}"
