"""Placement: which GPUs the built-in policies suggest, and what a large site costs them."""

from __future__ import annotations

import numpy as np
import pytest

from sim.policies.base import PlacementView
from sim.rng import KeyedBits
from tests.engine_world import policy, site

RNG = KeyedBits(1, "policy/placement/pool")


def suggestions(kind: str, allowed: np.ndarray, width: int, stages: int) -> list[tuple[int, ...]]:
    """Everything that the policy suggests for one replica, best first."""
    place = policy("placement", kind)
    view = PlacementView(site(len(allowed) // 8), allowed, width, stages, "pool", 0)
    return list(place.decide(view, place.new_state(), RNG))


def plainly(allowed: np.ndarray, width: int, stages: int) -> list[tuple[int, ...]]:
    """What ``topology-aware`` promises, one GPU at a time; domains are nodes of 8 GPUs."""
    free: dict[int, list[int]] = {}
    for gpu, is_free in enumerate(allowed.tolist()):
        if is_free:
            free.setdefault(gpu // 8, []).append(gpu)
    fullest_first = sorted(free, key=lambda domain: (len(free[domain]), domain))
    found = []
    for first in fullest_first:
        order = [first, *(domain for domain in fullest_first if domain != first)]
        groups = [
            free[domain][start : start + width]
            for domain in order
            for start in range(0, len(free[domain]) - width + 1, width)
        ]
        if len(free[first]) >= width and len(groups) >= stages:
            found.append(tuple(gpu for group in groups[:stages] for gpu in group))
    return found


def test_topology_aware_takes_the_fullest_node_that_has_room() -> None:
    allowed = np.ones(24, dtype=bool)
    allowed[[0, 8, 9, 10, 11, 12]] = False  # 7, 3 and 8 GPUs are free
    assert suggestions("topology-aware", allowed, 4, 1) == [(1, 2, 3, 4), (16, 17, 18, 19)]
    assert suggestions("topology-aware", allowed, 2, 1)[0] == (13, 14)


def test_topology_aware_puts_further_stages_beside_the_first_while_there_is_room() -> None:
    allowed = np.ones(16, dtype=bool)
    allowed[0] = False  # one group of 4 there, two in the other node
    assert suggestions("topology-aware", allowed, 4, 3) == [
        (1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15),
        (8, 9, 10, 11, 12, 13, 14, 15, 1, 2, 3, 4),
    ]
    assert suggestions("topology-aware", allowed, 8, 2) == []


def test_topology_aware_gives_wide_groups_whole_domains() -> None:
    allowed = np.ones(40, dtype=bool)
    allowed[9] = False  # the second node of five is not whole
    nodes = {node: tuple(range(8 * node, 8 * node + 8)) for node in range(5)}
    assert suggestions("topology-aware", allowed, 16, 1)[:2] == [
        nodes[0] + nodes[2],
        nodes[2] + nodes[0],
    ]
    assert suggestions("topology-aware", allowed, 16, 2)[0] == sum(
        (nodes[node] for node in (0, 2, 3, 4)), ()
    )
    assert suggestions("topology-aware", allowed, 16, 3) == []


@pytest.mark.parametrize("seed", range(20))
def test_topology_aware_keeps_its_promise_anywhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    allowed = rng.random(8 * 7) < rng.random()
    for width, stages in ((1, 1), (2, 3), (4, 2), (8, 1), (1, 60)):
        assert suggestions("topology-aware", allowed, width, stages) == plainly(
            allowed, width, stages
        )


def test_first_fit_goes_through_the_site_in_order() -> None:
    allowed = np.ones(16, dtype=bool)
    allowed[2] = False
    assert suggestions("first-fit", allowed, 2, 2)[:2] == [(0, 1, 3, 4), (1, 3, 4, 5)]
    assert suggestions("first-fit", np.zeros(8, dtype=bool), 1, 1) == []
