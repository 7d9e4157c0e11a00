"""The house rules: who may import whom, no cycles, small files and functions, docs that are true.

The table is the one in docs/design.md.
"""

import ast
import pathlib
import re

import pytest

import anyws

PACKAGE = pathlib.Path(anyws.__file__).parent
DOCS = pathlib.Path(__file__).parent.parent / "docs"

LEAVES = {"enums", "limits", "errors"}
#: What each layer may import of anyws.
LAYERS = {
    "leaf": {"leaf"},
    "_wire": {"_wire"},
    "core": {"leaf", "_wire", "core"},
    "net": {"leaf", "net"},
    "stream": {"leaf", "core", "net", "stream"},
    "top": {"leaf", "core", "net", "stream", "top"},
}
THIRD_PARTY = {
    "leaf": set(),
    "_wire": set(),
    "core": set(),
    "net": {"anyio"},
    "stream": {"anyio"},
    "top": {"anyio"},
}
#: Files that may import more than their layer.
EXTRA = {
    "errors": {"anyio"},
    "core.handshake.http": {"h11"},
    "core.deflate_streams": {"zlib"},
    "net._asyncio": {"asyncio"},
    "net._reading_waiter": {"asyncio"},
    "net._selector": {"asyncio"},
    "net._happy_eyeballs": {"asyncio"},
    "net._trio": {"trio"},
    "proxy": {"python_socks"},
    "cli.bench_live": {"rich"},
}
GUARDED = {
    "anyio",
    "asyncio",
    "trio",
    "uvloop",
    "h11",
    "httptools",
    "zlib",
    "zlib_ng",
    "isal",
    "rich",
    "python_socks",
}
FORBIDDEN_IN_CORE = {"logging", "time", "socket", "select", "threading"}
#: Imports inside functions: the choice of a backend, and optional dependencies.
LATE = {
    "net.network": {"anyws.net._trio", "anyws.net._asyncio"},
    "client": {"anyws.proxy"},
    "proxy": {"python_socks", "python_socks.async_.anyio.v2"},
    "cli.bench": {"resource"},
    "cli.bench_report": {"anyws.cli.bench_live"},
    "cli.connect": {"anyws.cli.repl", "anyws.cli.terminal"},
    "cli.colours": {"rich", "rich.console", "rich.highlighter", "rich.text"},
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        yield ".".join(parts), path, ast.parse(path.read_text(encoding="utf-8"))


MODULES = list(modules())
IDS = [name or "anyws" for name, _, _ in MODULES]


def layer(name):
    first = name.split(".")[0]
    if name in LEAVES:
        return "leaf"
    return first if first in LAYERS else "top"


def imports(tree, *, top_level_only):
    """Give the modules that are imported at run time, those for type checkers left out."""
    typing_only = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing_only.update(id(child) for item in node.body for child in ast.walk(item))
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            for alias in node.names:
                if f"{node.module}.{alias.name}".removeprefix("anyws.") in IDS:
                    yield f"{node.module}.{alias.name}"


@pytest.mark.parametrize(("name", "path", "tree"), MODULES, ids=IDS)
def test_layers(name, path, tree):
    own = layer(name)
    for module in imports(tree, top_level_only=False):
        if module.split(".")[0] == "anyws":
            target = module.removeprefix("anyws").removeprefix(".")
            if target and target not in IDS:
                continue
            assert layer(target) in LAYERS[own] or not target, f"{name} imports {module}"
        root = module.split(".")[0]
        if root in GUARDED:
            allowed = THIRD_PARTY[own] | EXTRA.get(name, set()) | LATE.get(name, set())
            assert root in allowed, f"{name} imports {module}"
        if own == "core":
            assert root not in FORBIDDEN_IN_CORE, f"{name} imports {module}"


@pytest.mark.parametrize(("name", "path", "tree"), MODULES, ids=IDS)
def test_imports_stand_at_the_top(name, path, tree):
    top = set(imports(tree, top_level_only=True))
    late = {module for module in imports(tree, top_level_only=False) if module not in top}
    late = {module for module in late if module.rpartition(".")[0] not in LATE.get(name, set())}
    assert late <= LATE.get(name, set())


def test_no_cycles():
    graph = {}
    for name, _, tree in MODULES:
        found = imports(tree, top_level_only=True)
        targets = {module.removeprefix("anyws.") for module in found if module.startswith("anyws.")}
        graph[name] = {target for target in targets if target in IDS and target != name}
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for target in sorted(graph.get(name, ())):
            visit(target)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


@pytest.mark.parametrize(("name", "path", "tree"), MODULES, ids=IDS)
def test_sizes(name, path, tree):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                length = body[-1].end_lineno - body[0].lineno + 1
                assert length <= 60, f"{name}: {node.name} has {length} lines"


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")
def test_way_of_a_frame_names_what_exists():
    text = (DOCS / "way-of-a-frame.md").read_text(encoding="utf-8")
    names = re.findall(r"`(anyws[\w.]*):([\w.]+)`", text)
    assert len(names) > 15
    trees = {name: tree for name, _, tree in MODULES}
    for module, qualified in names:
        # In the source, since a compiled module does not show its private methods.
        found = trees[module.removeprefix("anyws.")].body
        for part in qualified.split("."):
            node = next((node for node in found if part in _names(node)), None)
            assert node is not None, f"{module}:{qualified}"
            found = getattr(node, "body", [])


def _names(node):
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    return [getattr(node, "name", None)]
