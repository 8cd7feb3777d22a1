"""The keys of prefixes: what a pool keeps, what requests share, what a trace's ids stand for."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.check import Scenario, check
from sim.errors import ScenarioError
from sim.spec import read_text
from sim.workload.plan import SharedPrefix, TraceSpec

BASE: dict[str, Any] = {
    "rackplan": 1,
    "name": "base",
    "duration": "10 min",
    "site": {
        "halls": [
            {"name": "hall-a", "rows": [{"name": "row-1", "racks": [{"type": "dgx-h100-2"}]}]}
        ]
    },
    "llms": [{"name": "llama-3.1-70b", "precision": "fp8"}],
    "pools": [{"name": "chat", "llm": "llama-3.1-70b", "tensor_parallel": 4, "replicas": 4}],
    "workload": [{"name": "chat", "pool": "chat", "source": "synthetic-chat", "rate": "4 /s"}],
}
IDS = "arrival_s,input_tokens,output_tokens,prefix_ids\n0,100,10,1 2\n1,90,20,1\n"
PLAIN = "arrival_s,input_tokens,output_tokens\n0,100,10\n1,90,20\n"


def checked(folder: Path, pool: dict[str, Any], workload: dict[str, Any]) -> Scenario:
    """The base with changed keys of its pool and its workload; None takes a key away."""
    tree = copy.deepcopy(BASE)
    tree["pools"][0] |= pool
    load = {**tree["workload"][0], **workload}
    tree["workload"] = [{key: value for key, value in load.items() if value is not None}]
    return check(read_text(yaml.safe_dump(tree), file="f.yaml", folder=folder))


def traced(folder: Path, text: str, **trace: Any) -> tuple[TraceSpec, list[str]]:
    """The trace of a workload that replays ``text``, and the warnings about it."""
    (folder / "trace.csv").write_text(text)
    load = {"source": None, "rate": None, "trace": {"file": "trace.csv", **trace}}
    scenario = checked(folder, {}, load)
    found = scenario.workloads[0].trace
    assert found is not None
    return found, [warning for warning in scenario.warnings if "trace" in warning]


@pytest.mark.parametrize(("written", "kept"), [({}, True), ({"prefix_cache": False}, False)])
def test_a_pool_keeps_prefixes_unless_told_not_to(
    tmp_path: Path, written: dict[str, Any], kept: bool
) -> None:
    scenario = checked(tmp_path, written, {})
    assert scenario.pools[0].prefix_cache is kept
    assert scenario.resolved["pools"][0]["prefix_cache"] is kept


def test_shared_prompts(tmp_path: Path) -> None:
    scenario = checked(tmp_path, {}, {"shared_prefix": {"prompts": 64, "tokens": 2048}})
    synthetic = scenario.workloads[0].synthetic
    assert synthetic is not None
    assert synthetic.shared_prefix == SharedPrefix(prompts=64, tokens=2048, skew=1.0)
    resolved = scenario.resolved["workload"][0]["synthetic"]["shared_prefix"]
    assert resolved == {"prompts": 64, "tokens": 2048, "skew": 1.0}


def test_tokens_of_a_trace_s_ids(tmp_path: Path) -> None:
    found, warnings = traced(tmp_path, IDS, prefix_block_tokens=32)
    assert found.prefix_block_tokens == 32
    assert warnings == []


def test_tokens_of_ids_that_are_not_there(tmp_path: Path) -> None:
    found, warnings = traced(tmp_path, PLAIN, prefix_block_tokens=32)
    assert found.prefix_block_tokens == 32
    assert len(warnings) == 1
    assert "has no effect: the trace has no prefix ids" in warnings[0]


def test_every_problem_of_a_trace_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        traced(tmp_path, "arrival_s,input_tokens\n", prefix_block_tokens=20)
    places = [problem.path for problem in caught.value.problems]
    assert places == ["workload[0].trace.file", "workload[0].trace.prefix_block_tokens"]
