"""The text that is being typed: what each key does to it, and what is seen of it.

Knows nothing of terminals: keys go in, rows of characters come out.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyws.cli.keys import Key

__all__ = ["Action", "LineEditor", "View", "width_of"]

PROMPT, CONTINUED = "> ", ". "
_TAB = "    "


class Action(enum.Enum):
    """What the user wants of the program rather than of the text."""

    SUBMIT = "submit"
    INTERRUPT = "interrupt"
    END_OF_INPUT = "end of input"
    SUSPEND = "suspend"
    CLEAR = "clear"


class View(NamedTuple):
    """What is to be seen: rows that fit the width, and where the cursor stands in them."""

    rows: list[str]
    row: int
    column: int


class LineEditor:
    """One text of one or more lines, with a history of those before.

    Args:
        history: earlier texts, the oldest first; this object adds to a copy.

    Attributes:
        text: what has been typed.
        cursor: how many characters of it are before the cursor.
    """

    def __init__(self, history: Sequence[str] = ()) -> None:
        self.text = ""
        self.cursor = 0
        self._history = list(history)
        self._index = len(self._history)
        self._draft = ""
        self._killed = ""
        self._commands: dict[str, Callable[[], None]] = {
            "newline": lambda: self.insert("\n"),
            "left": lambda: self._move(self.cursor - 1),
            "right": lambda: self._move(self.cursor + 1),
            "home": lambda: self._move(self._line_start()),
            "end": lambda: self._move(self._line_end()),
            "word left": lambda: self._move(self._word_left()),
            "word right": lambda: self._move(self._word_right()),
            "backspace": lambda: self._delete(self.cursor - 1, self.cursor),
            "delete": lambda: self._delete(self.cursor, self.cursor + 1),
            "kill left": lambda: self._kill(self._line_start(), self.cursor),
            "kill right": lambda: self._kill(self.cursor, self._line_end()),
            "kill word left": lambda: self._kill(self._word_left(), self.cursor),
            "kill word right": lambda: self._kill(self.cursor, self._word_right()),
            "yank": lambda: self.insert(self._killed),
            "up": self._up,
            "down": self._down,
            "previous": self._previous,
            "next": self._next,
        }

    def press(self, key: Key) -> Action | None:
        """Do what ``key`` does; return what it asks of the program."""
        if key.name == "text":
            self.insert(key.text)
        elif key.name == "enter":
            if not self.text.endswith("\\") or self.cursor < len(self.text):
                return Action.SUBMIT
            self._delete(self.cursor - 1, self.cursor)
            self.insert("\n")
        elif key.name == "interrupt":
            return Action.INTERRUPT
        elif key.name == "end of input" and not self.text:
            return Action.END_OF_INPUT
        elif key.name == "end of input":
            self._delete(self.cursor, self.cursor + 1)
        elif key.name in {"suspend", "clear"}:
            return Action(key.name)
        else:
            self._commands.get(key.name, lambda: None)()
        return None

    def take(self) -> str:
        """Return the text and begin another."""
        text, self.text, self.cursor = self.text, "", 0
        self._index, self._draft = len(self._history), ""
        return text

    def remember(self, text: str) -> None:
        """Add ``text`` to the history."""
        self._history.append(text)
        self._index = len(self._history)

    def insert(self, text: str) -> None:
        """Insert ``text`` at the cursor."""
        self.text = self.text[: self.cursor] + text + self.text[self.cursor :]
        self.cursor += len(text)

    def view(self, width: int, height: int) -> View:
        """Return what is to be seen of the text, at most ``height`` rows of ``width`` columns."""
        rows: list[str] = []
        row = column = place = 0
        for number, line in enumerate(self.text.split("\n")):
            current = CONTINUED if number else PROMPT
            used = len(current)
            for character in line:
                if place == self.cursor:
                    row, column = len(rows), used
                shown = _TAB if character == "\t" else character
                needed = width_of(shown)
                if used + needed > width:
                    rows.append(current)
                    current, used = "", 0
                    if place == self.cursor:
                        row, column = len(rows), 0
                current += shown
                used += needed
                place += 1
            if place == self.cursor:
                row, column = len(rows), used
            rows.append(current)
            place += 1
        first = max(0, row - height + 1)
        return View(rows[first : first + height], row - first, column)

    def _move(self, place: int) -> None:
        self.cursor = min(max(place, 0), len(self.text))

    def _delete(self, start: int, end: int) -> None:
        start = max(start, 0)
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _kill(self, start: int, end: int) -> None:
        if start < end:
            self._killed = self.text[start:end]
            self._delete(start, end)

    def _line_start(self) -> int:
        return self.text.rfind("\n", 0, self.cursor) + 1

    def _line_end(self) -> int:
        end = self.text.find("\n", self.cursor)
        return len(self.text) if end < 0 else end

    def _word_left(self) -> int:
        match = re.search(r"\w*\W*$", self.text[: self.cursor])
        return match.start() if match else 0

    def _word_right(self) -> int:
        match = re.match(r"\W*\w*", self.text[self.cursor :])
        return self.cursor + (match.end() if match else 0)

    def _up(self) -> None:
        start = self._line_start()
        if not start:
            self._previous()
            return
        above = self.text.rfind("\n", 0, start - 1) + 1
        self._move(min(above + self.cursor - start, start - 1))

    def _down(self) -> None:
        start, end = self._line_start(), self._line_end()
        if end == len(self.text):
            self._next()
            return
        self.cursor, column = end + 1, self.cursor - start
        self._move(min(end + 1 + column, self._line_end()))

    def _previous(self) -> None:
        if self._index == len(self._history):
            self._draft = self.text
        for index in range(self._index - 1, -1, -1):
            if self._matches(index):
                self._show(index, self._history[index])
                return

    def _next(self) -> None:
        for index in range(self._index + 1, len(self._history)):
            if self._matches(index):
                self._show(index, self._history[index])
                return
        if self._index < len(self._history):
            self._show(len(self._history), self._draft)

    def _matches(self, index: int) -> bool:
        """Whether an earlier text begins like what was typed before the history was asked for."""
        found = self._history[index]
        return found.startswith(self._draft) and found != self.text

    def _show(self, index: int, text: str) -> None:
        self._index, self.text, self.cursor = index, text, len(text)


def width_of(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes, which has no control characters."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
