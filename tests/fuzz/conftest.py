"""Lets the tests here import ``fuzzing``, which the scripts beside them import too."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
