"""Policies that score nodes, where replicas are placed."""

from __future__ import annotations

import numpy as np
import pytest

from sim.policies.base import PlacementView, policies
from sim.policies.ranked import Ranked
from sim.policies.scoring import scores
from sim.rng import KeyedBits
from tests.engine_world import policy, site

RNG = KeyedBits(1, "policy/placement/pool")
SCORING = [kind for kind, cls in policies("placement").items() if scores(cls)]


def ranked(kind: str, allowed: np.ndarray, width: int, stages: int) -> list[tuple[int, ...]]:
    view = PlacementView(site(len(allowed) // 8), allowed, width, stages, "pool", 0)
    return list(Ranked(policy("placement", kind), 1, [(width, 4)]).decide(view, None, RNG))


@pytest.mark.parametrize("kind", SCORING)
@pytest.mark.parametrize(("width", "stages"), [(1, 1), (4, 1), (8, 1), (4, 3), (16, 1)])
def test_every_suggestion_holds(kind: str, width: int, stages: int) -> None:
    """Distinct GPUs that are allowed, as many as are needed, each group in one domain."""
    allowed = np.random.default_rng(2).random(48) < 0.8
    allowed[:16] = True
    found = ranked(kind, allowed, width, stages)
    assert found
    for gpus in found:
        assert len(set(gpus)) == len(gpus) == width * stages
        assert allowed[list(gpus)].all()
        unit = min(width, 8)
        for start in range(0, len(gpus), unit):
            assert len({gpu // 8 for gpu in gpus[start : start + unit]}) == 1
    firsts = [gpus[0] // 8 for gpus in found]
    assert len(set(firsts)) == len(firsts)


def test_a_score_says_what_topology_aware_decides() -> None:
    """Its score ranks the first groups as its ``decide`` does."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        allowed = rng.random(64) < rng.uniform(0.2, 1.0)
        place = policy("placement", "topology-aware")
        view = PlacementView(site(8), allowed, 2, 1, "pool", 0)
        decided = list(place.decide(view, place.new_state(), RNG))
        assert ranked("topology-aware", allowed, 2, 1) == decided


def test_fgd_keeps_whole_nodes_for_wide_groups() -> None:
    """With groups of 8 to come, a single GPU goes where one is missing already."""
    allowed = np.ones(24, dtype=bool)
    allowed[12] = False
    view = PlacementView(site(3), allowed, 1, 1, "small", 0)
    chooser = Ranked(policy("placement", "fgd"), 1, [(1, 2), (8, 2)])
    assert next(iter(chooser.decide(view, None, RNG)))[0] // 8 == 1
