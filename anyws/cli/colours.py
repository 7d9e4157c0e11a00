"""Colours for a terminal, where rich is installed; plain text otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Colours"]


class Colours:
    """Turns text into what a terminal shows in colours. ``NO_COLOR`` in the environment is obeyed."""

    def __init__(self) -> None:
        self._console: Console | None = None
        try:
            from rich.console import Console
        except ImportError:
            return
        self._console = Console(highlight=False, soft_wrap=True)

    def paint(self, text: str, style: str) -> str:
        """Return ``text`` in a style of rich's, such as ``"bold red"``; nothing in it is markup."""
        if self._console is None:
            return text
        from rich.text import Text

        return self._rendered(Text(text, style))

    def json(self, text: str) -> str:
        """Return JSON with its names, strings and numbers in colours."""
        if self._console is None:
            return text
        from rich.highlighter import JSONHighlighter
        from rich.text import Text

        content = Text(text)
        JSONHighlighter().highlight(content)
        return self._rendered(content)

    def _rendered(self, content: object) -> str:
        assert self._console is not None
        with self._console.capture() as capture:
            self._console.print(content, end="")
        text: str = capture.get()
        return text
