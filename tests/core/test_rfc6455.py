"""What we send, byte by byte, named by the section of RFC 6455 that demands it."""

import subprocess
import sys
from itertools import pairwise

import pytest

from anyws.core import rules
from anyws.core.connection import Connection
from anyws.enums import Opcode, Role
from anyws.errors import Close
from anyws.limits import Limits


def client():
    return Connection(Role.CLIENT, Limits())


def server():
    return Connection(Role.SERVER, Limits())


def unmasked(frame):
    """The payload of a masked frame with a short length."""
    assert frame[1] & 0x80
    key = frame[2:6]
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(frame[6:]))


def receive(connection, data):
    connection.inbound.hungry = True
    buffer = bytearray(data)
    connection.inbound.receive_data(buffer, len(buffer))
    return connection.inbound


def frames_of(connection):
    outbound = connection.outbound
    return [
        *outbound.message(Opcode.TEXT, b"text", None),
        *outbound.message(Opcode.BINARY, b"", None),
        *outbound.fragment(Opcode.BINARY, b"a", final=False),
        *outbound.fragment(Opcode.CONTINUATION, b"b", final=True),
        outbound.control(Opcode.PING, b"ping"),
        outbound.control(Opcode.PONG, b""),
        connection.send_close(1000),
    ]


def test_5_1_a_client_masks_every_frame():
    assert all(frame[1] & 0x80 for frame in frames_of(client()))


def test_5_1_a_server_masks_none():
    assert [frame.hex() for frame in frames_of(server())] == [
        "810474657874", "8200", "020161", "800162", "890470696e67", "8a00", "880203e8",
    ]  # fmt: skip


def test_5_1_a_masked_frame_of_a_server_ends_the_connection():
    inbound = receive(client(), bytes.fromhex("81016181 82 01020304 6062"))
    assert inbound.messages == ["a"]
    assert inbound.failure.rule is rules.MASK_UNEXPECTED


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8200"), (125, "827d"), (126, "827e007e"), (65535, "827effff"),
        (65536, "827f0000000000010000"), (2**20, "827f0000000000100000"),
    ],
)  # fmt: skip
def test_5_2_a_length_takes_the_shortest_form(length, header):
    payload = bytes(length)
    data = b"".join(server().outbound.message(Opcode.BINARY, payload, None))
    assert data == bytes.fromhex(header) + payload
    first, second, *rest = bytes.fromhex(header)
    data = b"".join(client().outbound.message(Opcode.BINARY, payload, None))
    assert data.startswith(bytes((first, second | 0x80, *rest)))
    assert len(data) == len(bytes.fromhex(header)) + 4 + length


def test_5_3_each_frame_has_a_key_of_its_own():
    outbound = client().outbound
    frames = [outbound.control(Opcode.PING, b"payload") for _ in range(3000)]
    assert {unmasked(frame) for frame in frames} == {b"payload"}
    keys = [frame[2:6] for frame in frames]
    assert len(set(keys)) >= 2999
    # Neither a counter nor one key shifted.
    steps = {(int.from_bytes(b) - int.from_bytes(a)) % 2**32 for a, b in pairwise(keys)}
    assert len(steps) >= 2990


def test_5_3_a_forked_process_has_other_keys():
    script = """if True:
        import os
        from anyws.core.outbound import Outbound
        outbound = Outbound(masked=True)
        outbound.control(9, b"")
        read, write = os.pipe()
        if not os.fork():
            os.write(write, outbound.control(9, b""))
            os._exit(0)
        os.wait()
        assert os.read(read, 6)[2:] != outbound.control(9, b"")[2:]
    """
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_5_4_a_message_in_fragments():
    outbound = server().outbound
    frames = [
        *outbound.fragment(Opcode.TEXT, b"one", final=False),
        *outbound.fragment(Opcode.CONTINUATION, b"two", final=False),
        *outbound.fragment(Opcode.CONTINUATION, b"", final=True),
    ]
    assert [frame.hex() for frame in frames] == ["01036f6e65", "000374776f", "8000"]


@pytest.mark.parametrize("first", [0x09, 0x0A, 0x08])
def test_5_5_a_control_frame_is_never_fragmented(first):
    inbound = receive(server(), bytes((first, 0x80, 1, 2, 3, 4)))
    assert inbound.failure.rule is rules.CONTROL_FRAGMENTED


@pytest.mark.parametrize("first", [0x89, 0x8A, 0x88])
def test_5_5_a_control_frame_has_at_most_125_bytes(first):
    inbound = receive(server(), bytes((first, 0xFE, 0, 126, 1, 2, 3, 4)))
    assert inbound.failure.rule is rules.CONTROL_TOO_LONG


@pytest.mark.parametrize(
    ("sent", "answer"),
    [("8880 00000000", "8800"), ("8882 00000000 03E9", "880203e9"),
     ("8885 00000000 0BB8627965", "88020bb8")],
)  # fmt: skip
def test_5_5_1_a_close_frame_is_answered_with_its_code(sent, answer):
    connection = server()
    receive(connection, bytes.fromhex(sent))
    assert connection.reach_end().hex() == answer
    # Once only.
    assert connection.reach_end() == b""


def test_5_5_1_an_answer_to_our_close_frame_is_not_answered():
    connection = client()
    assert unmasked(connection.send_close(1001, "bye")) == b"\x03\xe9bye"
    receive(connection, bytes.fromhex("880203E9"))
    assert connection.reach_end() == b""
    assert connection.received == Close(1001)


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65535])
def test_7_4_codes_that_are_never_sent(code):
    connection = server()
    with pytest.raises(ValueError, match="may not be sent"):
        connection.send_close(code)
    assert connection.sent is None


def test_7_4_1_no_code_is_an_empty_close_frame():
    assert server().send_close(1005).hex() == "8800"


def test_7_1_7_nothing_is_read_after_a_violation():
    """Not even a close frame that answers ours."""
    connection = server()
    inbound = receive(connection, bytes.fromhex("8180 01020304 8380 01020304 8880 01020304"))
    assert inbound.messages == [""]
    assert inbound.close is None
    assert connection.reach_end()[:4].hex()[4:] == "03ea"
    receive(connection, bytes.fromhex("8880 01020304"))
    assert (inbound.close, connection.received) == (None, None)
