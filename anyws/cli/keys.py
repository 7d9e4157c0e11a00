"""What a terminal sends when keys are pressed: from bytes to the names of what they ask for."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

__all__ = ["Key", "KeyDecoder"]


class Key(NamedTuple):
    """A key: ``"text"`` with what is to be inserted, or the name of a command."""

    name: str
    text: str = ""


_CONTROLS = {
    "\x01": "home",
    "\x02": "left",
    "\x03": "interrupt",
    "\x04": "end of input",
    "\x05": "end",
    "\x06": "right",
    "\x08": "backspace",
    # What was typed ahead, before the terminal was taken over, ends like this.
    "\n": "enter",
    "\x0b": "kill right",
    "\x0c": "clear",
    "\r": "enter",
    "\x0e": "next",
    "\x10": "previous",
    "\x15": "kill left",
    "\x17": "kill word left",
    "\x19": "yank",
    "\x1a": "suspend",
    "\x7f": "backspace",
}
#: What follows ESC, which is what Alt sends.
_ALT = {
    "\r": "newline",
    "\n": "newline",
    "b": "word left",
    "f": "word right",
    "d": "kill word right",
    "\x7f": "kill word left",
}
#: Control sequences (ECMA-48) as xterm and its kin send them: the last character, or the first number.
_FINAL = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
_NUMBER = {"1": "home", "3": "delete", "4": "end", "7": "home", "8": "end"}
_SEQUENCE = re.compile(r"\x1b(?:[\[O]([0-9;:<=>?]*)[ -/]*([@-~])|([^\[O\x1b]))", re.DOTALL)
_PASTE, _PASTE_END = "\x1b[200~", "\x1b[201~"
#: A sequence that is longer is not one.
_LONGEST = 64


class KeyDecoder:
    """Cuts what a terminal sends into keys; what is not whole yet waits for the rest."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._pending = ""

    def feed(self, data: bytes) -> list[Key]:
        """Return the keys that are whole now."""
        self._pending += self._decode(data)
        keys = []
        while self._pending:
            found = self._next()
            if found is None:
                break
            if found.name:
                keys.append(found)
        return keys

    def _next(self) -> Key | None:
        """Take the next key off ``_pending``; a nameless one is to be ignored."""
        text = self._pending
        if text.startswith(_PASTE):
            end = text.find(_PASTE_END)
            if end < 0:
                return None
            self._pending = text[end + len(_PASTE_END) :]
            return Key("text", _printable(text[len(_PASTE) : end]))
        if text[0] == "\x1b":
            return self._sequence(text)
        self._pending = text[1:]
        if text[0] in _CONTROLS:
            return Key(_CONTROLS[text[0]])
        # As much as there is, so that a long paste into an old terminal is one insertion.
        plain = re.match(r"[^\x00-\x08\x0a-\x1f\x7f-\x9f]+", text)
        if plain is None:
            return Key("")
        self._pending = text[plain.end() :]
        return Key("text", plain[0])

    def _sequence(self, text: str) -> Key | None:
        match = _SEQUENCE.match(text)
        if match is None:
            if len(text) <= _LONGEST and "\x1b" not in text[1:]:
                return None
            # An Escape by itself, which asks for nothing.
            self._pending = text[1:]
            return Key("")
        self._pending = text[match.end() :]
        parameters, final, alt = match.groups()
        if alt is not None:
            return Key(_ALT.get(alt, ""))
        number, _, modifier = parameters.partition(";")
        name = _NUMBER.get(number, "") if final == "~" else _FINAL.get(final, "")
        if modifier and name in {"left", "right"}:
            name = f"word {name}"
        return Key(name)


def _printable(text: str) -> str:
    """Return pasted text without what would not be text: control characters other than tab and newline."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)
