"""How messages, close codes and errors are told."""

import json
import re
import ssl

import pytest

import anyws
from anyws.cli import main
from anyws.cli.close_codes import close_line, explain
from anyws.cli.errors import ExitCode, describe, exit_code_of
from anyws.cli.printing import hex_dump, pretty_json, visible
from anyws.errors import Close, CloseCause


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":1}', '{"a": 1}'),
        ("[]", "[]"),
        (' [1,[2,{"b":null}]] ', '[1, [2, {"b": null}]]'),
        # Nothing is rounded, dropped or put into another order.
        ('{"b":1.0,"a":123456789012345678901234567890,"b":1e400}',
         '{\n  "b": 1.0,\n  "a": 123456789012345678901234567890,\n  "b": 1e400\n}'),
        ('{"a":"é\\u00e9","b":[true,false,NaN]}', '{\n  "a": "éé",\n  "b": [true, false, NaN]\n}'),
        ('[["aaaaaaaaaaaa","bbbbbbbbbbbb"],[]]', '[\n  [\n    "aaaaaaaaaaaa",\n    "bbbbbbbbbbbb"\n  ],\n  []\n]'),
        ("hello", None),
        ("1", None),
        ('"text"', None),
        ('{"a":', None),
        ("{} {}", None),
        ("[" * 100_000, None),
    ],
)  # fmt: skip
def test_json(text, shown):
    assert pretty_json(text, 30) == shown


def test_json_keeps_what_was_sent():
    value = {"list": [{"a": [1, 2, {"deep": "x" * 100}]}] * 3, "empty": {}, "none": None}
    assert json.loads(pretty_json(json.dumps(value), 40)) == value


def test_hex():
    assert hex_dump(b"", 10) == []
    assert hex_dump(bytes(range(60, 79)), 100) == [
        "00000000  3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK",
        "00000010  4c 4d 4e                                          LMN",
    ]
    assert hex_dump(b"\x00A\xff" * 3, 4) == [
        "00000000  00 41 ff 00                                       .A..",
        "... and 5 more bytes",
    ]


def test_nothing_that_drives_a_terminal_is_left():
    assert visible("a\tb\nc é 日 👍🏽") == "a\tb\nc é 日 👍🏽"
    for code in [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0xD800]:
        if chr(code) not in "\t\n":
            assert visible(chr(code)).isascii()
            assert visible(chr(code)).isprintable()


def test_close_codes():
    for code in anyws.CloseCode:
        assert explain(code) != explain(2999)
    assert (
        close_line(1001, "")
        == "1001 (going away): the server is shutting down, or the page was left"
    )
    assert close_line(4000, "why").startswith(
        "4000 (private use) 'why': the application's own code"
    )
    assert "library" in explain(3000)


def rejected(status, reason, body=b"", **headers):
    return anyws.RejectedHandshake(
        status, reason, [(name.replace("_", "-"), value) for name, value in headers.items()], body
    )


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (rejected(404, "Not Found"), 3, "the server refused to open a WebSocket: 404 Not Found"),
        (rejected(403, "", b"go\naway\x1b[31m", Content_Type="text/plain; charset=utf-8"), 3,
         "the server refused to open a WebSocket: 403: go away\\x1b[31m"),
        (rejected(403, "No", b"<html>", Content_Type="text/html"), 3,
         "the server refused to open a WebSocket: 403 No"),
        (rejected(301, "Moved", Location="/new"), 3,
         "the server refused to open a WebSocket: 301 Moved, it says to go to /new"),
        (anyws.InvalidHandshake("no upgrade"), 3, "no upgrade"),
        (anyws.InvalidURI("no address"), 2, "no address"),
        (anyws.ConnectionClosedError(None, None, CloseCause.CONNECTION_LOST, None), 4,
         "the connection was lost without a close frame: 1006 (abnormal closure): the connection was lost"),
        (anyws.ConnectionClosedError(Close(1011, "x"), None, CloseCause.OVER_LIMIT, None, "too\nmuch"), 4,
         "the peer went over a limit (too much): 1011 (internal error) 'x': the server met"),
        (TimeoutError("late"), 5, "late"),
        (OSError(28, "No space left on device"), 1, "no space left on device"),
        (FileNotFoundError(2, "No such file or directory", "x.pem"), 1, "no such file or directory: x.pem"),
        (RuntimeError("a bug\nin two lines"), 1, "RuntimeError: a bug in two lines"),
        (ssl.SSLError(1, "[SSL: NO_CIPHERS] no"), 1, "TLS failed: "),
    ],
)  # fmt: skip
def test_errors_are_one_line(error, code, text):
    assert exit_code_of(error) == code
    assert describe(error).startswith(text)
    assert "\n" not in describe(error)


def test_exit_codes_are_those_of_the_documentation(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for code in ExitCode:
        assert f"\n  {int(code):<4} " in text


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert re.fullmatch(
        r"anyws \S.*, Python 3\.\S+ on \w+, anyio 4\.\S+, trio .*\n", capsys.readouterr().out
    )
