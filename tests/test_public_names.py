"""The public surface is the one that docs/reference/names.txt lists; what changes is in the changelog."""

import enum
import hashlib
import inspect
import pathlib
import re

import pytest

import anyws
import anyws.testing

ROOT = pathlib.Path(__file__).parent.parent
LIST = ROOT / "docs" / "reference" / "names.txt"
#: Methods that other parts of a connection call; they are not described in the reference.
INTERNAL = {
    "Server": {"run"},
    "WebSocket": {"close_for", "make_room", "drop", "tick"},
    "WebSocketWriter": {
        "abandon_message", "begin_message", "checkpoint_if_due", "end_message", "finish_message",
        "finish_send", "send_fragment",
    },
    "Deflate": {"offer", "confirm", "accept"},
    "FragmentContext": {"left"},
    "Request": {"serialize"},
    "Response": {"serialize"},
    "Headers": {"serialize"},
}  # fmt: skip
#: Classes that users make themselves.
CONSTRUCTED = {
    "Buffer", "Deflate", "FaultyStream", "Headers", "Limits", "RawPeer", "Request", "Response",
    "WebSocketPair",
}  # fmt: skip
#: What ``CHANGELOG.md`` calls the first version; see ``test_the_first_version_is_not_rewritten``.
FIRST = "2f21912b089574a6"


def listed():
    """Return the names of each section of the list."""
    sections = {}
    for line in LIST.read_text("utf-8").splitlines():
        if line.endswith(":"):
            names = sections[line[:-1]] = []
        elif line.strip() and not line.startswith("#"):
            names.append(line)
    return sections


def describe(name, thing):
    """Return a name, with its parameters when it is called."""
    if not callable(thing) or isinstance(thing, enum.Enum):
        return name
    parameters = []
    keywords = False
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            keywords = True
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            keywords = True
            parameters.append("*")
        prefix = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        if parameter.name != "self":
            parameters.append(prefix.get(parameter.kind, "") + parameter.name)
    return f"{name}({', '.join(parameters)})"


def members(thing):
    """Give the public attributes of a class, those of its instances included."""
    for kind in thing.__mro__:
        if not kind.__module__.startswith("anyws"):
            continue
        yield from (name for name in vars(kind) if not name.startswith("_"))
        section = re.search(
            r"Attributes:\n((?:\s{4,}.*\n?)+)", inspect.cleandoc(kind.__doc__ or "")
        )
        yield from re.findall(r"^    (\w+):", section[1], re.MULTILINE) if section else ()


def actual():
    """Return the public names as they are."""
    names = set()
    for module in (anyws, anyws.testing):
        for name in module.__all__:
            thing = getattr(module, name)
            qualified = f"{module.__name__}.{name}"
            if not inspect.isclass(thing):
                names.add(describe(qualified, thing))
                continue
            names.add(describe(qualified, thing) if name in CONSTRUCTED else qualified)
            for member in {*members(thing)} - INTERNAL.get(name, set()):
                names.add(describe(f"{qualified}.{member}", getattr(thing, member, None)))
    return names


def test_the_list_is_complete():
    sections = listed()
    names = [*sections["first version"], *sections["added"]]
    assert len(set(names)) == len(names)
    expected = set(names) - set(sections["removed"])
    found = actual()
    assert sorted(found - expected) == [], "add these to docs/reference/names.txt, under added"
    assert sorted(expected - found) == [], "add these to docs/reference/names.txt, under removed"


@pytest.mark.parametrize("section", ["added", "removed"])
def test_what_changed_is_in_the_changelog(section):
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    told = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", changelog))))
    for name in listed()[section]:
        word = name.partition("(")[0].rpartition(".")[2]
        assert word in told, f"CHANGELOG.md does not tell of `{word}`"


def test_the_first_version_is_not_rewritten():
    """Who wants to forget a name lists it under removed, and says so in the changelog."""
    names = "\n".join(listed()["first version"])
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == FIRST


def described():
    """Return what each class of the reference says of its members, ``None`` for all."""
    text = "".join(path.read_text("utf-8") for path in sorted(LIST.parent.glob("*.md")))
    found = {}
    for block in re.split(r"^\.\. auto", text, flags=re.MULTILINE)[1:]:
        name = re.match(r"\w+:: (\w+)", block)
        options = re.search(r"^   :members:(.*)$", block, re.MULTILINE)
        if name is not None:
            found[name[1]] = None if options and not options[1].strip() else block
    return found


def test_every_name_is_in_the_reference():
    reference = described()
    missing = []
    for name in sorted(actual()):
        path = name.partition("(")[0].removeprefix("anyws.").removeprefix("testing.")
        top, _, member = path.partition(".")
        thing = getattr(anyws, top, None) or getattr(anyws.testing, top)
        if top not in reference:
            missing.append(name)
        elif member and reference[top] is not None:
            kinds = [kind for kind in thing.__mro__ if kind.__name__ in reference]
            text = "".join(f"{reference[kind.__name__]} {inspect.getdoc(kind)}" for kind in kinds)
            if not re.search(rf"\b{member}\b", text) and None not in (
                reference[kind.__name__] for kind in kinds
            ):
                missing.append(name)
    assert missing == []
