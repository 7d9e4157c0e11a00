"""``anyws serve``: serve a handler that stands in a file or a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.cli.options import add_backend, add_listening, new_command
from anyws.cli.running import run
from anyws.cli.serving import serve_until_signal
from anyws.cli.target import load_handler

if TYPE_CHECKING:
    import argparse

    from anyws.cli.options import Commands

__all__ = ["add_serve"]

_DEFAULT_PORT = 8765

_EPILOG = """\
The handler is an async function that takes an anyws.WebSocket:

  async def handler(websocket):
      async for message in websocket:
          await websocket.send(message.upper())

examples:
  anyws serve chat.py:handler
  anyws serve package.module:Application.handler --host 0.0.0.0 --port 80
  anyws serve chat.py --certificate chain.pem --key key.pem --backend trio
"""


def add_serve(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = new_command(
        commands,
        "serve",
        _serve,
        summary="serve a handler of yours",
        description="Serve connections with an async function of yours, until Ctrl-C.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "target",
        metavar="FILE_OR_MODULE:handler",
        help='a Python file or a module, and the function in it (default: "handler")',
    )
    add_backend(parser)
    add_listening(parser, _DEFAULT_PORT)


def _serve(options: argparse.Namespace) -> int:
    handler = load_handler(options.target)
    return run(
        options.backend,
        serve_until_signal,
        handler,
        options.target,
        options,
        _DEFAULT_PORT,
        # The handler may print; a line that changes would be in its way.
        False,
    )
