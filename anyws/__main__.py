"""``python -m anyws`` is the command ``anyws``."""

import sys

from anyws.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
