"""What docs/routing.md says of policies, on the scenarios of its studies."""

from __future__ import annotations

from functools import cache

import sim
from sim.paths import share
from sim.study.points import Study, load_study


@cache
def loaded(study: str) -> Study:
    """A shipped study."""
    return load_study(share("scenarios") / "studies" / f"{study}.yaml", seeds=1)


def metric(name: str, study: str, level: str, router: str) -> float:
    """A metric of the point of a study whose labels are these, under its first seed."""
    (point,) = (point for point in loaded(study).points if point.labels == (level, router))
    return float(sim.run_scenario(point.scenario, engine="compiled").metrics[name].value)


def test_slo_aware_learns_who_is_slow() -> None:
    """1.85 against 8.77 s over eight seeds."""
    found = [
        metric("long.ttft_p99", "routing", "slow GPUs", router)
        for router in ("least tokens", "slo-aware")
    ]
    assert found[1] < 0.5 * found[0]


def test_beginnings_stay_together_under_session_affinity() -> None:
    """83.1 ± 0.3 % against 54.1 ± 0.9 % over eight seeds."""
    found = [
        metric("short.prefix_hit_fraction", "routing", "system prompts", router)
        for router in ("least tokens", "session-affinity")
    ]
    assert found[1] > found[0] + 0.2


def test_power_aware_lowers_the_peak_of_a_full_rack_if_prompts_may_wait() -> None:
    """By 2.8 ± 0.5 kW of 34.1 over eight seeds."""
    found = [
        metric("power[row-1-rack-1].peak_w", "routing-power", "light", router)
        for router in ("least tokens", "power-aware, queue")
    ]
    assert found[1] < found[0] - 1000.0
