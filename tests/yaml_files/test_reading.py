from __future__ import annotations

import contextlib
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hwnas
from hwnas.config import load_config
from hwnas.data.datasets.dataset_config import read_dataset_config
from hwnas.data.label_maps import load_label_map
from hwnas.errors import ConfigError, DataError, HwnasError
from hwnas.text import may_hold_secret, shown
from hwnas.yaml_files.reading import MAX_BYTES, MAX_DEPTH, parse_yaml, path_from, read_yaml
from hwnas.yaml_files.writing import dump_yaml

CASES = Path(__file__).parents[3] / "shared" / "cases" / "yaml"
READERS = {"run": load_config, "ds": read_dataset_config, "lm": load_label_map}


def refused(text: str) -> str:
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    assert time.process_time() - start < 1.0
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("f.yaml")
    return message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n", None),
        ("~", None),
        ("[null, Null, NULL, ]", [None, None, None]),
        ("[true, True, FALSE]", [True, True, False]),
        ("[0, -1, +7, 0x1F, 0o17, 9223372036854775807]", [0, -1, 7, 31, 15, 2**63 - 1]),
        ("[1e-3, 1E3, .5, 5., -1.5e+2, 6e-06]", [1e-3, 1e3, 0.5, 5.0, -150.0, 6e-06]),
        ("[.inf, -.INF]", [math.inf, -math.inf]),
        ("[y, n, 1e, e3, 0xg, '', \"01\", 1.2.3, 10hz, v1, -, a-b]", ["y", "n", "1e", "e3", "0xg", "", "01", "1.2.3", "10hz", "v1", "-", "a-b"]),
        ("['yes', \"1:30\", '2026-11-29', '<<']", ["yes", "1:30", "2026-11-29", "<<"]),
        ("2026-11-29 was cold", "2026-11-29 was cold"),
        ("[!!str 5, !!int '5', !!float 5, !!bool true, !!null '', ! 5]", ["5", 5, 5.0, True, None, "5"]),
        ("!!map {a: !!seq [1]}", {"a": [1]}),
        ("a: |\n  one\n  two\nb: >-\n  x\n  y\n", {"a": "one\ntwo\n", "b": "x y"}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
        ("a: &x {b: [1, two]}\nc: *x\nd: &y 1.5\ne: [*y, *x]\n",
         {"a": {"b": [1, "two"]}, "c": {"b": [1, "two"]}, "d": 1.5, "e": [1.5, {"b": [1, "two"]}]}),
        ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
        ("&k a: b\nc: *k\n", {"a": "b", "c": "a"}),
        ("\ufeffa: ä\n", {"a": "ä"}),
        ('"\\udcff"', "\udcff"),
    ],
)  # fmt: skip
def test_the_core_schema_is_read(text: str, value: Any, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text, encoding="utf-8")
    found = read_yaml(file).value
    assert found == value
    assert repr(found) == repr(value)  # 1, 1.0 and True are equal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: {c: 2,\n  c: 3}\n", "f.yaml:3: `b`: key 'c' was already given in line 2"),
        ("a: {x: 1}\na: {y: 1}\n", "f.yaml:2: key 'a' was already given in line 1"),
        ("a: *x\n", "f.yaml:1: `a`: an alias (*) stands here whose anchor (&) does not"),
        ("- 1\n- &x [*x]\n", "f.yaml:2: `1.0`: an alias (*) stands for what it is a part of"),
        ("&x\na: {b: *x}\n", "f.yaml:2: `a.b`: an alias (*) stands for what it is a part of"),
        ("a: &x [1]\n*x : 2\n", "f.yaml:2: the key [1] is not text"),
        ("a: &x b\nc: &x [*x]\n", "f.yaml:2: `c.0`: an alias (*) stands for what it is a part of"),
        ("a: &x [" + "1," * 200 + "]\nb: [" + "*x, " * 60 + "]\n", "f.yaml:2: `b.49`: aliases (*) stand for more"),
        ("a: {<<: {b: 1}}\n", "f.yaml:1: `a`: '<<' without quotes is a merge key"),
        ("a: !!python/object:os.system x\n", "f.yaml:1: `a`: tags (!) of this kind are not read"),
        ("a: !x {}\n", "`a`: tags (!)"),
        ("a: !!set {}\n", "`a`: tags (!)"),
        ("a: !!timestamp 2026-01-01\n", "`a`: tags (!)"),
        ("a: !!int abc\n", "`a`: !!int stands before 'abc', which is not an integer"),
        ("a: !!bool 1\n", "`a`: !!bool stands before '1', which is not true or false"),
        ("a: !!float\n", "`a`: !!float stands before '', which is not a number"),
        *((f"a: {word}\n", f"`a`: '{word}' without quotes is") for word in
          ("yes", "No", "ON", "off", "1:30", "1:30:00.5", "0x_", "0b11", "-0x1F", "017", "00", "-08", "1_000",
           "1_0.5", "1.5_0", "0.5_", ".0_5", "-.0_5", "09._1", "0_.5", "1_0.5e+3", "0._", "2026-11-29", "2026-13-45", "2026-11-29 10:00:00", "=")),
        ("1: 2\n", "f.yaml:1: the key 1 is not text"),
        ("true: 2\n", "the key true is not text"),
        ("yes: 2\n", "'yes' without quotes is a truth value"),
        ("? [a]\n: 1\n", "a mapping or list cannot be a key"),
        ("? {a: 1}\n: 1\n", "a mapping or list cannot be a key"),
        ("a: " + "9" * 5000, "`a`: a number of 5000 characters is too long"),
        ("a: 9223372036854775808\n", "`a`: 9223372036854775808 does not fit into 64 bits"),
        ("a: 1e999\n", "`a`: 1e999 is larger than any float"),
        ("a: 1\n---\nb: 1\n", "f.yaml:2: a second document begins here"),
        ("a: [1\n", "not valid YAML"),
        ("a:\n\t- 1\n", "not valid YAML"),
        ("a: 1\n b: 2\n", "not valid YAML"),
        ("a: \"\\0\"", "`a`: the character U+0000"),
        ("a: \"\\ud800\"", "`a`: the character U+D800"),
        ("a\x00: 1", "the character U+0000"),
        ("a: \x1b[31m", "the character U+001B"),
        ("[" * 5000, f"nested more than {MAX_DEPTH} levels deep"),
        ("{a: " * 5000, f"nested more than {MAX_DEPTH} levels deep"),
        ("\n".join(" " * level + f"a{level}:" for level in range(60)), f"nested more than {MAX_DEPTH} levels"),
        ("a0: &a0 [1,1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1},*a{i - 1}]\n" for i in range(1, 60)), "aliases (*) stand for more than 10,000"),
        ("a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60)), "nested more than 32"),
    ],
)  # fmt: skip
def test_what_surprises_or_harms_is_refused(text: str, expected: str) -> None:
    assert expected in refused(text)


LONG_WORDS = (
    "1_" + "0" * 100,
    "0" * 100 + "7",
    "0b" + "1" * 100,
    "1" * 80 + ":30",
    "2026-11-29T10:00:00." + "0" * 80,
)


@pytest.mark.parametrize("word", LONG_WORDS)
def test_words_of_any_length_are_refused(word: str) -> None:
    assert yaml.safe_load(f"a: {word}")["a"] != word
    message = refused(f"a: {word}")
    assert "without quotes is" in message
    assert len(message) < 300


@pytest.mark.parametrize(
    "word", ["1" + "_" * 500_000 + "x", "1:" * 250_000, "." + "0_" * 250_000 + "x", "0" * 500_000 + "x"]
)
def test_words_are_judged_in_linear_time(word: str) -> None:
    start = time.process_time()
    with contextlib.suppress(ConfigError):
        parse_yaml(f"a: {word}", "f.yaml")
    assert time.process_time() - start < 5


# As the specification of YAML 1.2.2 has them, section 10.3.2.
CORE = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda word: word.lower() == "true"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda word: int(word[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda word: int(word, 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?(\.inf|\.Inf|\.INF)"), lambda word: float(word.replace(".", ""))),
    (re.compile(r"\.nan|\.NaN|\.NAN"), lambda _: float("nan")),
)


def in_core_schema(word: str) -> Any:
    return next((read(word) for pattern, read in CORE if pattern.fullmatch(word)), word)


def in_yaml_1_1(word: str) -> Any:
    try:
        return yaml.safe_load(word)
    except ValueError:  # a word that looks like a number or a date, and is none
        return object()


def is_plain(word: str) -> bool:
    """Return whether a document can be a word and nothing else, without quotes."""
    try:
        events = list(yaml.parse(word))
    except yaml.YAMLError:
        return False
    scalars = [event for event in events if isinstance(event, yaml.ScalarEvent)]
    return len(events) == 5 and len(scalars) == 1 and scalars[0].value == word and scalars[0].style is None


NUMBER_LIKE = st.text("0123456789", max_size=3).flatmap(
    lambda start: st.text("0123456789_.+-eExXobB:aAfF", max_size=7).map(lambda rest: start + rest)
)
WORDS = NUMBER_LIKE | st.text("yYnNoOfFtTrRuUeEsSaAlL~", max_size=5) | st.text("0129-T:. Zz+", max_size=24)
OF_RESOLVERS = st.one_of(
    *(
        st.from_regex(pattern, fullmatch=True)
        for pattern in {
            pattern
            for resolvers in yaml.SafeLoader.yaml_implicit_resolvers.values()
            for _, pattern in resolvers
        }
    )
)


@settings(max_examples=3000, deadline=None)
@given(WORDS | OF_RESOLVERS)
def test_no_word_is_read_that_versions_of_yaml_read_differently(word: str) -> None:
    assume(is_plain(word))
    try:
        found = parse_yaml(word, "f.yaml").value
    except ConfigError:
        return  # also what is too long, or does not fit
    core, old = in_core_schema(word), in_yaml_1_1(word)
    assert (type(found), repr(found)) == (type(core), repr(core))
    # What YAML 1.1 takes for text although the core schema has it as a number is documented: 1e-3, 0o17, -.5.
    is_documented = isinstance(core, int | float) and not isinstance(core, bool) and old == word
    assert is_documented or (type(found), repr(found)) == (type(old), repr(old))


def test_text_of_megabytes_is_refused_or_read_quickly(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="it has more than 1,048,576 bytes"):
        read_yaml(file)
    with pytest.raises(ConfigError, match="too long for that"):
        parse_yaml('- "\\udcff"\n' * 10_000, "f.yaml")


def test_other_files_than_text_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xe4\n")
    (tmp_path / "utf16").write_text("a: 1", encoding="utf-16")
    expected = {
        "pipe": "a pipe or device",
        "loop": "symbolic links",
        ".": "it is a directory",
        "missing": "No such file or directory. Make it.",
        "latin": "latin:2: expected UTF-8",
        "utf16": "expected UTF-8",
        "n" * 300: "File name too long",
        "a\0b": "a zero byte",
    }
    for name, words in expected.items():
        with pytest.raises(DataError, match=words) as caught:
            read_yaml(f"{tmp_path}/{name}", error=DataError, if_missing="Make it.")
        assert "\n" not in str(caught.value)


def test_aliases_are_copies() -> None:
    value = parse_yaml("a: &x {b: [1]}\nc: *x\n", "f.yaml").value
    value["c"]["b"].append(2)
    assert value["a"] == {"b": [1]}


def test_lines_are_those_of_the_deepest_part() -> None:
    document = parse_yaml("a:\n  - 1\n  - b: 2\n    c:\n      d: 3\n", "f.yaml")
    places: list[tuple[list[Any], int]] = [
        ([], 1), (["a"], 1), (["a", 0], 2), (["a", 1], 3), (["a", 1, "b"], 3), (["a", 1, "c"], 4),
        (["a", 1, "c", "d"], 5), (["a", 1, "x"], 3), (["a", 7], 1), (["z"], 1),
    ]  # fmt: skip
    assert [document.line_of(place) for place, _ in places] == [line for _, line in places]
    assert document.at(["a", 1, "c", "d"]) == "f.yaml:5"


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t\udcff")) | st.sampled_from(
    ["1e-3", "1e3", "0o17", "0x1F", "yes", "On", "1:30", "017", "1_0", "2026-01-01", "<<", "=", "~", "null", "", "-",
     ".inf", ".nan", "0b1", "5.", ".5", "+5", "# x", "a: b", "*x", "&x", "!x", "%x", "@x", "`x", "- a", "a\n b", " "]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_what_is_written_is_read_back_equal(value: Any) -> None:
    text, line = dump_yaml(value), dump_yaml(value, on_one_line=True)
    assert "\n" not in line
    for written, expected in (
        (text, value),
        (line, value),
        (f"key: {line}\nmore: 1\n", {"key": value, "more": 1}),
    ):
        found = parse_yaml(written, "f.yaml").value
        assert found == expected
        assert repr(found) == repr(expected)
        assert yaml.safe_load(written) == expected  # readers of YAML 1.1 understand the same


def test_no_other_module_reads_or_writes_yaml() -> None:
    package = Path(hwnas.__file__).parent
    users = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"^\s*(?:import yaml|from yaml)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users == {"yaml_files/reading.py", "yaml_files/writing.py"}


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.text("{}[]:,-#&*!|>'\"%@`?~ \n\tab01._<=x", max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    message = "f.yaml"
    try:
        parse_yaml(text, "f.yaml")
    except ConfigError as error:
        message = str(error)
    assert message.startswith("f.yaml")
    assert "\n" not in message


def test_paths_count_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path.resolve())
    for file in (tmp_path / "f.yaml", "f.yaml", "./f.yaml"):
        for text, path in {
            "a/b": f"{here}/a/b",
            "./a": f"{here}/a",
            "../a": f"{Path(here).parent}/a",
            "/a/./b": "/a/b",
            "~/a": "/home/somebody/a",
            ".": here,
        }.items():
            assert path_from(text, file) == path


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://u:{SECRET}@h/x",
        f"postgresql+psycopg://u:{SECRET}@[::1/x",
        f"postgresql:/u:{SECRET}@h",
        f"u:{SECRET}@h",
        f"u:a @{SECRET}:x@h",
        f"host=h password={SECRET}",
        f"postgresql://h/x?pass%77ord={SECRET}",
        f"PASSWORD: {SECRET}",
        f"token={SECRET}",
        f"a\nu:{SECRET}\n@h",
    ],
)
def test_shown_values_hold_no_secret(text: str) -> None:
    for value in (text, [text], {"a": text}, {text: 1}, [[text]], (text, 1)):
        assert SECRET not in shown(value)
    assert may_hold_secret(text)


def test_shown_values_are_short_and_plain() -> None:
    assert [shown(value) for value in (None, True, 5, 0.5, "a'b", [], {}, {"a": 1}, [1, "x"])] == [
        "null", "true", "5", "0.5", '"a\'b"', "[]", "{}", "a mapping of 1 key", "[1, 'x']",
    ]  # fmt: skip
    assert shown("./data/tokens/scans") == "'./data/tokens/scans'"
    for value in ("x" * 5000, ["y" * 500] * 500, 10**200, [[["z"] * 50] * 50] * 50):
        assert len(shown(value)) < 150


@pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there")
@pytest.mark.parametrize("file", sorted(CASES.glob("*.yaml")), ids=lambda file: file.stem)
def test_files_that_were_once_read_wrongly(file: Path) -> None:
    # Both take their time, and would be imported below.
    import hwnas.config.database_address
    import hwnas.tasks.lidar_segmentation  # noqa: F401

    start = time.process_time()
    reader = READERS[file.stem.partition("_")[0]]
    arguments = {"must_exist": ("task",)} if file.stem.startswith("run_data") else {}
    with pytest.raises(HwnasError) as caught:
        reader(file, **arguments)
    assert time.process_time() - start < 1.0
    message = str(caught.value)
    assert message.startswith(f"{file}:")
    assert message.removeprefix(f"{file}:")[0].isdigit()
    assert "\n" not in message
    assert "SECRETPW" not in message


HINT = "In YAML, # begins a comment: put the value that begins with it in line {} in quotes."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("classes:\n  - {name: a, color: #808080}\n  - {name: b}\n", 2),
        ("classes:\n  - {name: a, color: #808080}\n\n\n# more\n  - {name: b}\n", 2),
        ("classes:\n  - name: a\n    ids: [#808080, 1]\n  - name: b\n", 3),
        ("a: {color: #fff}\n", 1),
        ("a: ['x', #fff]\nb: 1\n", 1),
    ],
)
def test_values_that_are_comments_are_named_where_they_hide_a_bracket(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match="not valid YAML") as caught:
        parse_yaml(text, "f.yaml")
    assert str(caught.value).endswith(HINT.format(line))


@pytest.mark.parametrize(
    "text", ["a: [1 # one\n", "a: {b: '#fff'\n", "# {x: #y}\n" + "\n" * 20 + "a: [1\n", "a: b#c\n\t- 1\n"]
)
def test_other_comments_are_not_blamed(text: str) -> None:
    with pytest.raises(ConfigError, match="not valid YAML") as caught:
        parse_yaml(text, "f.yaml")
    assert "begins a comment" not in str(caught.value)


def test_an_unquoted_colour_of_a_label_map_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    for before, after in (("{", "}"), ("", "")):
        separator = ", " if before else "\n    "
        entry = separator.join(("name: car", "raw_ids: [1]", "color: #808080"))
        path.write_text(
            f"name: m\nignored_raw_ids: [0]\nclasses:\n  - {before}{entry}{after}\n  - {{name: b}}\n"
        )
        with pytest.raises(DataError, match="In YAML, # begins a comment: put the"):
            load_label_map(path)
