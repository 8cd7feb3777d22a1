"""Routing policies that a scenario leaves blind: one warning each, and none where they see."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.check import check
from sim.spec import read_text
from tests.unit.check.test_prefix_keys import BASE

HEAD = "arrival_s,input_tokens,output_tokens"
NO_SESSIONS = "workload[chat]: tells no sessions, which 'session-affinity'"
BY_TOKENS = "its requests go to the replica with the fewest outstanding tokens"
CLOSED = {"clients": 4, "rate": None}


def warnings(
    folder: Path, routing: dict[str, Any], load: dict[str, Any], **changes: Any
) -> list[str]:
    """The warnings about routing of the base with this policy and changed keys of its workload."""
    tree = copy.deepcopy(BASE) | {"policies": {"routing": routing}} | changes
    merged = {**tree["workload"][0], **load}
    tree["workload"] = [{key: value for key, value in merged.items() if value is not None}]
    scenario = check(read_text(yaml.safe_dump(tree), file="f.yaml", folder=folder))
    return [one for one in scenario.warnings if routing["kind"] in one]


def traced(folder: Path, text: str) -> dict[str, Any]:
    """A workload that replays ``text``."""
    (folder / "trace.csv").write_text(text)
    return {"source": None, "rate": None, "trace": {"file": "trace.csv"}}


def test_an_open_source_tells_no_sessions(tmp_path: Path) -> None:
    (told,) = warnings(tmp_path, {"kind": "session-affinity"}, {})
    assert told.startswith(NO_SESSIONS)
    assert BY_TOKENS in told


def test_shared_prompts_stand_for_sessions(tmp_path: Path) -> None:
    shared = {"shared_prefix": {"prompts": 4, "tokens": 512}}
    (told,) = warnings(tmp_path, {"kind": "session-affinity"}, shared)
    assert "the beginning of each prompt stands for one" in told
    (told,) = warnings(tmp_path, {"kind": "session-affinity", "prefix_blocks": 0}, shared)
    assert BY_TOKENS in told


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"{HEAD}\n0,5,1\n1,5,1\n", 1),
        (f"{HEAD},session\n0,5,1,3\n1,5,1,\n", 0),
        (f"{HEAD},after_request,think_s\n0,5,1,,\n,5,1,0,2\n", 0),
    ],
)
def test_a_trace_tells_them_by_a_column_or_by_what_follows(
    tmp_path: Path, text: str, count: int
) -> None:
    found = warnings(tmp_path, {"kind": "session-affinity"}, traced(tmp_path, text))
    assert [one.startswith(NO_SESSIONS) for one in found] == [True] * count


def test_clients_are_sessions(tmp_path: Path) -> None:
    assert warnings(tmp_path, {"kind": "session-affinity"}, CLOSED) == []


def test_slo_aware_wants_an_objective(tmp_path: Path) -> None:
    (told,) = warnings(tmp_path, {"kind": "slo-aware"}, {"slo": {"tpot": "60 ms"}})
    assert told.startswith("workload[chat]: has no TTFT objective")
    assert warnings(tmp_path, {"kind": "slo-aware"}, {"slo": {"ttft": "1 s"}}) == []


def test_power_aware_wants_two_nodes(tmp_path: Path) -> None:
    (told,) = warnings(tmp_path, {"kind": "power-aware"}, {})
    assert told.startswith("pools[chat]: the electrical tree has one rack, so 'power-aware'")
    site = copy.deepcopy(BASE["site"])
    site["halls"][0]["rows"][0]["racks"][0]["count"] = 2
    assert warnings(tmp_path, {"kind": "power-aware"}, {}, site=site) == []
