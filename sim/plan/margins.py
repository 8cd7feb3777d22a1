"""Objectives as means over seeds: what a run contributes to the judgement of a line.

A quantile of a run is biased and its interval over seeds is not that of all requests, so a plan
never judges one. ``chat.ttft_p99 <= 2 s`` is judged as "the expected share of arrivals that had no
first token within 2 s is at most 1 %", which the quantile over all requests meets exactly if the
share does, and which is a mean. Requests that never reached a latency (refused, timed out,
unfinished) count as late. Every other line is taken as the mean of its metric over seeds.

From ``requests`` the share is exact. From ``summary/latency`` it is read between the edges of the
bin that holds the threshold, by the logarithm: off by a part of what lies within 2 % of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.errors import RackplanError
from sim.results.bins import ZERO_BIN, latency_bins, latency_edge
from sim.results.expectations import OPERATORS, ExpectationLike
from sim.results.latency import COLUMNS, FAMILIES, floats, latencies
from sim.results.metrics import QUANTILES, MetricDefinition
from sim.results.result import RunResult

#: The least standard deviation of a share over seeds: seeds without one late request are no proof.
SHARE_FLOOR = 1e-6
#: What bounds a highest moment instead.
_PEAKS = {
    "peak_w": "power[{inside}].over_limit_s <= 0 s",
    "peak_draw_w": "over_budget_s <= 0 s",
    "facility_peak_w": "over_budget_s <= 0 s",
}
_MAY_BE_NEGATIVE = ("energy_cost", "energy_cost_per_mtoken")


@dataclass(frozen=True)
class Objective:
    """A line, and how a run's part in it is measured.

    A run has a value and a line a limit, in the same unit; their difference, the margin, is
    positive where the run is worse than the line asks for.

    Attributes:
        text: as written.
        metric: full name.
        definition: of the metric.
        limit: what the expected value may be at most, or at least where ``more``.
        more: the value should be large.
        workload, family, threshold_s: of a line on a quantile: the value is the share of this
            workload's arrivals that did not reach ``family`` within ``threshold_s``; else "".
        quantile: of such a line, 0.99 say; else 0.
        chance: of a line on the share of runs, the condition's operator; else "". The value of a
            run is 1 where its metric fulfils ``chance`` ``threshold``, in SI units, and else 0.
    """

    text: str
    metric: str
    definition: MetricDefinition
    limit: float
    more: bool = False
    workload: str = ""
    family: str = ""
    threshold_s: float = 0.0
    quantile: float = 0.0
    chance: str = ""
    threshold: float = 0.0

    @property
    def is_share(self) -> bool:
        """Whether values are shares of requests, which are never known to be free of spread."""
        return bool(self.family or self.chance) or self.definition.name == "goodput_fraction"

    @property
    def never(self) -> bool:
        """Whether one seed above the limit refutes the line: what is never below 0 must be 0."""
        bottom = self.limit == 0.0 and not self.more
        if self.family or self.chance:
            return False
        return bottom and self.definition.name not in _MAY_BE_NEGATIVE

    @property
    def spread_floor(self) -> float:
        """The least standard deviation over seeds to reckon with."""
        return SHARE_FLOOR if self.is_share else 0.0

    def margin(self, value: float) -> float:
        """How much worse than asked for: at most 0 is fine."""
        return self.limit - value if self.more else value - self.limit


class NoMean(RackplanError):
    """A line that no plan can judge; the message says what could be written instead."""


def objective_of(line: ExpectationLike, definition: MetricDefinition) -> Objective:
    """How a plan judges a checked line.

    Raises:
        NoMean: it is not about a mean over seeds.
    """
    entity, _, name = line.metric.rpartition(".")
    family, _, statistic = name.rpartition("_")
    if line.operator == "==":
        raise NoMean(f"{line.text}: a mean over seeds is never known to be equal; write <= or >=")
    more = line.operator in (">=", ">")
    if name in _PEAKS or name == "headroom_w":
        inside = entity.partition("[")[2].rstrip("]")
        instead = _PEAKS.get(name, _PEAKS["peak_w"] if inside else _PEAKS["peak_draw_w"])
        message = "the highest moment of a run is no mean over it"
        raise NoMean(f"{line.text}: {message}; write '{instead.format(inside=inside)}'")
    if statistic in QUANTILES:
        if family not in FAMILIES:
            raise NoMean(f"{line.text}: {_instead(name, family, entity, statistic)}")
        if more:
            raise NoMean(f"{line.text}: an objective bounds a latency from above; write <=")
        quantile = QUANTILES[statistic]
        late = round(1.0 - quantile, 12)
        return Objective(
            line.text, line.metric, definition, late, False, entity, family, line.threshold,
            quantile,
        )  # fmt: skip
    return Objective(line.text, line.metric, definition, line.threshold, more)


def chance_of(
    text: str, line: ExpectationLike, definition: MetricDefinition, limit: float, more: bool
) -> Objective:
    """A line on the share of runs in which another line holds: ``P(trips > 0) <= 5 %``."""
    return Objective(
        text, line.metric, definition, limit, more, chance=line.operator, threshold=line.threshold
    )


def _instead(name: str, family: str, workload: str, statistic: str) -> str:
    """Why a quantile of something else cannot be judged."""
    if family == "itl":
        return f"gaps are not counted by request; write '{workload}.tpot_{statistic} <= …'"
    return f"{name} is not counted in bins; write '{workload}.{family}_mean <= …'"


def values_of(objectives: Iterable[Objective], run: RunResult) -> dict[str, float]:
    """Each line's value in a run, by its text.

    Raises:
        NoMean: the run cannot measure it, and why.
        ResultError: a table is missing or damaged.
    """
    found: dict[str, float] = {}
    for objective in objectives:
        if objective.family:
            found[objective.text] = late_share(objective, run)
            continue
        metric = run.metrics[objective.metric]
        if metric.si is None:
            raise NoMean(f"{objective.text}: {run.name} did not measure it: {metric.reason}")
        if objective.chance:
            hit = OPERATORS[objective.chance](metric.si, objective.threshold)
            found[objective.text] = float(hit)
        else:
            found[objective.text] = metric.si
    return found


def late_share(objective: Objective, run: RunResult) -> float:
    """The share of a workload's arrivals in the window that did not reach a latency in time.

    Requests of one output token have no time per output token and count as in time if completed.

    Raises:
        NoMean: nothing arrived.
    """
    arrivals, completed = _counts(objective, run)
    if not arrivals:
        raise NoMean(f"{objective.text}: in {run.name} no request of it arrived in the window")
    if run.manifest["record"] == "full":
        return 1.0 - _in_time_exactly(objective, run) / arrivals
    bins, n = _bins(objective, run)
    single = completed - int(n.sum()) if objective.family == "tpot" else 0
    return 1.0 - (_in_time_of_bins(bins, n, objective.threshold_s) + single) / arrivals


def _counts(objective: Objective, run: RunResult) -> tuple[int, int]:
    """Arrivals in the window, and completed ones among them."""
    counts = run.tables["summary/counts"]
    counts = counts.filter(
        pc.and_(counts.column("measured"), pc.equal(counts.column("workload"), objective.workload))
    )
    done = counts.filter(pc.equal(counts.column("outcome"), "completed"))
    arrivals, completed = (pc.sum(t.column("n"), min_count=0).as_py() for t in (counts, done))
    return int(arrivals), int(completed)


def _in_time_exactly(objective: Objective, run: RunResult) -> int:
    window, found = run.manifest["window"], 0
    for rows in run.tables.pieces("requests", ["workload", *COLUMNS]):
        arrival = floats(rows, "arrival_s")
        chosen = (arrival >= window["warm_up_s"]) & (arrival < window["duration_s"])
        chosen &= pc.equal(rows.column("workload"), objective.workload).to_numpy()
        fine = latencies(rows)[objective.family] <= objective.threshold_s
        if objective.family == "tpot":
            completed = pc.equal(rows.column("outcome"), "completed").to_numpy()
            fine |= completed & (floats(rows, "output_tokens") < 2)
        found += int(np.count_nonzero(chosen & fine))
    return found


def _bins(objective: Objective, run: RunResult) -> tuple[pa.Array, pa.Array]:
    """Bins of a latency of the window's requests, and how many are in each."""
    rows = run.tables["summary/latency"].select(["measured", "workload", "metric", "bin", "n"])
    mine = pc.and_(rows.column("measured"), pc.equal(rows.column("workload"), objective.workload))
    rows = rows.filter(pc.and_(mine, pc.equal(rows.column("metric"), objective.family)))
    table = rows.group_by("bin").aggregate([("n", "sum")])
    return table.column("bin").to_numpy(), table.column("n_sum").to_numpy()


def _in_time_of_bins(bins: pa.Array, n: pa.Array, threshold_s: float) -> float:
    at = int(latency_bins(np.array([threshold_s]))[0])
    below, inside = float(n[bins < at].sum()), float(n[bins == at].sum())
    if at == ZERO_BIN:
        return below + inside
    low, high = latency_edge(at), latency_edge(at + 1)
    return below + inside * math.log(threshold_s / low) / math.log(high / low)
