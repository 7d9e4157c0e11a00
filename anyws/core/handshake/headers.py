"""HTTP header fields: the mapping, and the grammars that the handshake reads and writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from anyws.errors import InvalidHandshake

__all__ = [
    "ExtensionList",
    "Headers",
    "HeadersLike",
    "Parameters",
    "build_extensions",
    "check_token",
    "is_token",
    "parse_cookies",
    "parse_extensions",
    "parse_token_list",
    "plain",
]

HeadersLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
Parameters: TypeAlias = list[tuple[str, str | None]]
ExtensionList: TypeAlias = list[tuple[str, Parameters]]

# RFC 9110, section 5.6.2. Possessive quantifiers: no input makes these patterns backtrack.
_TCHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN = re.compile(rf"{_TCHAR}++")
# RFC 9110, section 5.5; everything else up to U+00FF is a control character.
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*+")
_OWS = re.compile(r"[ \t]*+")
# A quoted string that holds a token; any of its characters may be escaped.
_QUOTED = re.compile(rf'"((?:\\?{_TCHAR})++)"')


class Headers(Mapping[str, str]):
    """The header fields of a request or a response: an immutable mapping from name to value.

    Names are compared without regard to case. ``headers[name]`` is the value; when several lines
    carry the name, it is their values joined by ``", "``, which HTTP defines to mean the same
    (RFC 9110, section 5.3). ``get_all(name)`` keeps them apart, as ``Set-Cookie`` needs, and
    ``raw`` holds every line in order. Text is Latin-1, which maps every byte to one character.

    Args:
        headers: a mapping, or ``(name, value)`` pairs. Spaces and tabs around a value are dropped.

    Raises:
        TypeError: a name or a value is not a ``str``.
        ValueError: a name is not a token, or a value holds a line break, NUL or another control
            character, or a character outside Latin-1 (RFC 9110, section 5.5).
    """

    # One string instead of a dozen: every open connection keeps its request and its response.
    __slots__ = ("_lines",)

    _lines: str

    def __init__(self, headers: HeadersLike = ()) -> None:
        if isinstance(headers, Headers):
            self._lines = headers._lines
        else:
            pairs = headers.items() if isinstance(headers, Mapping) else headers
            self._lines = "".join(
                [f"{name}: {value}\r\n" for name, value in (_check_field(*pair) for pair in pairs)]
            )

    @classmethod
    def _of_lines(cls, lines: str) -> Headers:
        """Return the headers of lines ``Name: value``, each with its CRLF, which were checked before."""
        headers = cls.__new__(cls)
        headers._lines = lines
        return headers

    @property
    def raw(self) -> tuple[tuple[str, str], ...]:
        """The header lines in order, as ``(name, value)`` pairs."""
        fields = (line.partition(": ") for line in self._lines.split("\r\n")[:-1])
        return tuple((name, value) for name, _, value in fields)

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[str]:
        """Each name once, in the spelling of its first line."""
        names: dict[str, str] = {}
        for name, _ in self.raw:
            names.setdefault(name.lower(), name)
        return iter(names.values())

    def __len__(self) -> int:
        """The number of different names."""
        return len({name.lower() for name, _ in self.raw})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Headers({list(self.raw)!r})"

    def get_all(self, name: str) -> list[str]:
        """The values of all lines with this name, in order; an empty list when there is none."""
        # Mostly for one or two names, so the lines are not taken apart.
        start = name.lower() + ": "
        size = len(start)
        if start not in self._lines.lower() or ":" in name:
            return []
        lines = self._lines.split("\r\n")
        return [line[size:] for line in lines if line[:size].lower() == start]

    def _values(self) -> dict[str, list[str]]:
        """The values of all lines by name in lower case, for whoever looks many names up."""
        values: dict[str, list[str]] = {}
        for line in self._lines.split("\r\n")[:-1]:
            name, _, value = line.partition(": ")
            values.setdefault(name.lower(), []).append(value)
        return values

    def serialize(self) -> bytes:
        """The header lines as they go over the wire, without the empty line at the end."""
        return self._lines.encode("latin-1")

    def _key(self) -> tuple[tuple[str, str], ...]:
        return tuple((name.lower(), value) for name, value in self.raw)


def _check_field(name: str, value: str) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError("header names and values must be str")
    check_token(name, "a header name")
    if not _VALUE.fullmatch(value):
        raise ValueError(
            f"the value of header {name} holds a control character or is not Latin-1: {value!r}"
        )
    return plain(name), plain(value).strip(" \t")


def plain(text: str) -> str:
    """Return ``text`` as ``str`` itself: a kind of it, such as an enum, may format itself in another way."""
    return str.__str__(text)


def is_token(text: str) -> bool:
    """Whether ``text`` is a token (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def check_token(text: str, what: str) -> None:
    """Refuse what is not a token.

    Raises:
        ValueError: ``text`` is empty or holds other than token characters
            (RFC 9110, section 5.6.2); the message begins with ``what``.
    """
    if not is_token(text):
        raise ValueError(f"{what} must be a token of RFC 9110, not {text!r}")


def parse_token_list(values: Iterable[str]) -> list[str]:
    """Read a list of tokens, such as ``Connection`` or ``Sec-WebSocket-Protocol``.

    Args:
        values: the values of all lines with that name.

    Returns:
        The tokens in order. Empty elements are skipped (RFC 9110, section 5.6.1.2).

    Raises:
        InvalidHandshake: an element is not a token, or a line has no element at all.
    """
    tokens: list[str] = []
    for value in values:
        if is_token(value):
            tokens.append(value)
            continue
        elements = [item for part in value.split(",") if (item := part.strip(" \t"))]
        if not elements or not all(map(is_token, elements)):
            raise InvalidHandshake("a header that lists tokens is malformed (RFC 9110, 5.6.1)")
        tokens += elements
    return tokens


def parse_extensions(values: Iterable[str]) -> ExtensionList:
    """Read ``Sec-WebSocket-Extensions`` (RFC 6455, section 9.1), in linear time.

    Args:
        values: the values of all lines with that name.

    Returns:
        The extensions in order, each with its parameters in order; a parameter without a value
        has ``None``. A quoted value comes without its quotes.

    Raises:
        InvalidHandshake: the grammar is broken, or a line names no extension.
    """
    extensions: ExtensionList = []
    for value in values:
        extensions += _parse_extension_line(value)
    return extensions


def _malformed_extensions() -> InvalidHandshake:
    return InvalidHandshake("Sec-WebSocket-Extensions is malformed (RFC 6455, section 9.1)")


def _parse_extension_line(text: str) -> ExtensionList:
    extensions: ExtensionList = []
    position = 0
    while True:
        position = _skip(text, position)
        if position < len(text) and text[position] != ",":
            name, position = _take_token(text, position)
            parameters: Parameters = []
            while text.startswith(";", position):
                parameter, position = _take_parameter(text, position + 1)
                parameters.append(parameter)
            extensions.append((name, parameters))
        if position == len(text):
            break
        if text[position] != ",":
            raise _malformed_extensions()
        position += 1
    if not extensions:
        raise _malformed_extensions()
    return extensions


def _take_parameter(text: str, position: int) -> tuple[tuple[str, str | None], int]:
    name, position = _take_token(text, _skip(text, position))
    if not text.startswith("=", position):
        return (name, None), position
    position = _skip(text, position + 1)
    if not text.startswith('"', position):
        value, position = _take_token(text, position)
        return (name, value), position
    match = _QUOTED.match(text, position)
    if match is None:
        raise _malformed_extensions()
    return (name, match[1].replace("\\", "")), _skip(text, match.end())


def _take_token(text: str, position: int) -> tuple[str, int]:
    match = _TOKEN.match(text, position)
    if match is None:
        raise _malformed_extensions()
    return match[0], _skip(text, match.end())


def _skip(text: str, position: int) -> int:
    match = _OWS.match(text, position)
    assert match is not None
    return match.end()


def build_extensions(
    extensions: Iterable[tuple[str, Sequence[tuple[str, str | None]]]],
) -> str:
    """Write the value of ``Sec-WebSocket-Extensions`` (RFC 6455, section 9.1).

    Args:
        extensions: names with their parameters, as ``parse_extensions`` returns them.

    Raises:
        ValueError: a name or a value is not a token.
    """
    elements = []
    for name, parameters in extensions:
        check_token(name, "the name of an extension")
        element = name
        for key, value in parameters:
            check_token(key, "the name of an extension's parameter")
            element += f"; {key}"
            if value is not None:
                check_token(value, "the value of an extension's parameter")
                element += f"={value}"
        elements.append(element)
    return ", ".join(elements)


def parse_cookies(values: Iterable[str]) -> dict[str, str]:
    """Read ``Cookie`` headers, as forgiving as browsers are (RFC 6265, section 5.4).

    Args:
        values: the values of all ``Cookie`` lines.

    Returns:
        Names and values, not decoded; double quotes around a value are dropped. Of several
        cookies with one name the first counts: it has the most specific path. What has no
        name is skipped.
    """
    cookies: dict[str, str] = {}
    for value in values:
        for part in value.split(";"):
            name, equals, content = part.partition("=")
            name, content = name.strip(" \t"), content.strip(" \t")
            if not equals or not name:
                continue
            if len(content) >= 2 and content[0] == content[-1] == '"':
                content = content[1:-1]
            cookies.setdefault(name, content)
    return cookies
