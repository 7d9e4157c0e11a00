"""Fuzz for as long as asked: ``python tests/fuzz/run.py --minutes 10``.

Each target takes its turn of some seconds, again and again, with a new seed each time. The first thing that does
not hold ends the run: the smallest input that shows it is printed with its seed, and the exit status is 1.
"""

import argparse
import random
import sys
import time
import traceback

from fuzzing.targets import TARGETS
from fuzzing.wire import BUILDS

_TURN = 3.0


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="for how long (default 1)")
    names = [target.name for target in TARGETS]
    parser.add_argument(
        "--only", action="append", choices=names, help="this target, may come more than once"
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        help="one turn again, by its seed and its number of inputs: SEED:COUNT",
    )
    return parser.parse_args()


def _seed(text):
    seed, _, count = text.partition(":")
    return int(seed), int(count)


class Run:
    """Runs targets in turn and shows how far it came.

    Args:
        targets: what to run.
        seconds: for how long.
    """

    def __init__(self, targets, seconds):
        self._targets = targets
        self._seconds = seconds
        self._began = time.monotonic()
        self._inputs = dict.fromkeys((target.name for target in targets), 0)
        #: Inputs of a turn, so that it takes about as long as it should.
        self._examples = dict.fromkeys(self._inputs, 50)

    def all(self):
        """Run until the time is over; return whether everything held."""
        for target in self._targets:
            for drawn in target.corpus.values():
                target.check(drawn)
        while True:
            for target in self._targets:
                if time.monotonic() - self._began >= self._seconds:
                    print()
                    return True
                if not self._turn(target):
                    return False

    def _turn(self, target):
        seed = random.randrange(2**32)
        count = self._examples[target.name]
        before = time.monotonic()
        if not run_target(target, count, seed):
            return False
        took = time.monotonic() - before
        self._inputs[target.name] += count
        self._examples[target.name] = max(10, min(3 * count, int(count * _TURN / took)))
        self._show()
        return True

    def _show(self):
        spent = time.monotonic() - self._began
        inputs = ", ".join(f"{name} {count}" for name, count in self._inputs.items())
        percent = min(100, int(100 * spent / self._seconds))
        line = f"{percent:3} % {spent:5.0f} s  {inputs}"
        print(line, end="\r" if sys.stdout.isatty() else "\n", flush=True)


def run_target(target, count, seed):
    """Run ``count`` inputs of a target; return whether its invariant held."""
    try:
        target.run(count, seed)
    except Exception:
        traceback.print_exc()
        print(f"\n{target.name}: not so, that {target.invariant}")
        print(f"again: python tests/fuzz/run.py --only {target.name} --seed {seed}:{count}")
        return False
    return True


def main():
    """Run what the command line says; return the exit status."""
    arguments = _arguments()
    chosen = arguments.only or [target.name for target in TARGETS]
    targets = [target for target in TARGETS if target.name in chosen]
    print("builds:", *(f"{build.name} ({build.scan.__file__})" for build in BUILDS))
    for target in targets:
        print(f"{target.name}: {target.invariant}")
    if arguments.seed is not None:
        seed, count = arguments.seed
        return 0 if all(run_target(target, count, seed) for target in targets) else 1
    return 0 if Run(targets, 60 * arguments.minutes).all() else 1


if __name__ == "__main__":
    sys.exit(main())
