"""A path binds where requests missed by no more than it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.cli.summary_paths import path_sentence
from sim.results.memory import MemorySink
from sim.results.result import RunResult
from sim.results.verdict import verdict
from tests.unit.results.by_hand import fill, summariser
from tests.unit.results.test_verdict import FREE, good, miss, nodes, result_of


def run(ttft_s: float, path: dict[str, Any] | None) -> RunResult:
    """Every fifth request has its first token after ``ttft_s``; the objective is 1 s."""
    rows = miss(good(), 5, admitted_s=0.05, first_token_s=ttft_s)
    rows["end_s"] = rows["first_token_s"] + 0.02 * (rows["output_tokens"] - 1)
    if path is not None:
        rows["ingress_s"] = np.full(len(rows["met"]), 0.05)
    sink = summariser(MemorySink())
    fill(sink, rows, power_nodes=nodes(), replicas=FREE)
    entry = {"name": "chat"} if path is None else {"name": "chat", "path": path}
    return result_of(sink, resolved={"workload": [entry]})


def ways(ingress_s: float, egress_s: float) -> dict[str, Any]:
    return {"kinds": ["network"], "ingress_s": ingress_s, "egress_s": egress_s}


def test_a_path_binds_that_all_misses_are_due_to() -> None:
    judged = verdict(run(1.05, ways(0.06, 0.04)))
    limits = {limit.kind: limit for limit in judged.limits if limit.binds}
    assert limits["path"].share == pytest.approx(0.2, abs=0.01)
    assert limits["path"].sentence == (
        "path of chat: 100 ms of its TTFT objective of 1.00 s go to the way to the pool and back, "
        "and 19.9 % of its requests missed it by no more than that"
    )
    # All misses of the pool's speed are also the path's.
    assert judged.binding == limits["path"]
    assert limits["speed"].share == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("path", [None, ways(0.02, 0.01)])
def test_a_miss_by_more_is_not_the_paths(path: dict[str, Any] | None) -> None:
    judged = verdict(run(1.05, path))
    assert "path" not in {limit.kind for limit in judged.limits if limit.binds}


def test_a_path_longer_than_the_objective_comes_first() -> None:
    judged = verdict(run(1.2, ways(0.6, 0.5)))
    assert judged.binding is not None
    assert judged.binding.kind == "path"
    assert judged.next_step == "a site nearer to the users of chat, or a shorter workload.path"


def test_the_summary_says_how_far_users_are() -> None:
    assert path_sentence(run(0.5, None).manifest) == ""
    assert path_sentence(run(0.5, ways(0.06, 0.04)).manifest) == (
        "Path: chat 60.0 ms to its pool and 40.0 ms back (network); TTFT and E2E include both ways"
    )
