"""The command line: what was typed, the command that does it, and how it failed."""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import platform
import sys
import traceback
from typing import TYPE_CHECKING

from anyws.cli.bench import add_bench
from anyws.cli.connect import add_connect
from anyws.cli.demo import add_demo
from anyws.cli.echo import add_echo
from anyws.cli.errors import ExitCode, describe, exit_code_of
from anyws.cli.serve import add_serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

_EPILOG = """\
exit codes:
  0    done: the connection was closed in good order, or the server was stopped
  1    failed, such as a server that cannot be reached
  2    the command line or the installation does not allow it
  3    the server refused the WebSocket handshake
  4    the connection ended with an error code, or without a close frame
  5    it took too long
  130  interrupted with Ctrl-C

"anyws COMMAND --help" explains a command.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line without the program's name; ``None`` takes it from ``sys.argv``.

    Returns:
        The exit code: 0 done, 1 failed, 2 the command line or the installation does not allow it;
        ``ExitCode`` has the others.
    """
    _open_closed_streams()
    parser = _parser()
    options = parser.parse_args(arguments)
    _log(options.verbose)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except BrokenPipeError:
        return _output_closed()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in one line
        if options.verbose:
            traceback.print_exception(error)
        print(f"{parser.prog}: {describe(error)}", file=sys.stderr)
        return exit_code_of(error)
    except KeyboardInterrupt:
        # Only before the signals are taken over, or after: nobody is connected then.
        return ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyws",
        description="WebSockets on asyncio, uvloop and trio.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_ShowVersions, nargs=0, help="show what is installed, and end"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_connect(commands)
    add_serve(commands)
    add_echo(commands)
    add_bench(commands)
    add_demo(commands)
    return parser


class _ShowVersions(argparse.Action):
    """Shows what a report of a bug should say."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        found = [f"{name} {_version(name)}" for name in ("anyio", "trio", "uvloop", "rich")]
        system = f"Python {platform.python_version()} on {platform.system()}"
        print(f"{parser.prog} {_version('anyws')}, {system}, {', '.join(found)}")
        parser.exit()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _log(verbose: bool) -> None:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    if verbose:
        logging.getLogger("anyws").setLevel(logging.DEBUG)


def _open_closed_streams() -> None:
    """Write into nothing what the shell has closed, as after ``>&-``; else a socket would take its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays until the process ends


def _output_closed() -> int:
    """End as programs do whose output nobody reads any more."""
    # Python would fail once more when it flushes what is left at its end.
    sys.stdout = sys.stderr
    return ExitCode.FAILED
