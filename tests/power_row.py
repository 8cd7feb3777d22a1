"""Days of the row of scenarios/polca-row.yaml and of the two that extend it, and their figures.

Everything is taken from the tables of a run: the true draw of the UPS, the requests, the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import sim
from sim.paths import share
from sim.results.result import RunResult
from sim.study.intervals import alike, student

Floats = NDArray[np.float64]

UPS, READING_S, HOUR_S, DAY_S = "row-ups", 2.0, 3600.0, 86_400.0
CLASSES = ("low", "high")

Sets = tuple[str, ...]

NO_POLICY: Sets = ("policies.power={kind: none}",)
#: Name of a policy → the changes of the scenario that make it.
POLICIES: dict[str, Sets] = {
    "none": NO_POLICY,
    "brake only": (
        "policies.power={kind: polca, watch: ups, low_clock: 1, low_deep_clock: 1, high_clock: 1}",
    ),
    "fixed 0.85": ("policies.power={kind: static-clock, high: 85.2 %, low: 85.2 %}",),
    "dynamo 2 s": (
        "policies.power={kind: dynamo, watch: ups}", "actuation.clock={delay: 2 s}",
    ),
    "polca": (),
}  # fmt: skip
#: Neither policy nor limit: the same arrivals as fast as they can be served.
FREE: Sets = (*NO_POLICY, "power.ups[row-ups].rating=10 MW")


def of_size(servers: int, req_per_s: float = 0.1, **extra_per_s: float) -> Sets:
    """A row of so many servers, the lower half for the low class, each with its peak rate.

    ``extra_per_s``: of further workloads of both classes, such as ``stampede=0.2``.
    """
    low = servers // 2
    sizes = {"low": low, "high": servers - low}
    sets = [f"site.halls[hall-a].rows[row].racks=[{{type: dgx-a100-row-1, count: {servers}}}]"]
    for name, count in sizes.items():
        sets.append(f"pools[{name}].replicas={count}")
        sets.append(f"workload[{name}].rate={count * req_per_s:.10g} /s")
        for what, rate in extra_per_s.items():
            sets.append(f"workload[{name}-{what}].rate={count * rate:.10g} /s")
    return tuple(sets)


@dataclass(frozen=True)
class Day:
    """One run.

    Attributes:
        peak, mean: of 2 s readings of the UPS, over its rating.
        over_s, longest_s: time above it, and the longest stretch of that.
        brakes: times that the brake was commanded.
        dropped: whether the UPS let its load go.
        e2e_s: class → arrivals and end-to-end seconds of what was completed, [n] each.
        unserved: requests that were not completed.
        capped: class → share of replica time below the highest clock.
    """

    peak: float
    mean: float
    over_s: float
    longest_s: float
    brakes: int
    dropped: bool
    e2e_s: dict[str, tuple[Floats, Floats]]
    unserved: int
    capped: dict[str, float]


def run_day(
    sets: Sequence[str], seed: int, file: str = "polca-row.yaml", until_s: float = DAY_S
) -> Day:
    """Run the scenario with changes, and take from its tables what a ``Day`` holds."""
    scenario = sim.load_scenario(share("scenarios") / file, sets=sets)
    result = sim.run_scenario(scenario, seed)
    names = [node.name for node in scenario.power.nodes]
    node = scenario.power.nodes[names.index(UPS)]
    assert node.rating_w is not None
    t_s, draw_w = draw_of(result, names.index(UPS), min(until_s, scenario.duration_s))
    spans_s = np.diff(t_s)
    over = draw_w > node.rating_w
    energy_j = np.concatenate([[0.0], np.cumsum(draw_w * spans_s)])
    readings_w = np.diff(np.interp(np.arange(0.0, t_s[-1] + 1e-9, READING_S), t_s, energy_j))
    events = result.tables["events"].to_pylist()
    requests = result.tables["requests"]
    done = {name: _completed(requests, name) for name in CLASSES}
    return Day(
        peak=float(readings_w.max()) / READING_S / node.rating_w,
        mean=float(energy_j[-1] / t_s[-1]) / node.rating_w,
        over_s=float(spans_s[over].sum()),
        longest_s=_longest(spans_s, over),
        brakes=sum(event["kind"] == "brake-commanded" for event in events),
        dropped=any(event["kind"] == "drops-load" for event in events),
        e2e_s=done,
        unserved=len(requests) - sum(len(e2e) for _, e2e in done.values()),
        capped={name: _capped(result, name) for name in CLASSES},
    )


def _capped(result: RunResult, pool: str) -> float:
    """Share of a pool's replica time below the highest clock."""
    for row in result.tables["clocks"].to_pylist():
        if row["pool"] == pool:
            return float(
                row["capped_s"] / (row["replicas"] * result.manifest["window"]["duration_s"])
            )
    raise KeyError(pool)


def draw_of(result: RunResult, node: int, until_s: float) -> tuple[Floats, Floats]:
    """[n + 1] moments and [n] watts between them of what a power node delivers, from 0 on."""
    table = result.tables["power"]
    mine = np.flatnonzero(table["node"].to_numpy() == node)
    t_s = table["t_s"].to_numpy()[mine]
    watts = table["out_mw"].to_numpy()[mine] / 1000.0
    kept = t_s < until_s
    return np.append(t_s[kept], until_s), watts[kept]


def _longest(spans_s: Floats, over: NDArray[np.bool_]) -> float:
    """The longest unbroken time above."""
    gathered = np.cumsum(np.where(over, spans_s, 0.0))
    before = np.maximum.accumulate(np.where(over, 0.0, gathered))
    return float((gathered - before).max(initial=0.0))


def _completed(requests: pa.Table, pool: str) -> tuple[Floats, Floats]:
    columns = requests.select(["pool", "arrival_s", "end_s", "outcome"]).to_pandas()
    mine = columns[(columns["pool"] == pool) & (columns["outcome"] == "completed")]
    arrival_s = mine["arrival_s"].to_numpy()
    return arrival_s, mine["end_s"].to_numpy() - arrival_s


@dataclass(frozen=True)
class Loss:
    """How much longer the requests of a class took than the same arrivals without a limit.

    ``p50``, ``p99``: of the day's quantiles; ``hour_p50``, ``hour_p99``: the worst hour of arrival.
    """

    p50: float
    p99: float
    hour_p50: float
    hour_p99: float


def loss(day: Day, free: Day, name: str) -> Loss:
    """The loss of one class; both days have the same arrivals."""
    both = [day.e2e_s[name], free.e2e_s[name]]
    whole = [np.quantile(e2e, (0.5, 0.99)) for _, e2e in both]
    hours = []
    for hour in range(int(free.e2e_s[name][0].max() // HOUR_S) + 1):
        parts = [e2e[(at // HOUR_S).astype(int) == hour] for at, e2e in both]
        if min(map(len, parts)) < 100:  # an hour of a dropped row has none
            continue
        quantiles = [np.quantile(part, (0.5, 0.99)) for part in parts]
        hours.append(quantiles[0] / quantiles[1] - 1.0)
    day_loss, worst = whole[0] / whole[1] - 1.0, np.max(hours, axis=0)
    return Loss(*map(float, (*day_loss, *worst)))


Case = tuple[str, Sets, str]  # a name, the changes, the scenario's file


def _one(job: tuple[Case, int]) -> Day:
    (_, sets, file), seed = job
    return run_day(sets, seed, file)


def run_days(cases: Sequence[Case], seeds: Sequence[int]) -> dict[str, list[Day]]:
    """Name → one day for each seed, on all cores."""
    jobs = [(case, seed) for case in cases for seed in seeds]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        days = iter(list(pool.map(_one, jobs)))
    return {name: [next(days) for _ in seeds] for name, _, _ in cases}


def interval(values: Sequence[float], factor: float = 1.0) -> str:
    """A mean over seeds and the half-width of its 95 % interval."""
    scaled = [factor * value for value in values]
    if alike(scaled):
        return f"{scaled[0]:.4g}"
    test = student(scaled)
    return f"{test.mean:.4g} ± {test.interval.high - test.mean:.2g}"


def table(days: dict[str, list[Day]], free: dict[str, list[Day]]) -> str:
    """One block for each case that ``free`` has the same arrivals of, with intervals."""
    lines = []
    for name, mine in days.items():
        if name not in free:
            continue
        peaks = [day.peak for day in mine]
        lines.append(
            f"{name}: peak {min(peaks):.4f}-{max(peaks):.4f}, mean "
            f"{interval([day.mean for day in mine])}; s/day over "
            f"{interval([day.over_s for day in mine])}, longest "
            f"{max(day.longest_s for day in mine):.1f} s; brakes/day "
            f"{interval([float(day.brakes) for day in mine])}; days with a drop "
            f"{sum(day.dropped for day in mine)} of {len(mine)}"
        )
        if any(day.dropped for day in mine):
            continue
        for kind in CLASSES:
            losses = [loss(*pair, kind) for pair in zip(mine, free[name], strict=True)]
            parts = [
                f"{word} {interval([getattr(one, key) for one in losses], 100.0)} %"
                for word, key in (("P50", "p50"), ("P99", "p99"), ("worst hour P50", "hour_p50"),
                                  ("P99", "hour_p99"))
            ]  # fmt: skip
            capped = np.mean([day.capped[kind] for day in mine])
            lines.append(f"    {kind}: {', '.join(parts)}; capped {100 * capped:.0f} %")
    return "\n".join(lines)
