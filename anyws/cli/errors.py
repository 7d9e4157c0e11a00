"""How a command fails: in one readable line, with an exit code that scripts can tell apart."""

from __future__ import annotations

import enum
import os
import ssl

import anyio

from anyws.cli.close_codes import close_line
from anyws.cli.printing import visible
from anyws.errors import ConnectionClosed, HandshakeError, InvalidURI, RejectedHandshake

__all__ = ["CommandError", "ExitCode", "UsageError", "describe", "exit_code_of", "system_reason"]


#: Characters of a refusal's text that are shown.
_LONGEST_BODY = 300


class ExitCode(enum.IntEnum):
    """What the command returns to the shell; the documentation has the same table."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    CLOSED = 4
    TIMEOUT = 5
    INTERRUPTED = 130


class CommandError(Exception):
    """The command failed; the message says why in one line.

    Args:
        message: the line.
        code: what to return to the shell.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


class UsageError(CommandError):
    """What was asked for cannot be done here: the command line or the installation is at fault."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.USAGE)


def exit_code_of(error: Exception) -> ExitCode:
    """Return what to tell the shell of ``error``."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, InvalidURI):
        return ExitCode.USAGE
    if isinstance(error, HandshakeError):
        return ExitCode.REFUSED
    if isinstance(error, ConnectionClosed):
        return ExitCode.CLOSED
    if isinstance(error, TimeoutError):
        return ExitCode.TIMEOUT
    return ExitCode.FAILED


def describe(error: Exception) -> str:
    """Return what happened as one line without a full stop."""
    if isinstance(error, ssl.SSLError):
        return _describe_tls(error)
    if isinstance(error, OSError):
        return _describe_system(error)
    if isinstance(error, RejectedHandshake):
        return _describe_rejection(error)
    if isinstance(error, ConnectionClosed):
        detail = f" ({_one_line(error.detail)})" if error.detail else ""
        return f"{error.cause.value}{detail}: {close_line(error.code, error.reason)}"
    if isinstance(error, (CommandError, HandshakeError, ValueError, anyio.BrokenResourceError)):
        return _one_line(str(error)) or type(error).__name__
    return f"{type(error).__name__}: {_one_line(str(error))}"


def _describe_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted: {error.verify_message} "
            "(--ca FILE trusts its authority, --insecure trusts anybody)"
        )
    reason = getattr(error, "reason", None)  # what Python makes has none
    if reason == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS on this port; is it ws:// instead of wss://?"
    return f"TLS failed: {(reason or str(error)).replace('_', ' ').lower()}"


def _describe_rejection(error: RejectedHandshake) -> str:
    text = f"the server refused to open a WebSocket: {error.status} {error.reason}".rstrip()
    headers = {name.lower(): value for name, value in error.headers}
    if 300 <= error.status < 400 and "location" in headers:
        text += f", it says to go to {headers['location']}"
    elif headers.get("content-type", "").startswith("text/plain"):
        body = _one_line(error.body.decode("utf-8", "replace"))
        text += f": {body[:_LONGEST_BODY]}" if body else ""
    return visible(text)


def _describe_system(error: OSError) -> str:
    text = _one_line(error.strerror or str(error) or type(error).__name__)
    name = f": {error.filename}" if isinstance(error.filename, str) else ""
    return text[:1].lower() + text[1:] + name


def system_reason(error: OSError) -> str:
    """Return the system's own words for what a loop raised, which wraps them in others."""
    if isinstance(error, ssl.SSLError):
        return _describe_tls(error)
    # A resolver's numbers are negative, and its words its own.
    if error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return _describe_system(error)


def _one_line(text: str) -> str:
    return " ".join(text.split())
