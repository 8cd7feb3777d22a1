"""No time above a limit goes unlogged: spans against the true draw, whatever a controller does.

A failure names its case: ``overloaded(17)``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from itertools import groupby
from random import Random
from typing import Any

import pytest

from tests.property.engine_pair import CANDIDATE, REFERENCE, serve_case
from tests.property.foreign_controllers import Lulling
from tests.property.random_cases import Case
from tests.property.random_control import controlled_case

SAMPLES = 2_000

Spans = dict[int, list[tuple[float, float, int]]]


def overloaded(seed: int) -> Case:
    """A random world under its random controller; one in three under one that works against us."""
    case = controlled_case(seed)
    scenario = case.world.scenario
    warm_up_s = Random(seed).choice([0.0, 0.3, 0.5]) * scenario.duration_s
    scenario = replace(scenario, warm_up_s=warm_up_s)
    if seed % 3 == 0:
        scenario = replace(scenario, power_policy=Lulling())
    return replace(case, world=replace(case.world, scenario=scenario))


def states(
    case: Case, tables: dict[str, list[dict[str, Any]]]
) -> dict[int, list[tuple[float, int]]]:
    """By node with a limit: (since when, how much above the limit), from every change of draw."""
    found: dict[int, list[tuple[float, int]]] = defaultdict(list)
    nodes = case.world.scenario.power.nodes
    for row in tables["power"]:
        node = nodes[row["node"]]
        limit_w = node.rating_w if node.budget_w is None else node.budget_w
        if limit_w is not None:
            judged_mw = row["in_mw"] if node.kind == "utility" else row["out_mw"]
            found[row["node"]].append((row["t_s"], judged_mw - round(limit_w * 1000)))
    return found


def check_case(seed: int, engine: str) -> int:
    """Every claim about the spans of one run; how many there were."""
    case = overloaded(seed)
    tables, end_s = serve_case(case, engine).tables, case.world.horizon_s
    logged: Spans = defaultdict(list)
    for row in tables.get("over_limit", []):
        above_mw = row["peak_mw"] - row["limit_mw"]
        logged[row["node"]].append((row["start_s"], row["end_s"], above_mw))
    truth = states(case, tables)
    assert set(logged) <= set(truth), seed
    for node, changes in truth.items():
        assert logged[node] == by_definition(changes, end_s), (seed, node)
        sampled(Random(seed), changes, logged[node], end_s)
    scenario = case.world.scenario
    for row in tables["power_nodes"]:
        inside_s = sum(
            max(0.0, min(end, scenario.duration_s) - max(start, scenario.warm_up_s))
            for start, end, _ in logged[row["node"]]
        )
        assert inside_s == pytest.approx(row["over_limit_s"] or 0.0, abs=1e-9), (seed, row["name"])
    return sum(map(len, logged.values()))


def by_definition(changes: list[tuple[float, int]], end_s: float) -> list[tuple[float, float, int]]:
    """Every longest span with more than the limit, and the most above it."""
    ends = [*(start_s for start_s, _ in changes), end_s][1:]
    lasting = [
        (start_s, end, above_mw)
        for (start_s, above_mw), end in zip(changes, ends, strict=True)
        if end > start_s
    ]
    found = []
    for over, group in groupby(lasting, lambda one: one[2] > 0):
        every = list(group)
        if over:
            found.append((every[0][0], every[-1][1], max(above for _, _, above in every)))
    return found


def sampled(
    rng: Random,
    changes: list[tuple[float, int]],
    spans: list[tuple[float, float, int]],
    end_s: float,
) -> None:
    """At many moments: above the limit in truth exactly where a span says so."""
    since = [start_s for start_s, _ in changes]
    starts = [start_s for start_s, _, _ in spans]
    for number in range(SAMPLES):
        at_s = end_s * (number + rng.random()) / SAMPLES
        over = changes[bisect_right(since, at_s) - 1][1] > 0
        place = bisect_right(starts, at_s) - 1
        assert (place >= 0 and at_s < spans[place][1]) == over, at_s


@pytest.mark.parametrize("engine", [REFERENCE, CANDIDATE])
def test_no_time_above_a_limit_goes_unlogged(engine: str) -> None:
    found = [check_case(seed, engine) for seed in range(30)]
    assert sum(found) > 100
    assert sum(found[::3]) > 20  # under the controller that works against us


@pytest.mark.deep
def test_no_time_above_a_limit_goes_unlogged_in_many_runs() -> None:
    assert sum(check_case(seed, CANDIDATE) for seed in range(1_000, 1_150)) > 1_000
