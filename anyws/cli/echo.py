"""``anyws echo``: send every message back, to have a server to try a client on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.cli.options import add_backend, add_listening, new_command
from anyws.cli.running import run
from anyws.cli.serving import serve_until_signal

if TYPE_CHECKING:
    import argparse

    from anyws.cli.options import Commands
    from anyws.stream.websocket import WebSocket

__all__ = ["add_echo"]

_DEFAULT_PORT = 8765

_EPILOG = """\
examples:
  anyws echo
  anyws echo --port 0 --backend trio
  anyws echo --unix /tmp/echo.sock
"""


def add_echo(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = new_command(
        commands,
        "echo",
        _echo,
        summary="serve connections whose messages all come back",
        description="Send every message back to who sent it, until Ctrl-C.",
        epilog=_EPILOG,
    )
    add_backend(parser)
    add_listening(parser, _DEFAULT_PORT)


def _echo(options: argparse.Namespace) -> int:
    return run(
        options.backend, serve_until_signal, echo, "anyws echo", options, _DEFAULT_PORT, True
    )


async def echo(websocket: WebSocket) -> None:
    """Send every message back."""
    async for message in websocket:
        await websocket.send(message)
