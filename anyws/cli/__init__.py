"""The command ``anyws``: one module per command, and ``entry`` which puts them together.

Nothing here needs more than anyws itself. Where the extra ``cli`` is installed (rich), output on a
terminal has colours and tables that change in place; without it the same facts are plain text.
"""

from anyws.cli.entry import main

__all__ = ["main"]
