"""Days of the row of scenarios/polca-row.yaml, and what is asked of them.

Everything is taken from the tables of a run: the true draw of the UPS and the requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import sim
from sim.paths import share
from sim.results.result import RunResult

Floats = NDArray[np.float64]

UPS, READING_S, HOUR_S, DAY_S = "row-ups", 2.0, 3600.0, 86_400.0
CLASSES = ("low", "high")

#: Name of a policy → the changes of the scenario that make it.
POLICIES: dict[str, tuple[str, ...]] = {
    "polca": (),
    "none": ("policies.power={kind: none}",),
    "brake only": (
        "policies.power={kind: polca, watch: ups, low_clock: 1, low_deep_clock: 1, high_clock: 1}",
    ),
    "fixed 0.85": ("policies.power={kind: static-clock, high: 85.2 %, low: 85.2 %}",),
    "dynamo 2 s": (
        "policies.power={kind: dynamo, watch: ups}", "actuation.clock={delay: 2 s}",
    ),
}  # fmt: skip


def of_size(servers: int, req_per_s: float = 0.1) -> tuple[str, ...]:
    """A row of so many servers, the lower half for the low class, each with its peak rate."""
    low = servers // 2
    sizes = {"low": low, "high": servers - low}
    return (
        f"site.halls[hall-a].rows[row].racks=[{{type: dgx-a100-row-1, count: {servers}}}]",
        *(f"pools[{name}].replicas={count}" for name, count in sizes.items()),
        *(f"workload[{name}].rate={count * req_per_s:.10g} /s" for name, count in sizes.items()),
    )


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
    metrics = result.metrics
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
        capped={
            name: metrics[f"pools[{name}].capped_fraction"].value or 0.0
            if f"pools[{name}].capped_fraction" in metrics
            else 0.0
            for name in CLASSES
        },
    )


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


def _completed(requests: object, workload: str) -> tuple[Floats, Floats]:
    columns = requests.select(["workload", "arrival_s", "end_s", "outcome"]).to_pandas()  # type: ignore[attr-defined]
    mine = columns[(columns["workload"] == workload) & (columns["outcome"] == "completed")]
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
