"""A terminal on which a text is typed at the bottom while other lines appear above it."""

from __future__ import annotations

import os
import signal
import sys
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from anyws.cli.keys import KeyDecoder
from anyws.cli.line_editor import Action, LineEditor
from anyws.cli.standard_streams import read_input

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

__all__ = ["Terminal", "can_edit"]

_BRACKETED_PASTE, _PLAIN_PASTE = "\x1b[?2004h", "\x1b[?2004l"


def can_edit() -> bool:
    """Whether somebody sits at a terminal that can move its cursor."""
    # A stream that the shell closed is None.
    terminals = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
    return terminals and os.environ.get("TERM") != "dumb"


class Terminal:
    """Standard input and output, both a terminal, with a line editor in its last rows.

    Args:
        history: earlier texts, the oldest first.
    """

    def __init__(self, history: Sequence[str] = ()) -> None:
        self.editor = LineEditor(history)
        self._keys = KeyDecoder()
        self._input = sys.stdin.fileno()
        self._before: list[Any] = []
        self._shown = False
        self._row = 0

    @property
    def width(self) -> int:
        """Columns that can be used; the last one is left alone, since terminals differ in when they wrap."""
        return max(self._size().columns - 1, 10)

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Take over the keyboard inside the block, and give it back whatever happens."""
        self._take_over()
        try:
            self.draw()
            yield
        finally:
            self._give_back()

    async def texts(self) -> AsyncGenerator[str, None]:
        """Iterate over the texts that are entered; ends when the user wants to end.

        Ctrl-C empties what is typed, and ends when there is nothing to empty; so does Ctrl-D.
        """
        while data := await read_input(self._input):
            for key in self._keys.feed(data):
                action = self.editor.press(key)
                if action is Action.SUBMIT:
                    self._leave()
                    yield self.editor.take()
                elif action is Action.INTERRUPT and self.editor.text:
                    self._leave("^C")
                    self.editor.take()
                elif action is Action.INTERRUPT or action is Action.END_OF_INPUT:
                    return
                elif action is Action.SUSPEND:
                    self._suspend()
                elif action is Action.CLEAR:
                    self._write("\x1b[H\x1b[2J")
                    self._shown, self._row = False, 0
            self.draw()

    def show(self, text: str) -> None:
        """Print whole lines above what is typed."""
        shown = self._shown
        self._erase()
        self._write(text.rstrip("\n") + "\n")
        if shown:
            self.draw()

    def draw(self) -> None:
        """Draw what is typed, anew if it was drawn before."""
        height = max(self._size().lines - 1, 1)
        view = self.editor.view(self.width, height)
        up = len(view.rows) - 1 - view.row
        text = self._erasing() + "\r\n".join(view.rows) + "\r"
        if up:
            text += f"\x1b[{up}A"
        if view.column:
            text += f"\x1b[{view.column}C"
        self._write(text)
        self._shown, self._row = True, view.row

    def _size(self) -> os.terminal_size:
        # Not from COLUMNS, which does not change with the window.
        columns, lines = os.get_terminal_size(self._input)
        return os.terminal_size((columns or 80, lines or 24))

    def _leave(self, mark: str = "") -> None:
        """Leave what was typed where it stands, and go below it."""
        text, self.editor.cursor = self.editor.text, len(self.editor.text)
        self.draw()
        self._write(f"{mark}\r\n")
        self._shown, self._row = False, 0
        self.editor.text = text

    def _erase(self) -> None:
        self._write(self._erasing())
        self._shown, self._row = False, 0

    def _erasing(self) -> str:
        if not self._shown:
            return ""
        return (f"\x1b[{self._row}A" if self._row else "") + "\r\x1b[J"

    def _suspend(self) -> None:
        self._give_back()
        os.kill(0, signal.SIGTSTP)
        # Here it goes on, when the shell's "fg" says so.
        self._take_over()

    def _take_over(self) -> None:
        self._before = termios.tcgetattr(self._input)
        mine = list(self._before)
        # Keys come one by one, as they are; what is written keeps its line ends.
        mine[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON)
        mine[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(self._input, termios.TCSADRAIN, mine)
        self._write(_BRACKETED_PASTE)

    def _give_back(self) -> None:
        self._erase()
        self._write(_PLAIN_PASTE)
        termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
