"""``anyws demo``: serve a page that shows what a connection can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyws.cli.options import add_backend, new_command, port
from anyws.cli.running import run
from anyws.demo.server import DEFAULT_PORT, run_demo

if TYPE_CHECKING:
    import argparse

    from anyws.cli.options import Commands

__all__ = ["add_demo"]


def add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = new_command(
        commands,
        "demo",
        _demo,
        summary="serve a page that shows what a connection can do",
        description="Serve one page with a chat, a plot of round-trip times and a file echo.",
    )
    add_backend(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=port,
        default=DEFAULT_PORT,
        help="the TCP port, 0 for any that is free (default: %(default)s)",
    )


def _demo(options: argparse.Namespace) -> int:
    return run(options.backend, run_demo, options.host, options.port, options.backend)
