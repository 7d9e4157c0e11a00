"""Which errors of ``accept`` a server survives, and how soon it goes on."""

import errno
import logging

import pytest

from anyws.net.accept_errors import seconds_to_wait


@pytest.mark.parametrize(
    "name", ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EPERM", "ENOSPC", "EFAULT"]
)
def test_what_may_pass(name, caplog):
    assert seconds_to_wait(OSError(getattr(errno, name), "for now")) == 0.1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "for now" in caplog.text


@pytest.mark.parametrize(
    "name", ["ECONNABORTED", "ECONNRESET", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EPROTO"]
)
def test_a_connection_that_failed(name, caplog):
    """It is gone, so that nothing is gained by waiting; a peer could stop a server that did."""
    assert seconds_to_wait(OSError(getattr(errno, name), "gone")) == 0
    assert caplog.records == []


@pytest.mark.parametrize("name", ["EBADF", "EINVAL", "ENOTSOCK"])
def test_no_listening_socket(name):
    error = OSError(getattr(errno, name), "not listening")
    with pytest.raises(OSError) as caught:
        seconds_to_wait(error)
    assert caught.value is error
