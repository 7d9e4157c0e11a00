"""Running a command's async function on the event loop that was asked for."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import anyio

from anyws.cli.errors import UsageError

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
        Exception: what the function raises; the first, if a task group raised several.
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
        error = _first(group)
    # Out here nothing is added to what it says of itself.
    raise error


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
