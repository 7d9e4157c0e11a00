"""Running a command's async function on the event loop that was asked for."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import anyio

from anyws.cli.errors import UsageError
from anyws.stream.lifetime import sole_exception

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["BACKENDS", "run"]

#: Each event loop with what to install for it: the module and the extra that brings it.
BACKENDS: dict[str, tuple[str, str] | None] = {
    "asyncio": None,
    "uvloop": ("uvloop", "speed"),
    "trio": ("trio", "trio"),
}


def run(backend: str, function: Callable[..., Awaitable[int]], *arguments: Any) -> int:
    """Run an async function that returns an exit code.

    Args:
        backend: a name in ``BACKENDS``.
        function: what to run, with ``arguments``.

    Raises:
        UsageError: that event loop is not installed.
        Exception: what the function raises; out of a task group when it is alone in there.
    """
    needed = BACKENDS[backend]
    if needed is not None and importlib.util.find_spec(needed[0]) is None:
        module, extra = needed
        raise UsageError(
            f"--backend {backend} needs {module}, which is not installed: "
            f"pip install 'anyws[{extra}]'"
        )
    name = "trio" if backend == "trio" else "asyncio"
    loop_options = {} if backend == "trio" else {"use_uvloop": backend == "uvloop"}
    try:
        return anyio.run(function, *arguments, backend=name, backend_options=loop_options)
    except BaseExceptionGroup as group:
        error = sole_exception(group)
        if error is group:
            raise
        raise error from None
