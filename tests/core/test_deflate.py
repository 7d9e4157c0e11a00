"""Negotiation of permessage-deflate (RFC 7692, sections 5 and 7.1)."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import pytest

from anyws.core.deflate import EXTENSION_NAME, Deflate, DeflateParameters
from anyws.enums import Role
from anyws.errors import InvalidHandshake

SNCT = ("server_no_context_takeover", None)
CNCT = ("client_no_context_takeover", None)


def smwb(value: str | None) -> tuple[str, str | None]:
    return ("server_max_window_bits", value)


def cmwb(value: str | None = None) -> tuple[str, str | None]:
    return ("client_max_window_bits", value)


def agreed(parameters: DeflateParameters) -> tuple[int, int, bool, bool]:
    return (
        parameters.server_max_window_bits,
        parameters.client_max_window_bits,
        parameters.server_context_takeover,
        parameters.client_context_takeover,
    )


BAD = [
    [("x", None)],
    [("Server_no_context_takeover", None)],
    [SNCT, SNCT],
    [CNCT, CNCT],
    [smwb("10"), smwb("10")],
    [cmwb("10"), cmwb("10")],
    [("server_no_context_takeover", "1")],
    [("client_no_context_takeover", "")],
    *([smwb(v)] for v in (None, "", "7", "16", "99", "08", "1 5", " 9", "+9", "9.0", "-9", "٩")),
    *([cmwb(v)] for v in ("", "7", "16", "99", "08", "1 5", " 9", "+9", "9.0", "-9", "٩")),
]


def test_name() -> None:
    assert EXTENSION_NAME == "permessage-deflate"


@pytest.mark.parametrize(
    ("config", "offer"),
    [
        (Deflate(), [smwb("12"), cmwb("12")]),
        (Deflate(server_max_window_bits=15, client_max_window_bits=15), [cmwb()]),
        (Deflate(server_max_window_bits=15, client_max_window_bits=None), []),
        (
            Deflate(server_context_takeover=False, client_context_takeover=False),
            [SNCT, CNCT, smwb("12"), cmwb("12")],
        ),
    ],
)
def test_offer(config: Deflate, offer: list[tuple[str, str | None]]) -> None:
    assert config.offer() == offer


@pytest.mark.parametrize("parameters", BAD)
def test_bad_parameters(parameters: list[tuple[str, str | None]]) -> None:
    assert Deflate().accept(parameters) is None
    with pytest.raises(InvalidHandshake, match="permessage-deflate"):
        Deflate().confirm(parameters)


WIDE = Deflate(server_max_window_bits=15, client_max_window_bits=15)
NO_TAKEOVER = Deflate(server_context_takeover=False, client_context_takeover=False)


@pytest.mark.parametrize(
    ("config", "offer", "answer", "meaning"),
    [
        (Deflate(), [], [], (12, 15, True, True)),
        (Deflate(), [cmwb()], [cmwb("12")], (12, 12, True, True)),
        (Deflate(), [cmwb("15")], [cmwb("12")], (12, 12, True, True)),
        (Deflate(), [cmwb("10")], [cmwb("10")], (12, 10, True, True)),
        (Deflate(), [cmwb("8")], [cmwb("8")], (12, 8, True, True)),
        (WIDE, [cmwb()], [], (15, 15, True, True)),
        (WIDE, [cmwb("9")], [cmwb("9")], (15, 9, True, True)),
        (Deflate(client_max_window_bits=None), [cmwb("9")], [], (12, 15, True, True)),
        (Deflate(), [smwb("15")], [smwb("12")], (12, 15, True, True)),
        (Deflate(), [smwb("9")], [smwb("9")], (9, 15, True, True)),
        (WIDE, [smwb("15")], [smwb("15")], (15, 15, True, True)),
        (Deflate(), [SNCT], [SNCT], (12, 15, False, True)),
        (Deflate(), [CNCT], [CNCT], (12, 15, True, False)),
        # The first is done without telling; the second must be told to be so.
        (NO_TAKEOVER, [], [CNCT], (12, 15, False, False)),
        (
            NO_TAKEOVER,
            [cmwb("15"), smwb("15"), CNCT, SNCT],
            [SNCT, CNCT, smwb("12"), cmwb("12")],
            (12, 12, False, False),
        ),
    ],
)
def test_accept(config: Deflate, offer: Any, answer: Any, meaning: Any) -> None:
    accepted = config.accept(offer)
    assert accepted is not None
    assert accepted[0] == answer
    assert agreed(accepted[1]) == meaning


def test_eight_bits_for_our_messages_are_declined() -> None:
    assert Deflate().accept([smwb("8")]) is None


@pytest.mark.parametrize(
    ("config", "answer", "meaning"),
    [
        (Deflate(), [], (15, 12, True, True)),
        (Deflate(), [smwb("12"), cmwb("12")], (12, 12, True, True)),
        (Deflate(), [smwb("8"), cmwb("8")], (8, 8, True, True)),
        (WIDE, [smwb("15"), cmwb("15")], (15, 15, True, True)),
        # The window that we hinted at is ours to keep to (RFC 7692, section 7.1.2.2).
        (Deflate(), [cmwb("15")], (15, 12, True, True)),
        (WIDE, [smwb("9")], (9, 15, True, True)),
        (Deflate(client_max_window_bits=None), [smwb("12")], (12, 15, True, True)),
        (Deflate(), [SNCT, CNCT], (15, 12, False, False)),
        # What the server owes and leaves out only costs us memory.
        (NO_TAKEOVER, [], (15, 12, True, False)),
    ],
)
def test_confirm(config: Deflate, answer: Any, meaning: Any) -> None:
    assert agreed(config.confirm(answer)) == meaning


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        (Deflate(), [smwb("13")]),
        (Deflate(), [cmwb()]),
        (WIDE, [cmwb()]),
        (Deflate(client_max_window_bits=None), [cmwb("12")]),
    ],
)
def test_confirm_refuses_what_was_not_offered(config: Deflate, answer: Any) -> None:
    with pytest.raises(InvalidHandshake):
        config.confirm(answer)


def configurations() -> list[Deflate]:
    return [
        Deflate(
            server_max_window_bits=server,
            client_max_window_bits=client,
            server_context_takeover=server_takeover,
            client_context_takeover=client_takeover,
        )
        for server, client, server_takeover, client_takeover in itertools.product(
            (9, 12, 15), (9, 12, 15, None), (True, False), (True, False)
        )
    ]


def test_two_of_ours_always_agree() -> None:
    for ours, theirs in itertools.product(configurations(), repeat=2):
        accepted = theirs.accept(ours.offer())
        assert accepted is not None
        answer, server = accepted
        client = ours.confirm(answer)
        # Who reads must allow for at least as much as who writes.
        assert client.server_max_window_bits >= server.server_max_window_bits
        assert server.client_max_window_bits >= client.client_max_window_bits
        assert client.server_context_takeover >= server.server_context_takeover
        assert server.client_context_takeover >= client.client_context_takeover
        for sender, writes, reads in (
            (Role.CLIENT, client, server),
            (Role.SERVER, server, client),
        ):
            receiver = Role.SERVER if sender is Role.CLIENT else Role.CLIENT
            deflater, inflater = writes.deflater(sender), reads.inflater(receiver)
            for message in (b"hello" * 30, bytes(range(256)) * 4, b"hello" * 30):
                packed = deflater.compress(message)
                assert inflater.finish(10_000, packed) == message
                assert not inflater.pending


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"level": -1}, ValueError),
        ({"level": 10}, ValueError),
        ({"level": "6"}, TypeError),
        ({"mem_level": 0}, ValueError),
        ({"mem_level": 10}, ValueError),
        ({"mem_level": None}, TypeError),
        ({"server_max_window_bits": 8}, ValueError),
        ({"server_max_window_bits": 16}, ValueError),
        ({"server_max_window_bits": True}, TypeError),
        ({"server_max_window_bits": None}, TypeError),
        ({"client_max_window_bits": 8}, ValueError),
        ({"client_max_window_bits": 16}, ValueError),
        ({"client_max_window_bits": 12.0}, TypeError),
        ({"server_context_takeover": 1}, TypeError),
        ({"client_context_takeover": None}, TypeError),
        ({"threshold": -1}, ValueError),
        ({"threshold": 1.5}, TypeError),
        ({"implementation": "zip"}, ValueError),
        ({"implementation": None}, TypeError),
    ],
)
def test_values_are_checked(arguments: dict[str, Any], error: type[Exception]) -> None:
    (name,) = arguments
    with pytest.raises(error, match=f"Deflate.{name} must be"):
        Deflate(**arguments)


def test_isal_has_its_own_levels() -> None:
    pytest.importorskip("isal")
    Deflate(implementation="isal", level=3)
    with pytest.raises(ValueError, match="level must be from 0 to 3"):
        Deflate(implementation="isal", level=4)


@pytest.mark.parametrize(("name", "module"), [("zlib-ng", "zlib_ng"), ("isal", "isal")])
def test_missing_twin(monkeypatch: pytest.MonkeyPatch, name: Any, module: str) -> None:
    monkeypatch.delitem(sys.modules, f"{module}.{module}", raising=False)
    monkeypatch.delitem(sys.modules, "isal.isal_zlib", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"anyws\[speed\]"):
        Deflate(implementation=name)


def test_settings_come_along() -> None:
    config = Deflate(threshold=7, level=1)
    parameters = config.confirm([])
    assert parameters.threshold == 7
    assert parameters.settings is config
    assert parameters.deflater(Role.CLIENT).compress(b"x" * 99)
