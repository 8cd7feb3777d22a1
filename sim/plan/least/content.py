"""A plan in JSON types, for ``--json``."""

from __future__ import annotations

import math
from typing import Any

from sim.plan.least.find import Plan, PointAt
from sim.plan.least.shadow import Shadows
from sim.plan.line_at import LineAt
from sim.plan.load import PoolLoad
from sim.plan.search import ERROR
from sim.results.manifest import plain
from sim.study.intervals import Interval

#: How numbers of a plan were made.
DEFINITIONS = {
    "line": "a line on a quantile is judged as the mean over seeds of the share of arrivals that "
    "did not reach the latency in time, requests without one included; any other as the mean of "
    "its metric",
    "interval": "mixture of Student's t over the seeds (g = 4), 95 % at all looks together",
    "answer": "least point whose means over all common seeds meet every line; yes and no of a "
    "point at its share of the error of 5 %",
    "utilisation": "rate over the rate at which the mean iteration of a replica diverges or "
    "reaches a limit of its batch, times replicas",
    "beta": "(1 - utilisation) * sqrt(replicas); below 0.2 no few seeds are trusted",
}


def content_of(plan: Plan) -> dict[str, Any]:
    """What a plan says."""
    spec = plan.question.spec
    content = plain(
        {
            "name": plan.question.name,
            "base": spec.base,
            "question": {spec.goal: spec.where, "from": spec.values[0], "to": spec.values[-1]},
            "subject_to": [line.text for line in plan.question.objectives],
            "status": plan.status,
            "answer": None if plan.answer is None else plan.answer.value,
            "low": plan.low,
            "high": plan.high,
            "bound": plan.bound,
            "first_certifiable": plan.certifiable,
            "monotone": plan.monotone,
            "error": ERROR,
            "definitions": DEFINITIONS,
            "points": [_point(point) for point in plan.points],
            "binding": {"at": plan.binding_at, "limits": plan.binding},
            "seeds": plan.question.seeds,
            "conflicts": [
                [line.objective.text for line in conflict.lines] for conflict in plan.conflicts
            ],
            "notes": plan.notes,
        }
    )
    assert isinstance(content, dict)
    return content


def _point(point: PointAt) -> dict[str, Any]:
    return {
        "value": point.value,
        "verdict": point.verdict,
        "reason": point.reason,
        "seeds": point.seeds,
        "lines": [line_content(line) for line in point.lines],
        "pools": [_load(load) for load in point.loads],
    }


def line_content(line: LineAt) -> dict[str, Any]:
    """A line at a point in JSON types."""
    objective = line.objective
    what = "late_fraction" if objective.family else objective.metric
    return {
        "line": objective.text,
        "value_of": what,
        "value": line.value,
        "low": _finite(line.interval.low),
        "high": _finite(line.interval.high),
        "limit": objective.limit,
        "measured": line.measured,
        "answer": line.answer,
    }


def _finite(end: float) -> float | None:
    """The end of an interval; None where too few seeds leave it open."""
    return end if math.isfinite(end) else None


def _load(load: PoolLoad) -> dict[str, Any]:
    if load.unknown:
        return {"pool": load.pool, "replicas": load.replicas, "unknown": load.unknown}
    return {
        "pool": load.pool,
        "replicas": load.replicas,
        "rate_per_s": load.rate_per_s,
        "saturation_per_s": load.saturation_per_s,
        "utilisation": load.utilisation,
        "beta": load.beta,
    }


def shadows_content(found: Shadows | None) -> dict[str, Any] | None:
    """What one step more of each resource buys; None where nobody asked."""
    if found is None:
        return None

    def ends(interval: Interval | None) -> dict[str, Any] | None:
        return None if interval is None else {"low": interval.low, "high": interval.high}

    return {
        "at": found.at,
        "line": found.line.text,
        "workload": found.workload,
        "seeds": found.seeds,
        "steps": [
            {
                "step": worth.step.text,
                "set": worth.step.change,
                "change": worth.change,
                "change_interval": ends(worth.interval),
                "equal": worth.equal,
                "worth_per_s": worth.rate_per_s,
                "worth_interval": ends(worth.rate_interval),
            }
            for worth in found.worths
        ],
    }
