"""The fuzz targets for a moment each; ``run.py`` runs them for as long as one likes."""

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
