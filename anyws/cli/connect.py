"""``anyws connect``: talk to a server, by hand or from a script."""

from __future__ import annotations

import math
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio

from anyws.cli.colours import Colours
from anyws.cli.errors import CommandError, ExitCode, UsageError, system_reason
from anyws.cli.history import History, default_path
from anyws.cli.options import (
    add_backend,
    add_connecting,
    client_context,
    count,
    limits,
    new_command,
    seconds,
)
from anyws.cli.running import run
from anyws.cli.script import run_script
from anyws.client import connect

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from anyws.cli.options import Commands
    from anyws.stream.lifetime import ConnectionLifetime
    from anyws.stream.websocket import WebSocket

__all__ = ["add_connect", "open_connection", "prepare"]

_EPILOG = """\
On a terminal, what you type is sent and what comes is shown: JSON indented, binary as hex, close
codes explained. /help says what else can be typed. Otherwise each line of standard input is a
message, and each message is a line of standard output.

examples:
  anyws connect localhost:8765
  anyws connect wss://example.org/feed -H 'Authorization: Bearer ...' --subprotocol v2
  echo hi | anyws connect ws://localhost:8765 --once
  anyws connect ws://localhost:8765 --message '{"op": "subscribe"}' --receive 10 </dev/null
  anyws connect ws://localhost:8765 --binary --once --format raw <picture.png >answer.png
"""


def add_connect(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = new_command(
        commands,
        "connect",
        _connect,
        summary="talk to a server, by hand or from a script",
        description="Connect to a WebSocket server and talk to it.",
        epilog=_EPILOG,
    )
    add_backend(parser)
    add_connecting(parser)
    _add_script(parser)
    group = parser.add_argument_group("on a terminal")
    group.add_argument(
        "--history",
        default=default_path(),
        metavar="FILE",
        help="where to keep what was sent (default: %(default)s); a line that begins with a space "
        "is not kept",
    )
    group.add_argument(
        "--no-history",
        dest="history",
        action="store_const",
        const=None,
        help="keep nothing of what was sent",
    )


def _add_script(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to send")
    group.add_argument(
        "--message",
        action="append",
        default=[],
        metavar="TEXT",
        help="send this first; may be repeated; with --once this is all that is sent",
    )
    group.add_argument(
        "--once",
        action="store_true",
        help="send all of standard input as one message, print one message, and end",
    )
    group.add_argument("--binary", action="store_true", help="send the input as binary, not text")
    group = parser.add_argument_group("what to print, and when to end")
    group.add_argument(
        "--format",
        choices=("lines", "raw", "json"),
        help="a line for each message, binary in hex (lines, the default without a terminal); their "
        "bytes and nothing else (raw); a JSON object a line, with type and data (json)",
    )
    group.add_argument("--receive", type=count, metavar="N", help="end after N messages")
    group.add_argument(
        "--wait",
        type=_seconds_or_inf,
        default=1.0,
        metavar="SECONDS",
        help="after the end of the input, end when nothing has come for so long (default: 1); "
        '"inf" waits until the server closes',
    )
    group.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="give up with exit code 5 when it takes longer than this",
    )


def _seconds_or_inf(text: str) -> float:
    return math.inf if text == "inf" else seconds(text)


def _connect(options: argparse.Namespace) -> int:
    try:
        return run(options.backend, _talk, options)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


async def _talk(options: argparse.Namespace) -> int:
    by_hand = _by_hand(options)
    async with AsyncExitStack() as stack:
        # Who sits at a terminal does not want to wait for a server that does not answer.
        lifetime = prepare(options, close_timeout=2.0 if by_hand else 10.0)
        websocket = await open_connection(stack, lifetime, options)
        if not by_hand:
            return await _run_script(websocket, options)
        from anyws.cli.repl import Repl

        repl = Repl(websocket, History(options.history), Colours())
        return await repl.run(options.uri, options.message)
    raise AssertionError


def _by_hand(options: argparse.Namespace) -> bool:
    if options.once or options.binary or options.format or options.receive or options.timeout:
        return False
    try:
        from anyws.cli.terminal import can_edit
    except ImportError:
        # A system without POSIX terminals: lines are read as they are entered.
        return False
    return can_edit()


def prepare(options: argparse.Namespace, close_timeout: float = 10.0) -> ConnectionLifetime:
    """Return the connection that the command line asks for, which is yet to be opened.

    Raises:
        UsageError: an option is wrong.
    """
    if "://" not in options.uri:
        options.uri = f"ws://{options.uri}"
    try:
        return connect(
            options.uri,
            headers=options.header,
            origin=options.origin,
            subprotocols=options.subprotocol,
            compression=None if options.no_compression else "deflate",
            limits=limits(options),
            open_timeout=options.open_timeout or None,
            close_timeout=close_timeout,
            ssl_context=client_context(options),
            unix_path=options.unix,
            proxy=options.proxy,
        )
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from error


async def open_connection(
    stack: AsyncExitStack, lifetime: ConnectionLifetime, options: argparse.Namespace
) -> WebSocket:
    """Open a connection that ``stack`` closes.

    Raises:
        CommandError: it could not be made, or not in time.
        HandshakeError: the server refused.
    """
    where = options.unix or options.uri
    try:
        return await stack.enter_async_context(lifetime)
    except TimeoutError as error:
        raise CommandError(
            f"no connection to {where} within {options.open_timeout:g} seconds", ExitCode.TIMEOUT
        ) from error
    except (OSError, anyio.BrokenResourceError) as error:
        reason = system_reason(error) if isinstance(error, OSError) else str(error)
        raise CommandError(f"cannot connect to {where}: {reason}") from error


async def _run_script(websocket: WebSocket, options: argparse.Namespace) -> int:
    """Run until it is done, takes too long, or a signal ends it; then the connection can be closed."""
    code: int = ExitCode.DONE

    async def watch(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        nonlocal code
        code = 128 + await anext(aiter(signals))
        scope.cancel()

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(watch, signals, task_group.cancel_scope)
            try:
                with anyio.fail_after(options.timeout):
                    await run_script(websocket, options)
            except TimeoutError as error:
                raise CommandError(
                    f"not done within {options.timeout:g} seconds", ExitCode.TIMEOUT
                ) from error
            task_group.cancel_scope.cancel()
    return code
