"""SLO-aware routing: what it measures, whom it takes for in time, and what it does then."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from sim.errors import RackplanError
from sim.policies.base import RoutingView
from sim.policies.routing.slo_aware import SloAware, Speed
from sim.rng import KeyedBits
from sim.workload.plan import Objectives
from tests.engine_world import Given, constant_cost, model, pool, scenario, serve, workload

RNG = KeyedBits(1, "policy/routing/pool")


def view(
    prompts: tuple[int, ...], served: tuple[int, ...], seconds: tuple[float, ...],
    objective_s: float = 2.0, tokens: tuple[int, ...] | None = None, own: int = 1000,
) -> RoutingView:  # fmt: skip
    """Replicas with these prompts outstanding and this past, and a prompt of ``own`` tokens."""
    return RoutingView(
        time_s=0.0, request_id=0, input_tokens=own, expected_output_tokens=10, priority=1,
        replicas=len(prompts), outstanding_requests=(0,) * len(prompts),
        outstanding_tokens=tokens or prompts, ttft_objective_s=objective_s,
        outstanding_prompt_tokens=prompts, served_prompt_tokens=served, serving_prompts_s=seconds,
    )  # fmt: skip


def order(router: SloAware, *what: Any, **more: Any) -> list[int]:
    """Where a router that has seen nothing before would send a request, best first."""
    return list(router.decide(view(*what, **more), router.new_state(), RNG))


TIGHT = SloAware(choose="tightest")
EQUAL = (10_000,) * 3, (1.0,) * 3  # 10,000 tokens/s each


def test_of_those_in_time_the_lightest_is_best() -> None:
    """Predictions 0.1, 0.9 and 1.1 s against half of 2 s."""
    router, prompts = SloAware(), (0, 8_000, 10_000)
    assert order(router, prompts, *EQUAL, tokens=(20_000, 9_000, 0)) == [1, 0, 2]


def test_best_fit_takes_the_latest_that_is_in_time() -> None:
    assert order(TIGHT, (0, 8_000, 10_000), *EQUAL, tokens=(0, 9_000, 0)) == [1, 0, 2]


def test_if_none_is_in_time_the_earliest_is_best() -> None:
    assert order(SloAware(), (30_000, 20_000, 25_000), *EQUAL) == [1, 2, 0]


def test_the_margin_is_a_share_of_the_objective() -> None:
    prompts = (0, 8_000, 10_000)
    assert order(replace(TIGHT, margin=1.0), prompts, *EQUAL) == [2, 1, 0]
    assert order(replace(TIGHT, margin=0.05), prompts, *EQUAL) == [0, 1, 2]
    assert order(TIGHT, prompts, *EQUAL, objective_s=1.0) == [0, 1, 2]


def test_a_slow_replica_is_known_by_what_it_did() -> None:
    """0.1 s and, at a hundredth of the speed, 10 s."""
    assert order(SloAware(), (0, 0), (10_000, 10_000), (1.0, 100.0)) == [0, 1]


def test_ties_go_to_the_one_with_fewer_tokens_outstanding_then_the_lower() -> None:
    assert order(SloAware(), (0, 0, 0), *EQUAL, tokens=(50, 20, 20)) == [1, 2, 0]


def test_who_has_done_nothing_counts_as_fast_as_the_fastest() -> None:
    """Predictions 0.15, 0.1 and 0.4 s."""
    past = (10_000, 0, 10_000), (1.0, 0.0, 4.0)
    assert order(TIGHT, (500, 0, 0), *past) == [2, 0, 1]
    assert order(replace(TIGHT, margin=0.06), (500, 0, 0), *past) == [1, 0, 2]


@pytest.mark.parametrize("objective_s", [2.0, math.inf])
def test_without_a_past_or_an_objective_it_goes_by_outstanding_tokens(objective_s: float) -> None:
    past = ((0, 0, 0), (0.0, 0.0, 0.0)) if objective_s == 2.0 else EQUAL
    found = order(SloAware(), (5, 5, 5), *past, objective_s=objective_s, tokens=(9, 3, 6))
    assert found == [1, 2, 0]


def test_the_past_fades() -> None:
    speed = Speed()
    assert speed.look(1000, 1.0, 10.0) == 1000.0
    assert speed.look(1000, 1.0, 10.0) == 1000.0  # nothing new
    keep = math.exp(-5.0 / 10.0)
    expected = (keep * 1000 + 500) / (keep * 1.0 + 5.0)
    assert speed.look(1500, 6.0, 10.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"margin": 0.0}, "margin must be above 0 % and at most 100 %, not 0 %"),
        ({"margin": 1.5}, "margin must be above 0 % and at most 100 %, not 150 %"),
        ({"choose": "best"}, "choose must be lightest or tightest, not 'best'"),
        ({"memory": 0.0}, "memory must be above 0 s and finite, not 0 s"),
        ({"memory": math.inf}, "memory must be above 0 s and finite, not inf s"),
    ],
)
def test_senseless_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(RackplanError, match=message):
        SloAware(**parameters)


SEEN: list[RoutingView] = []


class Watching(SloAware):
    """Keeps what it is shown."""

    def decide(self, view: RoutingView, state: Any, rng: KeyedBits) -> Any:
        SEEN.append(view)
        return super().decide(view, state, rng)


def test_what_the_gateway_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """One replica whose iterations take a second: first tokens at 1, 4 (two of them) and 11 s."""
    monkeypatch.setattr("sim.engine.reference_pools.kind_of", lambda _: "slo-aware")
    SEEN.clear()
    rows = [
        {"arrival_s": at_s, "input_tokens": tokens, "output_tokens": 1}
        for at_s, tokens in [(0.0, 100), (3.0, 200), (3.0, 300), (10.0, 400), (20.0, 500)]
    ]
    one = replace(pool(model(constant_cost(1.0))), routing=Watching())
    load = replace(workload(), objectives=Objectives(2.0, None, None))
    serve(scenario([one], [load]), [Given(rows)], engine="reference")
    assert [v.outstanding_prompt_tokens for v in SEEN] == [(0,), (0,), (200,), (0,), (0,)]
    assert [v.served_prompt_tokens for v in SEEN] == [(0,), (100,), (100,), (600,), (1000,)]
    assert [v.serving_prompts_s for v in SEEN] == [(0.0,), (1.0,), (1.0,), (2.0,), (3.0,)]
    assert {v.ttft_objective_s for v in SEEN} == {2.0}


def test_long_prompts_do_not_keep_short_ones_waiting() -> None:
    """A replica is busy with a long prompt; short ones that come then find the other in time."""
    rows = [{"arrival_s": 0.0, "input_tokens": 64, "output_tokens": 1}]
    rows += [{"arrival_s": 5.0, "input_tokens": 40_000, "output_tokens": 1}]
    rows += [
        {"arrival_s": 5.0 + 0.3 * i, "input_tokens": 64, "output_tokens": 1} for i in range(1, 9)
    ]
    two = replace(pool(model(blocks=3000), replicas=2), routing=SloAware())
    load = replace(workload(), objectives=Objectives(0.5, None, None))
    run = serve(scenario([two], [load]), [Given(rows)])
    served = {row["request_id"]: row["replica"] for row in run.rows("requests")}
    assert served[1] not in {served[i] for i in range(2, 10)}
