"""Sphinx configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import anyws
import anyws.testing

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "anyws"
author = "the anyws contributors"
copyright = "2026, the anyws contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "anyws"
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

add_module_names = False
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_attr_annotations = False
napoleon_use_ivar = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 80

#: Packages whose pages are elsewhere; a name from them is shown without a link, so that the
#: documentation builds without a network.
_FOREIGN = (
    "anyio",
    "asyncio",
    "collections",
    "enum",
    "os",
    "re",
    "socket",
    "ssl",
    "types",
    "typing",
)
#: Names that annotations give without their module.
_FOREIGN_NAMES = frozenset({"ByteStream", "PathLike", "TaskStatus"})
#: Types that are described on the page of types, though nobody imports them.
_DESCRIBED = {
    "ConnectionLifetime": "anyws.stream.lifetime.ConnectionLifetime",
    **{
        name: f"anyws.{name}"
        for name in (
            "Fault", "Handler", "HeadersLike", "Maker", "ProcessRequest", "Readers",
            "SelectSubprotocol", "Source",
        )
    },
}  # fmt: skip
_BUILTIN = frozenset(dir(__builtins__) if not isinstance(__builtins__, dict) else __builtins__)


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Node | None:
    """Find a name by its public place when the source names the module that defines it."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    name = target.rpartition(".")[2]
    place = _DESCRIBED.get(name)
    for module in (anyws, anyws.testing):
        if name in module.__all__:
            place = f"{module.__name__}.{name}"
    if place is not None and (target == name or target.startswith("anyws.")):
        python = env.domains.python_domain
        document = node["refdoc"]
        return python.resolve_xref(env, document, app.builder, "obj", place, node, contnode)
    if target in _BUILTIN | _FOREIGN_NAMES or target.split(".")[0] in _FOREIGN:
        return contnode
    return None


def _improve_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Let the eye find what happens when a call is cancelled, and link the names of others."""
    for number, line in enumerate(lines):
        text = re.sub(r"^If cancelled[^:]*:", r"**\g<0>**", line)
        lines[number] = re.sub(r"``((\w+)(?:\.\w+)*)(?:\(\))?``", _link, text)


def _link(match: re.Match[str]) -> str:
    name, first = match.groups()
    if first in anyws.__all__ or first in anyws.testing.__all__ or first in _DESCRIBED:
        # The fields of these are arguments of their class, which have no place of their own.
        target = first if first in {"Limits", "Deflate"} else name
        return f":py:obj:`{name} <{target}>`"
    return match[0]


def _improve_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str, returns: str
) -> tuple[str, str] | None:
    """Say that what a plain function returns is awaited; it is not said by an ``async`` then."""
    match = re.fullmatch(r"Coroutine\[Any, Any, (.+)\]", returns or "")
    return (arguments, f"Awaitable[{match[1]}]") if match else None


def setup(app: Sphinx) -> None:
    """Say when Sphinx is to call the functions above."""
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-signature", _improve_signature)
    app.connect("autodoc-process-docstring", _improve_docstring)
