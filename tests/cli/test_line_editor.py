"""Keys, the text they make, what is seen of it, and what is kept of it."""

import pytest

from anyws.cli.history import History, default_path
from anyws.cli.keys import Key, KeyDecoder
from anyws.cli.line_editor import Action, LineEditor, width_of


def keys(data):
    return [key.text if key.name == "text" else f"<{key.name}>" for key in KeyDecoder().feed(data)]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("héllo €".encode(), ["héllo €"]),
        (b"a\tb", ["a\tb"]),
        (b"a\rb\n", ["a", "<enter>", "b", "<enter>"]),
        (b"\x01\x05\x03\x04\x1a\x7f\x08", ["<home>", "<end>", "<interrupt>", "<end of input>", "<suspend>", "<backspace>", "<backspace>"]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D\x1bOA\x1bOH", ["<up>", "<down>", "<right>", "<left>", "<up>", "<home>"]),
        (b"\x1b[3~\x1b[1~\x1b[4~\x1b[H\x1b[F", ["<delete>", "<home>", "<end>", "<home>", "<end>"]),
        (b"\x1b[1;5D\x1b[1;3C\x1bb\x1bf\x1bd", ["<word left>", "<word right>", "<word left>", "<word right>", "<kill word right>"]),
        (b"\x1b\r\x1b\n", ["<newline>", "<newline>"]),
        # What means nothing here is no text.
        (b"\x1b[15~\x1b[99zx\x00\x1c\x1bq", ["x"]),
        # Escape by itself, and then something else.
        (b"\x1b\x1b[Cx", ["<right>", "x"]),
        # No control sequence is that long.
        (b"\x1b[" + b"1;" * 40, ["[" + "1;" * 40]),
        # A paste is one text, and sends nothing by itself.
        (b"\x1b[200~one\r\ntwo\rthree\x1b[31m\x03\x1b[201~x", ["one\ntwo\nthree[31m", "x"]),
        (b"\xff", ["\ufffd"]),
    ],
)  # fmt: skip
def test_keys(data, found):
    assert keys(data) == found
    # However the bytes come: text is cut, and nothing else.
    decoder = KeyDecoder()
    single = [key for byte in data for key in decoder.feed(bytes([byte]))]
    joined = "".join(key.text if key.name == "text" else f"<{key.name}>" for key in single)
    assert joined == "".join(found)


def typed(*names, history=(), text=""):
    editor = LineEditor(history)
    editor.insert(text)
    for name in names:
        if name.startswith("<"):
            editor.press(Key(name[1:-1]))
        else:
            editor.press(Key("text", name))
    return editor.text[: editor.cursor] + "|" + editor.text[editor.cursor :]


@pytest.mark.parametrize(
    ("names", "result"),
    [
        (["ab", "<left>", "x"], "ax|b"),
        (["ab", "<home>", "<backspace>", "<delete>"], "|b"),
        (["ab", "<end>", "<right>", "<delete>", "<backspace>"], "a|"),
        (["ab\ncd", "<home>", "x"], "ab\nx|cd"),
        (["ab\ncd", "<home>", "<backspace>"], "ab|cd"),
        (["one two.three", "<word left>"], "one two.|three"),
        (["one two", "<home>", "<word right>"], "one| two"),
        (["one two", "<kill word left>", "<yank>", "<yank>"], "one twotwo|"),
        (["one two", "<home>", "<kill word right>"], "| two"),
        (["one", "<left>", "<kill left>"], "|e"),
        (["one", "<home>", "<right>", "<kill right>"], "o|"),
        (["one", "<kill right>", "<yank>"], "one|"),
        (["abc\nd\nefg", "<up>"], "abc\nd|\nefg"),
        (["abc\nd\nefg", "<up>", "<up>"], "a|bc\nd\nefg"),
        (["abc\nd\nefg", "<up>", "<up>", "<end>", "<down>"], "abc\nd|\nefg"),
        (["a\\", "<enter>", "b"], "a\nb|"),
        (["a", "<newline>", "b"], "a\nb|"),
        (["ab", "<home>", "<end of input>"], "|b"),
        (["<down>", "<next>", "<unheard of>"], "|"),
    ],
)
def test_editing(names, result):
    assert typed(*names) == result


@pytest.mark.parametrize(
    ("names", "result"),
    [
        (["<up>"], "beta|"),
        (["<up>", "<up>"], "alpha|"),
        (["<up>", "<up>", "<up>", "<up>"], "abc|"),
        (["<up>", "<up>", "<down>"], "beta|"),
        (["<up>", "<down>"], "|"),
        (["a", "<up>"], "alpha|"),
        (["a", "<previous>", "<previous>", "<next>", "<next>"], "a|"),
        (["z", "<up>"], "z|"),
    ],
)
def test_history_by_what_it_begins_with(names, result):
    assert typed(*names, history=["abc", "alpha", "beta"]) == result


@pytest.mark.parametrize(
    ("name", "text", "action"),
    [
        ("enter", "x", Action.SUBMIT),
        ("enter", "x\\", None),
        ("interrupt", "x", Action.INTERRUPT),
        ("end of input", "", Action.END_OF_INPUT),
        ("end of input", "x", None),
        ("suspend", "", Action.SUSPEND),
        ("clear", "", Action.CLEAR),
    ],
)
def test_actions(name, text, action):
    editor = LineEditor()
    editor.insert(text)
    assert editor.press(Key(name)) is action


def test_taking_begins_anew():
    editor = LineEditor(["old"])
    editor.insert("new")
    assert editor.take() == "new"
    editor.remember("new")
    editor.press(Key("up"))
    assert editor.text == "new"
    editor.press(Key("up"))
    assert (editor.text, editor.cursor) == ("old", 3)


@pytest.mark.parametrize(
    ("text", "cursor", "rows", "place"),
    [
        ("", 0, ["> "], (0, 2)),
        ("abc", 3, ["> abc"], (0, 5)),
        ("abcdefghijk", 11, ["> abcdefgh", "ijk"], (1, 3)),
        ("abcdefghijk", 8, ["> abcdefgh", "ijk"], (1, 0)),
        ("ab\ncd", 4, ["> ab", ". cd"], (1, 3)),
        ("ab\n", 3, ["> ab", ". "], (1, 2)),
        ("a\tb", 2, ["> a    b"], (0, 7)),
        # Wide characters are not cut in two.
        ("日本語日本", 5, ["> 日本語日", "本"], (1, 2)),
        ("1日本語日本", 5, ["> 1日本語", "日本"], (1, 2)),
    ],
)
def test_view(text, cursor, rows, place):
    editor = LineEditor()
    editor.insert(text)
    editor.cursor = cursor
    view = editor.view(10, 20)
    assert view.rows == rows
    assert (view.row, view.column) == place


def test_a_text_higher_than_the_terminal():
    editor = LineEditor()
    editor.insert("\n".join("abcdef"))
    assert editor.view(10, 3) == ([". d", ". e", ". f"], 2, 3)
    editor.cursor = 0
    assert editor.view(10, 3) == (["> a", ". b", ". c"], 0, 2)


def test_width():
    assert [width_of(text) for text in ("abc", "日本", "e\u0301", "\u200d")] == [3, 4, 1, 0]


def test_history_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = default_path()
    assert path == str(tmp_path / "anyws" / "history")
    history = History(path)
    assert [history.add(text) for text in ("a", "a", " secret", "  ", "", "b\nc", "a")] == [
        True, False, False, False, False, True, True,
    ]  # fmt: skip
    with open(path, "a") as file:
        file.write('nonsense\n{"no": "text"}\n')
    assert History(path).texts == ["a", "b\nc", "a"]


def test_a_long_history_is_cut(tmp_path):
    path = tmp_path / "history"
    path.write_text("".join(f'"{number}"\n' for number in range(2001)))
    assert History(str(path)).texts == [str(number) for number in range(1001, 2001)]
    assert len(path.read_text().splitlines()) == 1000
    assert list(tmp_path.iterdir()) == [path]


def test_a_history_that_cannot_be_kept(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (None, str(tmp_path / "file" / "history"), str(tmp_path)):
        history = History(path)
        assert history.add("a")
        assert history.texts == ["a"]
