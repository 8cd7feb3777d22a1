"""The verdict on a run: objectives met or not and by how much, what binds, what to try next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.results.advice import next_step
from sim.results.limit import TOUCH, Limit
from sim.results.limits import limits
from sim.results.links import fullest_tier
from sim.results.result import RunResult
from sim.results.values import NO_METER
from sim.results.wording import percent, span
from sim.units import format_si


@dataclass(frozen=True)
class ObjectiveResult:
    """One latency objective of a workload against the 99th percentile that was measured."""

    family: str  # "ttft", "tpot" or "e2e"
    objective_s: float
    p99_s: float | None  # None: not measurable

    @property
    def over(self) -> float | None:
        """How far the 99th percentile is above (+) or below (-) the objective, as a share of it."""
        return None if self.p99_s is None else self.p99_s / self.objective_s - 1.0


@dataclass(frozen=True)
class WorkloadVerdict:
    """A workload meets its objectives when at least 99 % of all its arrivals met every one."""

    name: str
    met: bool | None  # None: no objective is stated, or nothing arrived
    missed_fraction: float | None  # of all arrivals; None: nothing arrived
    objectives: tuple[ObjectiveResult, ...]
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What a run's numbers say.

    Attributes:
        status: "met", "missed", "no-objectives" or "partial".
        headline: one sentence on the objectives.
        workloads: one verdict each.
        binding: the limit that binds, None if nothing does.
        binding_sentence: what binds and the evidence, or what is nearest to.
        limits: every limit, the binding ones first (the rule is in ``sim.results.limits``); none
            of a partial run.
        power_sentence: draw against the utility's budget; says when power is unlimited.
        next_step: what to try, as a sentence with a setting.
    """

    status: str
    headline: str
    workloads: tuple[WorkloadVerdict, ...]
    binding: Limit | None
    binding_sentence: str
    limits: tuple[Limit, ...]
    power_sentence: str
    next_step: str


def verdict(result: RunResult) -> Verdict:
    """Judge a run by its numbers."""
    workloads = tuple(_workload(result, entry) for entry in result.manifest["workloads"])
    status, headline = _headline(result, workloads)
    # What was in flight when a run was stopped counts as missed, whatever limits it.
    ranked = limits(result) if status != "partial" else ()
    binding = ranked[0] if ranked and ranked[0].binds else None
    return Verdict(
        status=status,
        headline=headline,
        workloads=workloads,
        binding=binding,
        binding_sentence=_binding_sentence(result, ranked),
        limits=ranked,
        power_sentence=_power_sentence(result),
        next_step=next_step(result.manifest, result.metrics, binding, status, fullest_tier(result)),
    )


def _workload(result: RunResult, entry: Mapping[str, Any]) -> WorkloadVerdict:
    name = entry["name"]
    goodput = result.metrics[f"{name}.goodput_fraction"].value
    missed = None if goodput is None else 1.0 - goodput
    objectives = tuple(
        ObjectiveResult(family, objective, result.metrics[f"{name}.{family}_p99"].value)
        for family, objective in entry["objectives"].items()
    )
    if missed is None:
        return WorkloadVerdict(name, None, None, objectives, f"{name}: no request arrived")
    if not objectives:
        text = f"{name}: no objective is stated; {percent(missed)} of its requests did not complete"
        return WorkloadVerdict(name, None, missed, objectives, text)
    met = missed <= TOUCH
    word = "meets" if met else "misses"
    text = f"{name} {word} its objectives: {percent(missed)} of its requests missed"
    over = [(o.over, o) for o in objectives if o.over is not None and o.over > 0.0]
    if over:
        share, worst = max(over, key=lambda pair: pair[0])
        text += (
            f"; {worst.family.upper()} p99 is {format_si(worst.p99_s or 0.0, 's')}, "
            f"{percent(share)} above {format_si(worst.objective_s, 's')}"
        )
    return WorkloadVerdict(name, met, missed, objectives, text)


def _headline(result: RunResult, workloads: tuple[WorkloadVerdict, ...]) -> tuple[str, str]:
    if result.outcome == "partial":
        stopped = span(float(result.manifest["simulated_s"]))
        planned = span(float(result.manifest["window"]["duration_s"]))
        return "partial", (
            f"the run stopped at {stopped} of {planned} ({result.manifest['reason']})"
        )
    judged = [workload for workload in workloads if workload.met is not None]
    if not judged:
        if any(workload.objectives for workload in workloads):
            return "no-objectives", "Nothing to judge: no request with an objective arrived"
        return "no-objectives", "No objectives are stated, so none can be met or missed"
    missed = [workload for workload in judged if not workload.met]
    idle = [workload.name for workload in workloads if workload.missed_fraction is None]
    beside = f"; no request arrived of {', '.join(idle)}" if idle else ""
    if len(judged) == 1:
        return "missed" if missed else "met", judged[0].sentence + beside
    if missed:
        names = ", ".join(workload.name for workload in missed)
        headline = f"{len(missed)} of {len(judged)} workloads miss their objectives: {names}"
        return "missed", headline + beside
    return "met", f"All {len(judged)} workloads meet their objectives{beside}"


def _binding_sentence(result: RunResult, ranked: tuple[Limit, ...]) -> str:
    if not result.tables.rows.get("replicas"):
        return f"Binding limit: not judged, {NO_METER}"
    if result.outcome == "partial":
        return "Binding limit: not judged, requests in flight when the run stopped count as missed"
    if not ranked:
        return "Binding limit: none can be named, no limit was stated"
    if ranked[0].binds:
        return f"Binding limit: {ranked[0].sentence}"
    nearest = next((limit for limit in ranked if limit.use is not None), None)
    if nearest is None or nearest.use is None:
        return "Binding limit: none was reached"
    return (
        f"Binding limit: none was reached; the first would be {nearest.label}, "
        f"{percent(nearest.use)} of it used"
    )


def _power_sentence(result: RunResult) -> str:
    peak = result.metrics["peak_draw_w"]
    if peak.value is None:
        return f"Power: not measured ({peak.reason})"
    drew = f"Power: the site peaked at {format_si(peak.value, 'W')}"
    if not result.manifest["power"]["stated"]:
        return f"{drew}; power is unlimited (the scenario has no `power`)"
    over, headroom = result.metrics["over_budget_s"].value, result.metrics["headroom_w"].value
    if over is None or headroom is None:
        return f"{drew}; no budget is stated for the utility"
    utility = next(n for n in result.tables["power_nodes"].to_pylist() if n["kind"] == "utility")
    if utility["nearest_w"] != utility["peak_w"]:
        near = f"{format_si(utility['nearest_w'], 'W')} of {format_si(utility['limit_w'], 'W')}"
        drew = f"{drew}, and came nearest to the budget in force with {near}"
        return f"{drew}, over it for {span(over)}" if over > 0 else drew
    limit = format_si(peak.value + headroom, "W")
    if over > 0:
        return f"{drew} of {limit}, over it for {span(over)}"
    return f"{drew} of {limit}, {format_si(headroom, 'W')} to spare"
