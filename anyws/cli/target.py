"""Finding the handler that ``FILE_OR_MODULE:handler`` names."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any

from anyws.cli.errors import CommandError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from anyws.stream.websocket import WebSocket

__all__ = ["load_handler"]

_DEFAULT_NAME = "handler"


def load_handler(target: str) -> Callable[[WebSocket], Awaitable[Any]]:
    """Import what ``target`` names and return the handler in it.

    Args:
        target: a path that ends in ``.py`` or a module's name, then perhaps ``:`` and a name in it.

    Raises:
        UsageError: there is no such thing, or it cannot serve a connection.
        CommandError: the file or module fails while it is imported.
    """
    place, name = _split(target)
    module = _load_file(place) if place.endswith(".py") else _load_module(place)
    handler: Any = module
    for part in name.split("."):
        try:
            handler = getattr(handler, part)
        except AttributeError:
            raise UsageError(f"{place} has no {name!r}{_suggestion(module)}") from None
    problem = _unsuitable(handler)
    if problem is not None:
        raise UsageError(f"{place}:{name} {problem}")
    found: Callable[[WebSocket], Awaitable[Any]] = handler
    return found


def _split(target: str) -> tuple[str, str]:
    # A drive of Windows has a colon as well.
    place, colon, name = target.rpartition(":")
    if colon and not target.endswith(".py"):
        if not place or not name:
            raise UsageError(f"{target!r} is not FILE_OR_MODULE:handler")
        return place, name
    return target, _DEFAULT_NAME


def _load_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise UsageError(f"there is no file {path}")
    name = os.path.splitext(os.path.basename(path))[0]
    # What lies beside it can be imported, as when Python runs the file.
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    if name in sys.modules:
        name = f"__served_{name}__"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _failed(path, error) from error
    return module


def _load_module(name: str) -> ModuleType:
    # As "python -m" does; the command's own folder stands there otherwise.
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            hint = f"; is it {name}.py?" if os.path.isfile(f"{name}.py") else ""
            raise UsageError(f"there is no module {name}{hint}") from error
        raise _failed(name, error) from error
    except Exception as error:
        raise _failed(name, error) from error


def _failed(place: str, error: Exception) -> CommandError:
    kind = type(error).__name__
    text = " ".join(str(error).split())
    return CommandError(f"{place} cannot be imported: {kind}: {text} (--verbose shows where)")


def _suggestion(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if inspect.iscoroutinefunction(value) and value.__module__ == module.__name__
    ]
    return f"; its async functions are {', '.join(names)}" if names else ""


def _unsuitable(handler: Any) -> str | None:
    """Return why this cannot serve a connection, or ``None`` when it may."""
    if inspect.isclass(handler) or not callable(handler):
        return f"is no function, but {handler!r}"
    if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
        return "is a generator (it has a yield); a handler is an async function"
    try:
        inspect.signature(handler).bind(None)
    except TypeError:
        return "does not take one argument, the connection"
    except ValueError:
        pass  # built in; it will tell by itself
    return None
