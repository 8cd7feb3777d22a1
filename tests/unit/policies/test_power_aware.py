"""Power-aware routing: what hangs where, and which rack gets the next prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.engine.power_places import power_places
from sim.errors import RackplanError
from sim.policies.base import NO_PLACES, PowerPlaces, RoutingView
from sim.policies.routing.power_aware import PowerAware, feeds_load
from sim.rng import KeyedBits
from tests.engine_world import Given, constant_cost, model, pool, scenario, workload, world

RNG = KeyedBits(1, "policy/routing/pool")
#: Three replicas in one rack, one in another, which is rated for half.
UNEVEN = PowerPlaces(
    {"rack": (((0, 1.0),), ((0, 1.0),), ((0, 1.0),), ((1, 1.0),))}, {"rack": (40e3, 20e3)}
)


def view(
    prompts: tuple[int, ...], tokens: tuple[int, ...], places: PowerPlaces = UNEVEN
) -> RoutingView:
    """A request of 100 tokens."""
    return RoutingView(
        time_s=0.0, request_id=0, input_tokens=90, expected_output_tokens=10, priority=1,
        replicas=len(prompts), outstanding_requests=(0,) * len(prompts), outstanding_tokens=tokens,
        outstanding_prompt_tokens=prompts, power=places,
    )  # fmt: skip


def order(router: PowerAware, *what: Any) -> list[int]:
    """Where the router would send a request, best first."""
    return list(router.decide(view(*what), None, RNG))


FREE = PowerAware(slack=100.0)


def test_who_has_no_prompt_is_best_in_the_rack_with_the_fewest_for_its_limit() -> None:
    assert order(FREE, (0, 0, 0, 0), (9, 5, 7, 6)) == [1, 3, 2, 0]
    assert order(FREE, (80, 0, 0, 0), (9, 5, 7, 6)) == [3, 1, 2, 0]  # 1/40 against none
    assert order(FREE, (80, 80, 0, 80), (9, 5, 7, 6)) == [2, 1, 3, 0]


def test_prompts_may_wait_for_the_sake_of_power() -> None:
    queue = replace(FREE, queue=True)
    assert order(queue, (80, 80, 0, 80), (9, 5, 7, 6)) == [1, 3, 2, 0]  # 2/40 and 1/20: as much
    assert order(queue, (80, 80, 80, 80), (9, 5, 7, 9)) == [3, 1, 2, 0]  # 3/40 against 1/20
    assert order(queue, (80, 0, 0, 80), (9, 5, 7, 1)) == [1, 2, 0, 3]  # 1/40 against 1/20


def test_who_is_behind_is_left_alone() -> None:
    """450 + 100 against 1.5 · (450/4 + 100)."""
    assert order(PowerAware(slack=1.5), (50, 0, 0, 0), (0, 0, 0, 450)) == [1, 2, 0, 3]


def test_two_feeds_count_by_their_shares_and_the_worst_judges() -> None:
    both = PowerPlaces(
        {"pdu": (((0, 0.5), (1, 0.5)), ((0, 0.5), (2, 0.5)))}, {"pdu": (float("inf"),) * 3}
    )
    assert feeds_load(both, "pdu", (100, 10)) == [55.0, 55.0]
    assert feeds_load(NO_PLACES, "pdu", (100, 10)) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"level": "racks"}, r"level must be rack, pdu or ups, not 'racks' \(did you mean 'rack'"),
        ({"slack": 0.5}, "slack must be at least 1, which is the mean, not 0.5"),
    ],
)
def test_senseless_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(RackplanError, match=message):
        PowerAware(**parameters)


def test_where_replicas_hang() -> None:
    """Nine replicas of two GPUs on three nodes of a rack with two feeds, the tree of the tests."""
    nine = pool(model(constant_cost(1.0), gpus=2), replicas=9)
    made = world(scenario([nine], [workload()], nodes=3), [Given([])])
    places = power_places(made, 0, made.replicas)
    assert places.feeds["rack"] == (((0, 1.0),),) * 9
    assert places.feeds["pdu"] == (((0, 0.5), (1, 0.5)),) * 9
    assert places.feeds["ups"] == (((0, 0.5), (1, 0.5)),) * 9
    assert places.limit_w == {"rack": (50e3,), "pdu": (60e3,) * 2, "ups": (100e3,) * 2}


def test_limits_are_the_lower_of_rating_and_budget() -> None:
    one = scenario([pool(model(constant_cost(1.0)))], [workload()])
    nodes = tuple(
        replace(node, rating_w=None, budget_w=None) if node.name == "ups-a"
        else replace(node, budget_w=30e3)
        for node in one.power.nodes
    )  # fmt: skip
    changed = replace(one, power=replace(one.power, nodes=nodes))
    made = world(changed, [Given([])])
    places = power_places(made, 0, made.replicas)
    assert places.limit_w == {"rack": (30e3,), "pdu": (30e3,) * 2, "ups": (float("inf"), 30e3)}
