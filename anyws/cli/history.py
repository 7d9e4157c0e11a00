"""What was sent before, kept from one run to the next."""

from __future__ import annotations

import json
import os

__all__ = ["History", "default_path"]

_MOST = 1000


def default_path() -> str:
    """Return where the history is kept: in ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join("~", ".local", "state")
    return os.path.join(os.path.expanduser(state), "anyws", "history")


class History:
    """The texts of one file, one JSON string a line, readable for its owner only.

    A file that cannot be read or written is no reason to fail: then nothing is remembered.

    Args:
        path: the file, or ``None`` to remember nothing after the end.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self.texts = self._load()

    def add(self, text: str) -> bool:
        """Remember ``text``, but not twice in a row, nor when it is blank or begins with a space.

        Returns:
            Whether it was added.
        """
        if not text.strip() or text[0] == " " or (self.texts and self.texts[-1] == text):
            return False
        self.texts.append(text)
        if self._path is None:
            return True
        try:
            os.makedirs(os.path.dirname(os.path.abspath(self._path)), mode=0o700, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(descriptor, "a", encoding="utf-8") as file:
                file.write(json.dumps(text) + "\n")
        except OSError:
            self._path = None
        return True

    def _load(self) -> list[str]:
        if self._path is None:
            return []
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError:
            return []
        texts = [text for text in map(_text, lines) if text]
        if len(lines) > 2 * _MOST:
            self._shorten(texts[-_MOST:])
        return texts[-_MOST:]

    def _shorten(self, texts: list[str]) -> None:
        assert self._path is not None
        shorter = f"{self._path}.{os.getpid()}"
        try:
            descriptor = os.open(shorter, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(text) + "\n" for text in texts)
            os.replace(shorter, self._path)
        except OSError:
            pass


def _text(line: str) -> str:
    try:
        found = json.loads(line)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""
