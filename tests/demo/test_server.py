"""What the demo says of its address and of its end; the demo itself runs in test_cli.py."""

import errno
import socket

import pytest

from anyws.demo.server import _count, _reason, _url


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80/"), ("::1", "http://[::1]:80/"), ("h", "http://h:80/")],
)
def test_the_address_can_be_clicked(host, url):
    assert _url(host, 80) == url


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 connections"), (1, "1 connection"), (2, "2 connections")]
)
def test_counts(count, text):
    assert _count(count) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        # asyncio's sentence, of which the system's words are what matters.
        (OSError(errno.EADDRINUSE, "error while attempting to bind on address ..."),
         "Address already in use"),
        # A resolver's numbers are not the system's.
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError("no number"), "no number"),
    ],
)  # fmt: skip
def test_reasons(error, text):
    assert _reason(error) == text
