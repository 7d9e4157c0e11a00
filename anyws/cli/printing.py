"""Messages as people read them: JSON indented, binary as hex, nothing that drives the terminal."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["hex_dump", "pretty_json", "visible"]

#: Control characters, and those that turn the direction of what follows (Unicode, Annex 9): a
#: terminal would obey them, and whoever sent the message would decide what is seen.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_ROW = 16


def visible(text: str) -> str:
    """Return ``text`` with what a terminal would obey as escapes; newline and tab stay."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class _Number(str):
    """A number as it was written: nothing is rounded, and 1.0 stays 1.0."""

    __slots__ = ()


class _Object(list[Any]):
    """An object's members in their order, those with the same name too."""

    __slots__ = ()


_DECODER = json.JSONDecoder(
    parse_int=_Number, parse_float=_Number, parse_constant=_Number, object_pairs_hook=_Object
)


def pretty_json(text: str, width: int = 80) -> str | None:
    """Return a JSON object or array with one member a line, but on one line what fits there.

    Numbers, the order of members and members of the same name stay as they were sent.

    Args:
        text: what may be JSON.
        width: columns that a line may have, where it can be broken at all.

    Returns:
        ``None`` when it is not JSON, or neither object nor array.
    """
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        value = _DECODER.decode(text)
        return _format(value, 0, width)
    except (ValueError, RecursionError):
        return None


def _format(value: Any, indent: int, width: int) -> str:
    line = _inline(value, width - indent)
    if line is not None:
        return line
    inner = " " * (indent + 2)
    if isinstance(value, _Object):
        members = [
            f"{inner}{_scalar(name)}: {_format(member, indent + 2, width)}"
            for name, member in value
        ]
        opening, closing = "{}"
    elif isinstance(value, list):
        members = [inner + _format(member, indent + 2, width) for member in value]
        opening, closing = "[]"
    else:
        return _scalar(value)
    return opening + "\n" + ",\n".join(members) + "\n" + " " * indent + closing


def _inline(value: Any, room: int) -> str | None:
    """Return ``value`` on one line, or ``None`` when it takes more than ``room`` columns."""
    if not isinstance(value, list):
        text = _scalar(value)
        return text if len(text) <= room else None
    parts = []
    left = room - 2
    for member in value:
        name, content = member if isinstance(value, _Object) else (None, member)
        prefix = "" if name is None else f"{_scalar(name)}: "
        shown = _inline(content, left - len(prefix))
        if shown is None:
            return None
        parts.append(prefix + shown)
        left -= len(prefix) + len(shown) + 2
        if left < -2:
            return None
    joined = ", ".join(parts)
    return f"{{{joined}}}" if isinstance(value, _Object) else f"[{joined}]"


def _scalar(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def hex_dump(data: bytes, most: int) -> list[str]:
    """Return rows of sixteen bytes: the offset, the bytes in hex, and those that are ASCII.

    Args:
        data: the bytes.
        most: how many of them to show; a last row says how many are left.
    """
    rows = []
    for start in range(0, min(len(data), most), _ROW):
        row = data[start : min(start + _ROW, most)]
        hexadecimal = row[:8].hex(" ") + "  " + row[8:].hex(" ")
        ascii_text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start:08x}  {hexadecimal:<49} {ascii_text}")
    if len(data) > most:
        rows.append(f"... and {len(data) - most} more bytes")
    return rows
