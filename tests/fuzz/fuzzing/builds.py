"""Both builds of the core in one process.

The plain one is imported a second time from the ``.py`` files beside the compiled modules, as the
package ``anyws_plain``: the imports of ``anyws`` are renamed in the syntax tree before it runs.
"""

import ast
import importlib
import importlib.machinery
import importlib.util
import pathlib
import sys
import types

import anyws

PLAIN = "anyws_plain"


class Build:
    """The modules of the core, of one build.

    Args:
        package: ``anyws`` or ``anyws_plain``.
    """

    def __init__(self, package):
        self.package = package
        self.connection = importlib.import_module(f"{package}.core.connection")
        self.deflate = importlib.import_module(f"{package}.core.deflate")
        self.enums = importlib.import_module(f"{package}.enums")
        self.limits = importlib.import_module(f"{package}.limits")
        self.scan = importlib.import_module(f"{package}._wire.scan")
        self.turns = importlib.import_module(f"{package}.core.turns")
        self.compiled = not self.scan.__file__.endswith(".py")
        self.name = "compiled" if self.compiled else "plain"


class _Rename(ast.NodeTransformer):
    def visit_Import(self, node):
        for alias in node.names:
            alias.name = _renamed(alias.name)
        return node

    def visit_ImportFrom(self, node):
        node.module = _renamed(node.module)
        return node


def _renamed(name):
    first, dot, rest = name.partition(".")
    return PLAIN + dot + rest if first == "anyws" else name


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        # No cache: the bytecode beside the file is that of the names as they were.
        tree = ast.parse(self.get_data(self.path), self.path)
        return compile(_Rename().visit(tree), self.path, "exec", dont_inherit=True)


class _Finder:
    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if not fullname.startswith(PLAIN + "."):
            return None
        name = fullname.rpartition(".")[2]
        for folder in map(pathlib.Path, path):
            for file in (folder / name / "__init__.py", folder / f"{name}.py"):
                if file.exists():
                    return importlib.util.spec_from_file_location(
                        fullname, file, loader=_Loader(fullname, str(file))
                    )
        return None


def builds():
    """Return the build that is installed, and the plain one as well if that is another."""
    installed = Build("anyws")
    if not installed.compiled:
        return [installed]
    if PLAIN not in sys.modules:
        # Without the package's own __init__, which would import the streams and servers too.
        root = types.ModuleType(PLAIN)
        root.__path__ = list(anyws.__path__)
        sys.modules[PLAIN] = root
        sys.meta_path.insert(0, _Finder)
    plain = Build(PLAIN)
    assert not plain.compiled
    return [installed, plain]
