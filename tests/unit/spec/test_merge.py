"""``extends`` and ``--set``: what they give, where places point, what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import Mark, ScenarioError
from sim.spec import read, read_text
from sim.spec.files import MOST_FILES
from sim.spec.loader import MOST_DEPTH

BASE = """\
rackplan: 1
name: base
duration: 10 min
power: {utility: {budget: 90 kW, rating: 100 kW}}
policies:
  routing: {kind: power-of-two}
  batching: {kind: static, max_sequences: 64}
pools:
  - {name: chat, llm: a, replicas: 2}
  - {name: code, llm: b, replicas: 3}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    return tmp_path


def refusal(text: str, *sets: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        read_text(text, file="f.yaml", sets=sets)
    return str(caught.value)


def test_mappings_merge_and_lists_replace(folder: Path) -> None:
    Path("top.yaml").write_text(
        "extends: base.yaml\nname: top\npower: {utility: {budget: 80 kW}}\n"
        "pools: [{name: one, llm: a, replicas: 1}]\n"
    )
    tree = read("top.yaml").tree
    assert tree["name"] == "top"
    assert tree["duration"] == "10 min"
    assert tree["power"] == {"utility": {"budget": "80 kW", "rating": "100 kW"}}
    assert [pool["name"] for pool in tree["pools"]] == ["one"]
    assert "extends" not in tree


def test_null_takes_a_section_away(folder: Path) -> None:
    Path("top.yaml").write_text("extends: base.yaml\npower:\n")
    assert "power" not in read("top.yaml").tree


def test_a_policy_of_another_kind_replaces_the_whole_policy(folder: Path) -> None:
    Path("top.yaml").write_text(
        "extends: base.yaml\npolicies: {batching: {kind: chunked-prefill, max_batch_tokens: 512}}\n"
    )
    assert read("top.yaml").tree["policies"] == {
        "routing": {"kind": "power-of-two"},
        "batching": {"kind": "chunked-prefill", "max_batch_tokens": 512},
    }


def test_a_policy_of_the_same_kind_merges(folder: Path) -> None:
    Path("top.yaml").write_text(
        "extends: base.yaml\npolicies: {batching: {kind: static, max_batch_tokens: 512}}\n"
    )
    assert read("top.yaml").tree["policies"]["batching"] == {
        "kind": "static", "max_sequences": 64, "max_batch_tokens": 512,
    }  # fmt: skip


def test_places_stay_in_the_file_that_wrote_them(folder: Path) -> None:
    Path("sub").mkdir()
    Path("sub/mid.yaml").write_text("extends: ../base.yaml\nduration: 20 min\n")
    Path("top.yaml").write_text("extends: sub/mid.yaml\nwarm_up: 1 min\n")
    document = read("top.yaml")
    assert document.mark(("warm_up",)) == Mark("top.yaml", 2, 10)
    assert document.mark(("duration",)) == Mark("sub/mid.yaml", 2, 11)
    assert document.mark(("power", "utility", "budget")) == Mark("base.yaml", 4, 27)
    assert document.locate(("duration",), "x.csv") == folder / "sub" / "x.csv"
    assert document.locate(("warm_up",), "x.csv") == folder / "x.csv"


def test_a_problem_in_the_base_is_reported_there(folder: Path) -> None:
    Path("base.yaml").write_text(BASE.replace("10 min", "10"))
    Path("top.yaml").write_text("extends: base.yaml\nnmae: top\n")
    shown = {str(problem) for problem in read("top.yaml").problems}
    assert "base.yaml:3:11: duration: needs a unit: write '10 s' (a time) or similar" in shown
    assert "top.yaml:2:1: nmae: unknown key 'nmae' (did you mean 'name'?)" in shown


def test_circles_are_named(folder: Path) -> None:
    Path("a.yaml").write_text("extends: b.yaml\n")
    Path("b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ScenarioError) as caught:
        read("a.yaml")
    assert str(caught.value) == (
        "b.yaml:1:10: extends: these files extend in a circle: a.yaml → b.yaml → a.yaml"
    )


def test_long_chains_are_refused(folder: Path) -> None:
    for i in range(MOST_FILES + 1):
        Path(f"c{i}.yaml").write_text(f"extends: c{i + 1}.yaml\n")
    with pytest.raises(ScenarioError, match=f"more than {MOST_FILES} files extend one another"):
        read("c0.yaml")


def test_paths_stay_inside_unless_allowed(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "top.yaml").write_text("extends: ../base.yaml\n")
    (inner / "link.yaml").symlink_to(folder / "base.yaml")
    (inner / "sly.yaml").write_text("extends: link.yaml\n")
    for file in ("top.yaml", "sly.yaml"):
        with pytest.raises(ScenarioError, match=r"leads out of the scenario's folder"):
            read(inner / file)
        assert read(inner / file, allow_outside=True).spec.name == "base"


def test_a_broken_base_is_refused_with_its_own_place(folder: Path) -> None:
    Path("base.yaml").write_text("a: [\n")
    Path("top.yaml").write_text("extends: base.yaml\nx: 1\nx: 2\n")
    with pytest.raises(ScenarioError) as caught:
        read("top.yaml")
    assert [str(problem) for problem in caught.value.problems] == [
        "base.yaml:2:1: not YAML: a value is missing before this",
        "top.yaml:3:1: x: the key 'x' is written twice (first in line 2)",
    ]


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("pools[chat].replicas=30", ("pools", 0, "replicas"), 30),
        ("pools[1].replicas=30", ("pools", 1, "replicas"), 30),
        ("duration=5 min", ("duration",), "5 min"),
        ("name='no'", ("name",), "no"),
        ("fabric.kind=leaf-spine", ("fabric", "kind"), "leaf-spine"),
        ("policies.power={kind: none, x: 8}", ("policies", "power", "x"), 8),
        ("expect=[chat.ttft_p99 <= 2 s]", ("expect", 0), "chat.ttft_p99 <= 2 s"),
        ("pools[chat].llm = x = y", ("pools", 0, "llm"), "x = y"),
    ],
)  # fmt: skip
def test_set_changes_one_value_and_its_place(
    change: str, path: tuple[str | int, ...], value: object
) -> None:
    document = read_text(BASE, sets=[change])
    found = document.root.at(path)
    assert found is not None
    assert found.plain() == value
    assert document.mark(path) == Mark(f"--set {change}")


def test_set_of_a_kind_drops_the_parameters_of_the_old_one() -> None:
    tree = read_text(BASE, sets=["policies.batching.kind=chunked-prefill"]).tree
    assert tree["policies"]["batching"] == {"kind": "chunked-prefill"}
    tree = read_text(BASE, sets=["policies.batching.kind=static"]).tree
    assert tree["policies"]["batching"] == {"kind": "static", "max_sequences": 64}


def test_set_changes_one_of_two_places_that_share_an_anchor() -> None:
    text = "pools: [&p {name: a, replicas: 1}, {name: b, replicas: 1}]\nx-copy: *p\n"
    root = read_text(text, sets=["pools[a].replicas=9"]).root
    assert root.plain() == {
        "pools": [{"name": "a", "replicas": 9}, {"name": "b", "replicas": 1}],
        "x-copy": {"name": "a", "replicas": 1},
    }


def test_later_sets_win() -> None:
    assert read_text(BASE, sets=["seed=1", "seed=2"]).spec.seed == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "pools[caht].replicas=1",
            "pools: has no item named 'caht' (did you mean 'chat'?)",
        ),
        ("pools[7].replicas=1", "pools: has 2 items, so [7] leads nowhere"),
        (
            "pools.chat.replicas=1",
            "pools: is not a mapping, so '.chat' leads nowhere (write 'pools[chat]')",
        ),
        (".duration=1 min", "expected PATH=VALUE, such as pools[chat].replicas=30"),
        ("duration[0]=1", "duration: is not a list, so [0] leads nowhere"),
        ("duration", "expected PATH=VALUE, such as pools[chat].replicas=30"),
        ("=3", "expected PATH=VALUE, such as pools[chat].replicas=30"),
        ("pools[chat]..replicas=3", "expected PATH=VALUE, such as pools[chat].replicas=30"),
        ("extends=x.yaml", "extends: only a file can say what it extends"),
        ("seed=.inf", ".inf is not a finite number"),
    ],
)
def test_sets_that_lead_nowhere(change: str, message: str) -> None:
    assert refusal(BASE, change) == f"--set {change}: {message}"


def test_a_set_cannot_nest_without_bound() -> None:
    change = "x-a" + ".a" * 3000 + "=1"
    assert refusal(BASE, change).endswith(f": nested deeper than {MOST_DEPTH} levels")


def test_a_set_value_that_is_not_yaml() -> None:
    assert refusal(BASE, "policies=[a, b") == (
        "--set policies=[a, b:1:6: not YAML: a '[' is not closed, or a ',' is missing before this"
    )


def test_every_failing_set_is_reported() -> None:
    assert refusal(BASE, "nowhere", "seed=1", "pools[x].replicas=1").count("\n") == 1


def test_a_problem_with_a_set_value_names_the_set() -> None:
    document = read_text(BASE, file="f.yaml", sets=["pools[chat].replicas=many"])
    assert (
        "--set pools[chat].replicas=many: pools[0].replicas: expected a whole number, not 'many'"
        in {str(problem) for problem in document.problems}
    )
