"""Prefix-aware routing: what the router remembers, and when load is stronger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.errors import RackplanError
from sim.policies.base import RoutingView
from sim.policies.routing.least_outstanding import LeastOutstandingTokens
from sim.policies.routing.prefix_aware import PrefixAware, PrefixIndex
from sim.rng import KeyedBits
from tests.engine_world import Given, constant_cost, model, policy, pool, scenario, serve, workload

RNG = KeyedBits(1, "policy/routing/pool")


def view(ids: list[int], tokens: tuple[int, ...] = (0, 0, 0), own: int = 100) -> RoutingView:
    """Three replicas with these outstanding tokens, and a request of ``own`` tokens."""
    return RoutingView(
        time_s=0.0, request_id=0, input_tokens=own - 10, expected_output_tokens=10, priority=1,
        replicas=len(tokens), outstanding_requests=(0,) * len(tokens), outstanding_tokens=tokens,
        prefix_ids=tuple(ids),
    )  # fmt: skip


def first(router: PrefixAware, state: PrefixIndex, *what: Any) -> int:
    """Where the router sends a request."""
    return next(router.decide(view(*what), state, RNG))


def test_a_prompt_goes_where_its_beginning_went() -> None:
    router = PrefixAware()
    state = router.new_state()
    assert first(router, state, [1, 2, 3], (5, 5, 0)) == 2
    assert first(router, state, [1, 2, 4], (0, 0, 5)) == 2
    assert first(router, state, [7, 8], (0, 5, 5)) == 0


def test_the_longest_beginning_wins() -> None:
    router = PrefixAware()
    state = router.new_state()
    state.note([1, 2, 3], 1)
    state.note([1, 9], 2)  # the first block went to 2 last, but 1 has three
    assert first(router, state, [1, 5]) == 2
    assert first(router, state, [1, 2, 3, 4]) == 1


def test_a_beginning_follows_the_request_that_had_it_last() -> None:
    router = PrefixAware(imbalance=1.0)
    state = router.new_state()
    assert first(router, state, [1, 2]) == 0
    assert first(router, state, [1, 2], (9000, 0, 8000)) == 1  # 0 has too much
    assert first(router, state, [1, 2], (0, 5, 8000)) == 1


@pytest.mark.parametrize(("load", "position"), [(1_000, 1), (3_200, 1), (3_210, 0)])
def test_imbalance_counts_the_request_on_both_sides(load: int, position: int) -> None:
    """load + 900 against 2 · ((load + 250)/3 + 900): equal at 3,200."""
    router = PrefixAware(imbalance=2.0)
    state = router.new_state()
    state.note([1], 1)
    assert first(router, state, [1], (125, load, 125), 900) == position


def test_an_idle_pool_keeps_what_it_knows_together() -> None:
    router = PrefixAware(imbalance=2.0)
    state = router.new_state()
    state.note([1], 1)
    assert first(router, state, [1], (0, 0, 0), 900) == 1


def test_a_short_match_does_not_count() -> None:
    router = PrefixAware(least_match=0.5)
    state = router.new_state()
    state.note([1], 2)
    assert first(router, state, [1, 5]) == 2
    state.note([1], 2)
    assert first(router, state, [1, 6, 7]) == 0


def test_it_forgets_what_was_used_longest_ago_and_its_deep_end_first() -> None:
    index = PrefixIndex(4)
    index.note([1, 2], 0)
    index.note([3, 4], 1)
    index.note([1], 0)
    index.note([5], 2)
    assert index.find([1, 2]) == (0, 1)  # 2 had to go, 1 was used again
    assert index.find([3, 4]) == (1, 2)
    index.note([6], 2)
    assert index.find([3, 4]) == (1, 1)


def test_where_it_was_refused_is_not_remembered() -> None:
    router = PrefixAware()
    state = router.new_state()
    state.note([1], 0)
    asked = router.decide(view([1, 2], (0, 7, 3)), state, RNG)
    assert [next(asked), next(asked)] == [0, 2]
    assert state.find([1, 2]) == (2, 2)
    assert list(asked) == [1]


def test_without_ids_it_is_least_outstanding_tokens() -> None:
    router, plain = PrefixAware(), LeastOutstandingTokens()
    state = router.new_state()
    for tokens in [(3, 1, 2), (0, 0, 0), (5, 5, 1)]:
        seen = view([], tokens)
        assert list(router.decide(seen, state, RNG)) == list(plain.decide(seen, None, RNG))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"index_blocks": 0}, "index_blocks must be at least 1, not 0"),
        ({"imbalance": 0.5}, "imbalance must be at least 1, which is the mean, not 0.5"),
        ({"least_match": 1.5}, "least_match must be from 0 % to 100 %, not 150 %"),
    ],
)
def test_senseless_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(RackplanError, match=message):
        PrefixAware(**parameters)


def test_it_raises_the_hits_of_a_pool() -> None:
    """Forty requests of four prompts on four replicas, one after another."""
    rows = [
        {"arrival_s": 3.0 * i, "input_tokens": 65, "output_tokens": 1,
         "prefix_ids": [10 * (i * 7 // 5 % 4) + block for block in range(4)]}
        for i in range(40)
    ]  # fmt: skip
    hits = {}
    for kind in ("round-robin", "prefix-aware"):
        four = replace(pool(model(constant_cost(1.0)), replicas=4), routing=policy("routing", kind))
        run = serve(scenario([four], [workload()]), [Given(rows)])
        hits[kind] = sum(row["prefix_hit_tokens"] > 0 for row in run.rows("requests"))
    assert hits["prefix-aware"] == 36  # all but the first of each prompt
    assert hits["round-robin"] < 30
