"""Header fields and their grammars (RFC 9110, section 5; RFC 6455, section 9.1)."""

from __future__ import annotations

import contextlib
import enum
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyws.core.handshake.headers import (
    ExtensionList,
    Headers,
    build_extensions,
    parse_cookies,
    parse_extensions,
    parse_token_list,
)
from anyws.errors import InvalidHandshake


def test_names_are_compared_without_regard_to_case() -> None:
    headers = Headers({"Content-Type": "a"})
    assert headers["content-TYPE"] == "a"
    assert "CONTENT-type" in headers
    assert headers.get("Nothing") is None
    assert headers.get("Nothing", "x") == "x"
    assert 1 not in headers  # type: ignore[comparison-overlap]
    with pytest.raises(KeyError):
        headers["Nothing"]


def test_several_lines_of_one_name_are_joined_and_kept_apart() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    assert headers["a"] == "1, 3"
    assert headers.get_all("A") == ["1", "3"]
    assert headers.get_all("C") == []
    assert list(headers) == ["A", "B"]
    assert len(headers) == 2
    assert headers.raw == (("A", "1"), ("B", "2"), ("a", "3"))
    assert Headers(headers).raw == headers.raw
    assert dict(headers) == {"A": "1, 3", "B": "2"}


def test_equality_hash_and_repr() -> None:
    assert Headers({"A": "1"}) == Headers([("a", "1")])
    assert hash(Headers({"A": "1"})) == hash(Headers([("a", "1")]))
    assert Headers({"A": "1"}) != Headers({"A": "2"})
    assert Headers({"A": "1"}) != {"A": "1"}
    assert repr(Headers({"A": "1"})) == "Headers([('A', '1')])"


def test_spaces_and_tabs_around_a_value_are_dropped() -> None:
    assert Headers({"A": " \tx y\t "})["A"] == "x y"


def test_h6_other_whitespace_is_part_of_the_value() -> None:
    assert Headers({"A": "\x85x\xa0"})["A"] == "\x85x\xa0"


@pytest.mark.parametrize("name", ["", "a b", "a:", "ä", "a\r\n", "a\x00", "a\n"])
def test_h10_a_name_must_be_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="must be a token"):
        Headers({name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nB: c", "\n", "a\n", "\r", "\x00", "\x0b", "\x1c", "\x7f", "€"]
)
def test_h10_a_value_holds_no_line_break_no_control_and_only_latin_1(value: str) -> None:
    with pytest.raises(ValueError, match="header A"):
        Headers({"A": value})


@pytest.mark.parametrize("pair", [("A", 1), (b"A", "x")])
def test_names_and_values_are_str(pair: tuple[str, str]) -> None:
    with pytest.raises(TypeError):
        Headers([pair])


def test_headers_are_serialized_as_latin_1() -> None:
    assert Headers([("A", "é"), ("B", "")]).serialize() == b"A: \xe9\r\nB: \r\n"


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ([], []),
        (["a"], ["a"]),
        (["a, b", "C"], ["a", "b", "C"]),
        ([",a\t,, b ,"], ["a", "b"]),
    ],
)
def test_a_token_list_is_read(values: list[str], tokens: list[str]) -> None:
    assert parse_token_list(values) == tokens


@pytest.mark.parametrize("value", ["", " , ", "a b", "a;b", '"a"', "ch\xff\x80t", "a\x0bb", "a/b"])
def test_h4_a_malformed_token_list_is_refused(value: str) -> None:
    with pytest.raises(InvalidHandshake):
        parse_token_list(["ok", value])


@pytest.mark.parametrize(
    ("values", "extensions"),
    [
        ([], []),
        (["a"], [("a", [])]),
        (["a, b;c", "d"], [("a", []), ("b", [("c", None)]), ("d", [])]),
        ([" a ; b = 1 ;c ,, a;b=2,"], [("a", [("b", "1"), ("c", None)]), ("a", [("b", "2")])]),
        (['a; b="10"; c'], [("a", [("b", "10"), ("c", None)])]),
        ([r'a; b="1\0" , d'], [("a", [("b", "10")]), ("d", [])]),
    ],
)
def test_extensions_are_read(values: list[str], extensions: ExtensionList) -> None:
    assert parse_extensions(values) == extensions


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        ";",
        "a;",
        "a; ,b",
        "a;=1",
        "a;b=",
        "a b",
        "a;b c",
        "a=1",
        'a;b="',
        'a;b=""',
        'a;b="1',
        'a;b="1 5"',
        'a;b="1"2',
        'a;b="\\"',
        "a;b=\xff",
        "\xff",
    ],
)
def test_malformed_extensions_are_refused(value: str) -> None:
    with pytest.raises(InvalidHandshake):
        parse_extensions([value])


@pytest.mark.parametrize(
    "value",
    [
        'permessage-deflate; a="' + r"\c" * 35_000,
        "a" + " " * 70_000 + "x",
        "a;" * 35_000,
        "a" * 70_000 + "\x7f",
        'a;b="' * 10_000,
    ],
)
def test_h3_malformed_extensions_are_refused_in_linear_time(value: str) -> None:
    start = time.process_time()
    with pytest.raises(InvalidHandshake):
        parse_extensions([value])
    # Ten times the size that HTTP limits allow; quadratic time would take much longer.
    assert time.process_time() - start < 2


_token = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}", fullmatch=True)
_parameters = st.lists(st.tuples(_token, st.none() | _token), max_size=3)


@given(st.lists(st.tuples(_token, _parameters), min_size=1, max_size=3))
def test_extensions_survive_being_written_and_read(extensions: ExtensionList) -> None:
    assert parse_extensions([build_extensions(extensions)]) == extensions


@given(st.text(st.characters(max_codepoint=255)))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    for parse in (parse_extensions, parse_token_list):
        with contextlib.suppress(InvalidHandshake):
            parse([text])
    parse_cookies([text])


@pytest.mark.parametrize(
    "extension", [("a b", []), ("a", [("b\r\n", None)]), ("a", [("b", "c,d")]), ("a", [("b", "")])]
)
def test_h10_extensions_are_written_of_tokens(extension: tuple[str, list[tuple[str, str]]]) -> None:
    with pytest.raises(ValueError, match="must be a token"):
        build_extensions([extension])


@pytest.mark.parametrize(
    ("values", "cookies"),
    [
        ([], {}),
        (["a=1; b=2"], {"a": "1", "b": "2"}),
        (["a=1", "b=2;a=3"], {"a": "1", "b": "2"}),
        (['a="x y"; b="; c=x=y'], {"a": "x y", "b": '"', "c": "x=y"}),
        (["flag; =x; ;a="], {"a": ""}),
        (["a=\x85"], {"a": "\x85"}),
    ],
)
def test_cookies_are_read(values: list[str], cookies: dict[str, str]) -> None:
    assert parse_cookies(values) == cookies


def test_an_enum_of_strings_is_its_value() -> None:
    """Formatted it would be its name, which nobody has checked."""

    class Name(str, enum.Enum):  # noqa: UP042 - StrEnum formats as its value
        TOKEN = "X-Token"
        SECRET = "s3cret"

    headers = Headers({Name.TOKEN: Name.SECRET})
    assert headers.raw == (("X-Token", "s3cret"),)
    assert headers.serialize() == b"X-Token: s3cret\r\n"
