"""The table of rules: complete, each one breakable, each one told apart."""

import re

import pytest

from anyws.core import rules
from anyws.core.connection import Connection
from anyws.core.deflate import Deflate
from anyws.enums import Role
from anyws.errors import CloseCause, Rule
from anyws.limits import Limits

# The least that breaks each rule, from the peer of a server.
BREACHES = {
    rules.RESERVED_BITS: "90",
    rules.OPCODE_UNKNOWN: "83",
    rules.MASK_MISSING: "8100",
    rules.MASK_UNEXPECTED: "8180",
    rules.LENGTH_NOT_MINIMAL: "82fe 007d",
    rules.LENGTH_TOO_LARGE: "82ff 8000000000000000",
    rules.CONTROL_FRAGMENTED: "09",
    rules.CONTROL_TOO_LONG: "89fe",
    rules.CONTINUATION_WITHOUT_MESSAGE: "00",
    rules.MESSAGE_INTERRUPTED: "0180 00000000 01",
    rules.CLOSE_PAYLOAD_TOO_SHORT: "8881 00000000 03",
    rules.CLOSE_CODE_INVALID: "8882 00000000 03ed",
    rules.TEXT_NOT_UTF8: "0181 00000000 ff",
    rules.COMPRESSED_DATA_INVALID: "c181 00000000 ff",
    rules.MESSAGE_TOO_BIG: "82e5",
    rules.TOO_MANY_FRAGMENTS: "0180 00000000 0080 00000000 0080 00000000",
}


def broken_by(data, role=Role.SERVER):
    _, deflate = Deflate().accept([])
    connection = Connection(role, Limits(message_size=100, fragments=2), deflate)
    connection.inbound.receive_data(bytearray(data), len(data))
    return connection


def test_the_table_holds_every_rule():
    named = {name for name, thing in vars(rules).items() if isinstance(thing, Rule)}
    assert {name for name in rules.__all__ if name.isupper()} == named | {"RULES"}
    assert set(rules.RULES) == {getattr(rules, name) for name in named}
    assert len(rules.RULES) == len(named)


def test_rules_are_told_apart():
    for texts in ({rule.name for rule in rules.RULES}, {rule.text for rule in rules.RULES}):
        assert len(texts) == len(rules.RULES)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.name)
def test_each_rule_names_its_section(rule):
    assert re.fullmatch(r"RFC (6455|7692), section [0-9]+(\.[0-9]+)*", rule.section)
    # It becomes a part of a sentence, and of a close frame that others log.
    assert rule.text.isascii()
    assert not rule.text.endswith(".")


def test_each_rule_can_be_broken():
    assert set(BREACHES) == set(rules.RULES)


@pytest.mark.parametrize(("rule", "data"), BREACHES.items(), ids=[r.name for r in BREACHES])
def test_the_least_that_breaks_it(rule, data):
    role = Role.CLIENT if rule is rules.MASK_UNEXPECTED else Role.SERVER
    data = bytes.fromhex(data)
    connection = broken_by(data, role)
    assert connection.inbound.failure.rule is rule
    connection.reach_end()
    assert connection.sent.code == rule.code
    assert connection.sent.reason == f"{rule.text} ({rule.section})"
    over = rule in (rules.MESSAGE_TOO_BIG, rules.TOO_MANY_FRAGMENTS)
    cause = CloseCause.OVER_LIMIT if over else CloseCause.PROTOCOL_ERROR
    assert connection.closed_error().cause is cause
    assert broken_by(data[:-1], role).inbound.failure is None


@pytest.mark.parametrize(
    ("first", "last", "valid"),
    [
        (0, 999, False), (1000, 1003, True), (1004, 1006, False), (1007, 1014, True),
        (1015, 2999, False), (3000, 4999, True), (5000, 65535, False), (-1, -1, False),
    ],
)  # fmt: skip
def test_close_codes(first, last, valid):
    for code in (first, last):
        assert rules.close_code_is_valid(code) is valid
