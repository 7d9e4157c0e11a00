"""The fuzz targets for a moment each; ``run.py`` runs them for as long as one likes."""

import pathlib
import random

import pytest
from fuzzing.targets import TARGETS

EXAMPLES = 20


@pytest.mark.parametrize(
    "target", [target for target in TARGETS if target.corpus], ids=lambda target: target.name
)
def test_corpus(target):
    for name, drawn in target.corpus.items():
        print(name)
        target.check(drawn)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_drawn(target):
    seed = random.randrange(2**32)
    print(f"{target.name}: {target.invariant}; seed {seed}")
    target.run(EXAMPLES, seed)


def test_the_page_says_what_must_hold():
    page = pathlib.Path(__file__).parents[2] / "docs" / "reliability.md"
    if not page.exists():
        pytest.skip("the documentation is not here")
    rows = [row.strip("| ").split(" | ") for row in page.read_text("utf-8").splitlines()]
    for target in TARGETS:
        assert [target.name, target.invariant] in rows
