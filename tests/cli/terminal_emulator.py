"""A terminal for programs under test: a pseudo-terminal, and what its screen would show."""

import codecs
import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time

#: The beginning of a sequence whose rest has not come.
_CUT = re.compile(r"\x1b(?:\[[0-9;?]*)?$")
_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n\x07])|([^\x1b\r\n\x07]+)")
#: Gives the process the terminal, as a login does, so that it hears of a new size.
_LOGIN = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class Screen:
    """Rows of characters, as a terminal without an upper end would show them."""

    def __init__(self, width):
        self.width = width
        self.rows = [""]
        self.row = self.column = 0
        self.modes = set()
        self._pending = ""

    def feed(self, text):
        text = self._pending + text
        cut = _CUT.search(text)
        self._pending = cut[0] if cut else ""
        text = text.removesuffix(self._pending)
        end = 0
        for match in _TOKEN.finditer(text):
            assert match.start() == end, f"not understood: {text[end : match.start()]!r}"
            end = match.end()
            parameters, command, control, characters = match.groups()
            if characters is not None:
                for character in characters:
                    self._put(character)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._down(1)
            elif command is not None:
                self._command(command, parameters)
        assert end == len(text), f"not understood: {text[end:]!r}"

    def _put(self, character):
        if self.column == self.width:
            self._down(1)
            self.column = 0
        row = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
        self.column += 1

    def _down(self, count):
        self.row += count
        while self.row >= len(self.rows):
            self.rows.append("")

    def _command(self, command, parameters):
        number = int(parameters) if parameters.isdigit() else None
        if command == "A":
            self.row -= number or 1
            assert self.row >= 0
        elif command == "C":
            self.column = min(self.column + (number or 1), self.width - 1)
        elif command == "J" and not number:
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        elif command == "J" and number == 2:
            self.rows = [""] * (self.row + 1)
        elif command == "K" and number == 2:
            self.rows[self.row] = ""
        elif command == "H":
            self.row = self.column = 0
        elif command in "hl" and parameters.startswith("?"):
            (self.modes.add if command == "h" else self.modes.discard)(parameters)
        else:
            assert command == "m", f"{command} {parameters}"

    @property
    def text(self):
        return "\n".join(row.rstrip() for row in self.rows)


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, arguments, environment, width=80, height=24, own_session=True):
        self.master, slave = os.openpty()
        self.screen = Screen(width)
        self.raw = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self.resize(width, height)
        self.before = termios.tcgetattr(self.master)
        # In a session of its own nobody could continue it, so the kernel would not stop it.
        login = ["-c", _LOGIN] if own_session else []
        self.process = subprocess.Popen(
            [sys.executable, *login, "-m", "anyws", *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, env=environment,
            **({"start_new_session": True} if own_session else {"process_group": 0}),
        )  # fmt: skip
        os.close(slave)

    def resize(self, width, height):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.width = width

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, text):
        """Read until the screen shows ``text``."""
        self._read_until(lambda: text in self.screen.text, repr(text))

    def wait_for_match(self, pattern):
        """Read until the screen shows what matches ``pattern``."""
        self._read_until(lambda: re.search(pattern, self.screen.text), f"what matches {pattern!r}")

    def wait_for_last(self, row):
        """Read until the last row of the screen is ``row``."""
        self._read_until(lambda: self.screen.rows[-1].rstrip() == row, f"the last row {row!r}")

    def end(self):
        """Read to the end and return the exit code."""
        self._read_until(lambda: False, "the end", to_the_end=True)
        return self.process.wait(20)

    def attributes(self):
        return termios.tcgetattr(self.master)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def _read_until(self, done, what, to_the_end=False):
        deadline = time.monotonic() + 20
        while not done():
            ready = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, f"{what} did not come; the screen shows\n{self.screen.text}"
            try:
                data = os.read(self.master, 65536)
            except OSError:
                # That is how Linux tells that nobody has the terminal open any more.
                data = b""
            if not data:
                assert to_the_end, f"{what} never came; the screen shows\n{self.screen.text}"
                return
            text = self._decode(data)
            self.raw += text
            self.screen.feed(text)
