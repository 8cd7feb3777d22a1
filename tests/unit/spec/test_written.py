"""The scenario as written: one file that means the same, and YAML that reads as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.check import check
from sim.paths import share
from sim.spec import read, read_text
from sim.spec.loader import compose
from sim.spec.written import yaml_of


@pytest.mark.parametrize(
    "name",
    ["cooling", "polca-surge", "gpu-cluster", "noisy-neighbour", "own-prices", "retry-storm"],
)
def test_a_shipped_scenario_means_the_same_as_it_is_written_down(name: str) -> None:
    folder = share("scenarios")
    scenario = check(read(folder / f"{name}.yaml"))
    text = yaml_of(scenario.written)
    again = check(read_text(text, folder=folder))
    assert again.resolved == scenario.resolved
    assert again.written == scenario.written
    assert "extends" not in scenario.written


def test_changes_on_the_command_line_are_in_it() -> None:
    file = share("scenarios") / "quickstart.yaml"
    scenario = check(read(file, sets=["pools[chat].replicas=7", "duration=1 min"]))
    assert scenario.written["pools"][0]["replicas"] == 7
    assert scenario.written["duration"] == "1 min"


def test_files_of_other_folders_are_named_from_the_scenarios_own(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    for name in ("nodes", "pods"):
        shipped = share("scenarios") / f"gpu-cluster-{name}.csv"
        (tmp_path / "lists" / f"{name}.csv").write_bytes(shipped.read_bytes())
    (tmp_path / "lists" / "base.yaml").write_text(
        "rackplan: 1\nkind: placement\nname: far\nnodes: nodes.csv\npods: pods.csv\n"
        "policies: {placement: {kind: fgd}}\n"
    )
    top = tmp_path / "top.yaml"
    top.write_text("extends: lists/base.yaml\narrival: 50 %\n")
    document = read(top)
    scenario = check(document)
    assert scenario.written["nodes"] == "lists/nodes.csv"
    assert scenario.written["pods"] == "lists/pods.csv"
    assert {str(place.relative_to(tmp_path.resolve())) for place in document.folders.named} == {
        "lists/base.yaml", "lists/nodes.csv", "lists/pods.csv",
    }  # fmt: skip
    alone = check(read_text(yaml_of(scenario.written), folder=tmp_path))
    assert alone.resolved == scenario.resolved


_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
    | st.sampled_from(["no", "1e3", "0o17", "0x1f", "12:30", "010", "~", ".inf", "2023-07-12", "",
                       "- a", "a: b", "#", "'", '"', "1_000", "9" * 30, "=", "<<", "y"])
)  # fmt: skip
_KEYS = st.text(st.sampled_from("abcxyz_-"), min_size=1, max_size=6)
_TREES = st.recursive(
    _SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(_KEYS, below, max_size=4)
)


@given(st.dictionaries(_KEYS, _TREES, min_size=1, max_size=4))
def test_what_is_written_reads_as_it_was(tree: dict[str, Any]) -> None:
    node, problems = compose(yaml_of(tree), "test.yaml")
    assert problems == []
    assert node.plain() == _without_nulls(tree)


def _without_nulls(value: Any) -> Any:
    """A key set to null counts as absent."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
