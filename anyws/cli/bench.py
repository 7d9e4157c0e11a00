"""``anyws bench``: how many messages a server that echoes sends back, and how soon."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio

from anyws.cli.bench_report import Progress, print_json, print_report, show_progress
from anyws.cli.connect import open_connection, prepare
from anyws.cli.errors import CommandError, ExitCode
from anyws.cli.load import Load, payload
from anyws.cli.options import add_backend, add_connecting, count, new_command, seconds, size
from anyws.cli.running import run

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator
    from contextlib import AsyncExitStack

    from anyws.cli.options import Commands
    from anyws.stream.websocket import WebSocket

__all__ = ["add_bench"]

_EPILOG = """\
Each connection keeps so many messages in flight, and sends another when one has come back. The
times are those between sending a message and its return; a server that stands still is sent
nothing meanwhile, so they say nothing of what would have come in then.

examples:
  anyws bench localhost:8765
  anyws bench localhost:8765 --connections 100 --in-flight 8 --size 16k --seconds 10
  anyws bench wss://localhost:8765 --insecure --backend uvloop --json >result.json
"""


def add_bench(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = new_command(
        commands,
        "bench",
        _bench,
        summary="measure a server that echoes",
        description="Measure how many messages a server that echoes sends back, and how soon.",
        epilog=_EPILOG,
    )
    add_backend(parser)
    group = parser.add_argument_group("the load")
    group.add_argument(
        "--connections", type=count, default=10, metavar="N", help="(default: %(default)s)"
    )
    group.add_argument(
        "--in-flight",
        type=count,
        default=1,
        metavar="N",
        help="messages under way on each connection (default: %(default)s)",
    )
    group.add_argument(
        "--size",
        type=size,
        default=125,
        metavar="BYTES",
        help="of a message, such as 125 or 16k (default: %(default)s)",
    )
    group.add_argument(
        "--seconds", type=seconds, default=5.0, metavar="S", help="(default: %(default)g)"
    )
    group.add_argument("--text", action="store_true", help="send text; binary is the default")
    parser.add_argument(
        "--json", action="store_true", help="print the result as a JSON object instead"
    )
    add_connecting(parser)


def _bench(options: argparse.Namespace) -> int:
    _allow_files(options.connections + 64)
    options.max_size = max(options.max_size or 2**20, options.size, 1)
    try:
        return run(options.backend, _measure, options)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


async def _measure(options: argparse.Namespace) -> int:
    async def open_one(stack: AsyncExitStack) -> WebSocket:
        return await open_connection(stack, prepare(options), options)

    load = Load(
        open_one, options.connections, options.in_flight, payload(options.size, options.text)
    )
    interrupted = anyio.Event()
    progress = Progress(load, options)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(_watch, signals, interrupted, task_group.cancel_scope)
            if sys.stderr.isatty():
                task_group.start_soon(partial(show_progress, progress))
            await load.run(options.seconds, interrupted)
            task_group.cancel_scope.cancel()
    loss = load.loss()
    if not (load.histogram.count or loss or interrupted.is_set()):
        raise CommandError(
            f"no answer came within {options.seconds:g} seconds; bench needs a server that "
            "echoes, such as anyws echo",
            ExitCode.TIMEOUT,
        )
    (print_json if options.json else print_report)(load, options)
    if loss is not None:
        print(f"anyws: {loss}", file=sys.stderr)
        return ExitCode.CLOSED
    return ExitCode.INTERRUPTED if interrupted.is_set() else ExitCode.DONE


async def _watch(
    signals: AsyncIterator[signal.Signals], interrupted: anyio.Event, scope: anyio.CancelScope
) -> None:
    """The first signal ends the measurement early, the second does not wait for what is under way."""
    await anext(aiter(signals))
    interrupted.set()
    await anext(aiter(signals))
    scope.cancel()


def _allow_files(needed: int) -> None:
    """Let this process have so many files open, as far as the system lets it."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < needed:
            most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
