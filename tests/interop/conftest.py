"""Peers to talk to: servers that echo, in threads or in tasks, and the limits for large messages."""

import pytest

import anyws

LIMITS = anyws.Limits(message_size=2**25)
MESSAGES = ["", b"", "text", b"binary", "\U0001f40d" * 300, bytes(range(256)) * 2**12]


@pytest.fixture
def messages():
    return MESSAGES


@pytest.fixture
def limits():
    return LIMITS
