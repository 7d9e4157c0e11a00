"""The command ``anyws``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import anyio

from anyws.demo.server import DEFAULT_PORT, run_demo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

#: Each event loop with what to install for it: the module and the extra that brings it.
_BACKENDS: dict[str, tuple[str, str] | None] = {
    "asyncio": None,
    "uvloop": ("uvloop", "speed"),
    "trio": ("trio", "trio"),
}


class _UsageError(Exception):
    """What was asked for cannot be done here; the message says why in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line without the program's name; ``None`` takes it from ``sys.argv``.

    Returns:
        The exit code: 0 done, 1 failed, 2 the command line or the installation does not allow it.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except _UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{parser.prog}: {_describe(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Only before the signals are taken over, or after: nobody is connected then.
        return 0


def _describe(error: OSError) -> str:
    # asyncio wraps the system's words into its own; the number leads back to them.
    reason = error.strerror or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyws", description="WebSockets on asyncio, uvloop and trio.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="serve a page that shows what a connection can do",
        description="Serve one page with a chat, a plot of round-trip times and a file echo.",
        allow_abbrev=False,
    )
    demo.add_argument(
        "--backend",
        choices=tuple(_BACKENDS),
        default="asyncio",
        help="the event loop to run on (default: %(default)s)",
    )
    demo.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    demo.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="the TCP port, 0 for any that is free (default: %(default)s)",
    )
    demo.set_defaults(command=_demo)
    return parser


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port, 0 to 65535")
    return port


def _demo(options: argparse.Namespace) -> int:
    return _run(options.backend, run_demo, options.host, options.port, options.backend)


def _run(backend: str, function: Callable[..., Any], *arguments: Any) -> int:
    """Run an async function that returns an exit code on the event loop that was asked for."""
    needed = _BACKENDS[backend]
    if needed is not None and importlib.util.find_spec(needed[0]) is None:
        module, extra = needed
        raise _UsageError(
            f"--backend {backend} needs {module}, which is not installed: "
            f"pip install 'anyws[{extra}]'"
        )
    name = "trio" if backend == "trio" else "asyncio"
    loop_options = {} if backend == "trio" else {"use_uvloop": backend == "uvloop"}
    code: int = anyio.run(function, *arguments, backend=name, backend_options=loop_options)
    return code
