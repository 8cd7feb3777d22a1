"""What a mix costs, and what its tokens cost, by its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.cost.per_token import ratio
from sim.plan.mix.points import Mix
from sim.plan.mix.types import Vector
from sim.plan.runs import PlanRuns
from sim.results.result import RunResult
from sim.study.intervals import Interval, alike, student

HOURS_PER_YEAR = 8760.0


@dataclass(frozen=True)
class Mean:
    """A mean over seeds, or a ratio of sums, with its interval (Student's t, 95 %)."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Cost:
    """What a mix costs.

    Attributes:
        price: USD of its racks, or GPUs where those are counted.
        hardware_per_h: USD per hour over the stated life; None: no life is stated.
        energy_per_h: USD per hour; None: the base states no price of energy.
        tokens_per_s: output tokens within the objectives: of each workload those delivered times
            the share of its requests that met all of theirs.
        per_mtoken: USD per million of those, hardware and, if known, energy; None without a life.
    """

    price: float
    hardware_per_h: float | None
    energy_per_h: Mean | None
    tokens_per_s: Mean
    per_mtoken: Mean | None


def cost_of(mix: Mix, vector: Vector, runs: PlanRuns) -> Cost:
    """What a mix costs that was run."""
    results = list(runs.results(mix.point_of(vector)).values())
    scenario = mix.scenario(mix.point_of(vector))
    names = [workload.name for workload in scenario.workloads]
    tokens = [_tokens_per_s(result, names) for result in results]
    energy = [_energy_per_h(result, scenario.duration_s - scenario.warm_up_s) for result in results]
    known = [value for value in energy if value is not None]
    energy_per_h = known if len(known) == len(results) else None
    price = mix.mixes.price(vector)
    life_years = mix.spec.life_years
    hourly = price / (life_years * HOURS_PER_YEAR) if mix.bought and life_years else None
    per_mtoken = None
    if hourly is not None and all(tokens):
        costs = energy_per_h or [0.0] * len(tokens)
        per_mtoken = _ratio(
            [hourly + of_energy for of_energy in costs], [3600.0 * rate / 1e6 for rate in tokens]
        )
    return Cost(
        price,
        hourly,
        None if energy_per_h is None else _mean(energy_per_h),
        _mean(tokens),
        per_mtoken,
    )


def _tokens_per_s(result: RunResult, workloads: Sequence[str]) -> float:
    found = 0.0
    for name in workloads:
        rate = result.metrics[f"{name}.output_tokens_per_s"].si
        share = result.metrics[f"{name}.goodput_fraction"].si
        found += (rate or 0.0) * (share or 0.0)
    return found


def _energy_per_h(result: RunResult, window_s: float) -> float | None:
    cost = result.metrics["energy_cost"].si
    return None if cost is None else 3600.0 * cost / window_s


def _ratio(tops: Sequence[float], bottoms: Sequence[float]) -> Mean | None:
    """Σ tops / Σ bottoms, as ``rackplan cost`` has it: seeds with more tokens count for more."""
    found = ratio(tops, bottoms)
    if found is None:
        return None
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    return Mean(found.value, Interval(low, high))


def _mean(values: Sequence[float]) -> Mean:
    if len(values) < 2 or alike(values):
        mean = sum(values) / len(values)
        return Mean(mean, Interval(mean, mean))
    found = student(values)
    return Mean(sum(values) / len(values), found.interval)
