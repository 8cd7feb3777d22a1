"""The loader: YAML 1.2 scalars, places, bounds; no text can make it do anything else."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import Mark, Problem, ScenarioError
from sim.spec import Document, read, read_text
from sim.spec.loader import MOST_BYTES, MOST_DEPTH, MOST_NODES, compose
from sim.spec.scalars import resolve


def refused(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        compose(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("off", "off"), ("yes", "yes"), ("y", "y"), ("True", True), ("tRUE", "tRUE"),
        ("false", False), ("~", None), ("", None), ("Null", None), ("nULL", "nULL"),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("0b1", "0b1"), ("1_000", "1_000"), ("+7", 7),
        ("12:30:45", "12:30:45"), ("2001-12-14", "2001-12-14"), ("1e3", 1000.0), (".5", 0.5),
        ("5.", 5.0), ("-0.0", -0.0), ("1.5e-3", 0.0015), (".", "."), ("1e", "1e"), ("=", "="),
        ("30 s", "30 s"), ("9223372036854775807", 2**63 - 1),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", [".inf", "-.Inf", ".NaN", "9223372036854775808", "9" * 9999, "1e999"]
)
def test_numbers_that_no_quantity_can_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"finite|64 bits|too large"):
        resolve(text)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back_as_they_were_written(number: int) -> None:
    assert resolve(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_as_they_were_written(number: float) -> None:
    found = resolve(repr(number))
    assert isinstance(found, (int, float))
    assert math.isclose(found, number, rel_tol=0.0, abs_tol=0.0)


def test_quoted_text_stays_text() -> None:
    root, problems = compose("a: '8'\nb: \"true\"\nc: |\n  no\n", "f.yaml")
    assert root.plain() == {"a": "8", "b": "true", "c": "no\n"}
    assert problems == []


def test_every_key_and_value_knows_its_place() -> None:
    root, _ = compose("a:\n  - x: 1\n    yy: [2, {z: 3}]\n", "f.yaml")
    assert root.mark_of(("a", 0, "yy", 1, "z")) == Mark("f.yaml", 3, 17)
    assert root.mark_of(("a", 0, "yy", 1, "z"), key=True) == Mark("f.yaml", 3, 14)
    assert root.mark_of(("a", 0, "yy"), key=True) == Mark("f.yaml", 3, 5)
    # Where there is nothing, the nearest thing above it is the place.
    assert root.mark_of(("a", 0, "missing", 3)) == Mark("f.yaml", 2, 5)


def test_an_alias_is_the_value_of_its_anchor() -> None:
    root, _ = compose("a: &shared {x: 1}\nb: *shared\n", "f.yaml")
    assert root.plain() == {"a": {"x": 1}, "b": {"x": 1}}
    assert root.mark_of(("b", "x")) == root.mark_of(("a", "x"))


def test_billion_laughs_stop_before_they_expand() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    began = time.process_time()
    assert refused("\n".join(lines)) == [
        f"f.yaml:5:30: a4: more than {MOST_NODES:,} values once aliases are expanded"
    ]
    assert time.process_time() - began < 2.0


def test_an_anchor_inside_itself_is_refused() -> None:
    assert refused("a: &x [1, *x]\n") == [
        "f.yaml:1:11: a[1]: the alias *x stands inside its own anchor"
    ]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_without_recursing(opening: str) -> None:
    [message] = refused(opening * 100_000)
    assert message.endswith(f"nested deeper than {MOST_DEPTH} levels")


def test_depth_below_the_bound_is_read() -> None:
    depth = MOST_DEPTH
    root, _ = compose("[" * depth + "]" * depth, "f.yaml")
    assert root.at((0,) * (depth - 1)) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: \x00\n", "f.yaml:1:4: the character U+0000 is not allowed in YAML"),
        ("a: 1\nb: \x07\n", "f.yaml:2:4: the character U+0007 is not allowed in YAML"),
        ("", "f.yaml: the file is empty"),
        ("---\n", "f.yaml: the file is empty"),
        ("~", "f.yaml: the file is empty"),
        ("a: 'open\n", "f.yaml:2:1: not YAML: a quote is not closed (opened in line 1)"),
        ('a: "\\UFFFFFFFF"\n', "f.yaml: not YAML: an escape or a version is out of range"),
    ],
)
def test_text_that_is_no_document_gets_one_line(text: str, message: str) -> None:
    assert refused(text) == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: a: the key 'a' is written twice (first in line 1)"),
        ("a: !secret x\n", "f.yaml:1:4: a: tags such as '!secret' are not allowed"),
        (
            "a: {<<: {b: 1}}\n",
            "f.yaml:1:5: a: merge keys (<<) are not part of YAML 1.2; use 'extends:'",
        ),
        ("? [a]\n: 1\n", "f.yaml:1:3: a key must be text, not a list, a mapping or an alias"),
        ('a: "\\ud800"\n', "f.yaml:1:4: a: an escape in this text is half a character"),
        (f"? {'k' * 300}\n: 1\n", f"f.yaml:1:3: {'k' * 39 + '…'!r} cannot be a key"),
    ],
)
def test_what_can_be_read_past_is_collected(text: str, message: str) -> None:
    _, problems = compose(text, "f.yaml")
    assert [str(problem) for problem in problems] == [message]


def test_keys_are_text_whatever_they_look_like() -> None:
    root, _ = compose("1: a\ntrue: b\nno: c\n", "f.yaml")
    assert root.plain() == {"1": "a", "true": "b", "no": "c"}


def test_files_that_cannot_be_scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("latin.yaml").write_bytes("name: caf\xe9\n".encode("latin-1"))
    Path("large.yaml").write_bytes(b"# " + b"x" * MOST_BYTES)
    Path("folder.yaml").mkdir()
    Path("quickstart.yaml").write_text("name: x\n")
    Path("bom.yaml").write_bytes(b"\xef\xbb\xbfname: ok\r\n")
    Path("loop.yaml").symlink_to("loop.yaml")
    for file, message in {
        "latin.yaml": "latin.yaml:1:10: not UTF-8 text (byte 0xe9)",
        "large.yaml": "large.yaml: is larger than 1 MiB, the most a scenario may be",
        "folder.yaml": "folder.yaml: is a folder",
        "/dev/zero": "/dev/zero: is not a regular file",
        "quickstrat.yaml": "quickstrat.yaml: no such file (did you mean 'quickstart.yaml'?)",
        "nowhere/a.yaml": "nowhere/a.yaml: no such file (nor is there a folder 'nowhere')",
        "a\0b": "a\0b: is not the path of a file",
        "": "'': is not the path of a file",
    }.items():
        with pytest.raises(ScenarioError) as caught:
            read(file)
        assert str(caught.value) == message
    with pytest.raises(ScenarioError, match=r"^loop\.yaml: "):
        read("loop.yaml")
    assert read("bom.yaml").spec.name == "ok"


_YAML_LIKE = st.text(
    alphabet=st.sampled_from(list("abn:-[]{},&*!?|>'\"#%@ \n\t0159.~<\\=")), max_size=80
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=80), _YAML_LIKE))
def test_any_text_is_a_document_or_a_scenario_error(text: str) -> None:
    try:
        document = read_text(text, file="f.yaml")
    except ScenarioError as error:
        messages = [str(problem) for problem in error.problems]
    else:
        assert isinstance(document, Document)
        messages = [str(problem) for problem in document.problems]
    for message in messages:
        assert message.startswith("f.yaml")
        assert "\n" not in message


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_a_scenario_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(data)
    problems: tuple[Problem, ...]
    try:
        problems = read(file).problems
    except ScenarioError as error:
        problems = error.problems
    assert problems  # some required key is missing in any text this short
