"""The protocol's numbers, as they are registered (RFC 6455, sections 5.2, 7.4.1 and 11.7)."""

import pytest

import anyws
from anyws import enums
from anyws.enums import CloseCode, DataType, Opcode, Role, State


def test_opcodes():
    assert {member.name: member.value for member in Opcode} == {
        "CONTINUATION": 0x0, "TEXT": 0x1, "BINARY": 0x2, "CLOSE": 0x8, "PING": 0x9, "PONG": 0xA,
    }  # fmt: skip


def test_the_highest_bit_of_an_opcode_marks_a_control_frame():
    control = [opcode for opcode in Opcode if opcode & 0x8]
    assert control == [Opcode.CLOSE, Opcode.PING, Opcode.PONG]
    assert min(control) > max(set(Opcode) - set(control))


def test_a_message_is_of_the_type_of_its_first_frame():
    assert {kind.name: kind.value for kind in DataType} == {"TEXT": 1, "BINARY": 2}
    for kind in DataType:
        assert Opcode(kind) == Opcode[kind.name] == kind


def test_close_codes():
    assert {code.value: code.name for code in CloseCode} == {
        1000: "NORMAL_CLOSURE",
        1001: "GOING_AWAY",
        1002: "PROTOCOL_ERROR",
        1003: "UNSUPPORTED_DATA",
        1005: "NO_STATUS_RECEIVED",
        1006: "ABNORMAL_CLOSURE",
        1007: "INVALID_PAYLOAD_DATA",
        1008: "POLICY_VIOLATION",
        1009: "MESSAGE_TOO_BIG",
        1010: "MANDATORY_EXTENSION",
        1011: "INTERNAL_ERROR",
        1012: "SERVICE_RESTART",
        1013: "TRY_AGAIN_LATER",
        1014: "BAD_GATEWAY",
        1015: "TLS_HANDSHAKE",
    }


@pytest.mark.parametrize("code", [1004, 999, 1016, 3000, 4000])
def test_the_other_codes_have_no_name(code):
    with pytest.raises(ValueError, match=str(code)):
        CloseCode(code)


def test_codes_and_opcodes_are_numbers():
    assert f"{CloseCode.GOING_AWAY} {Opcode.PING}" == "1001 9"
    assert CloseCode.GOING_AWAY.to_bytes(2, "big") == b"\x03\xe9"
    assert {1001: "x"}[CloseCode.GOING_AWAY] == "x"


def test_roles_and_states_are_no_numbers():
    assert [role.value for role in Role] == ["client", "server"]
    assert [state.value for state in State] == ["open", "closing", "closed"]
    assert not any(isinstance(member, int) for member in (*Role, *State))


def test_the_public_names_are_the_same_ones():
    public = set(enums.__all__) & set(anyws.__all__)
    assert {"CloseCode", "DataType"} <= public
    for name in public:
        assert getattr(anyws, name) is getattr(enums, name)
