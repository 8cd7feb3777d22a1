"""A plan of a mix in JSON types, for ``--json``."""

from __future__ import annotations

import math
from typing import Any

from sim.plan.least.content import line_content
from sim.plan.mix.answer import MixPlan, Tried
from sim.plan.mix.cost import Mean
from sim.plan.mix.points import Mix
from sim.plan.mix.types import Vector
from sim.plan.mix.words import condition, needed
from sim.plan.search import ERROR
from sim.results.manifest import plain

#: How numbers of such a plan were made.
DEFINITIONS = {
    "price": "of the racks that hold all replicas, USD; without racks: GPUs in use",
    "bound": "least price that serves the mean load; below it nothing can",
    "bound_by_runs": "the same with what runs refuted, at each mix's share of the error of 5 %",
    "bound_likely": "the same with all that runs refuted, if no choice of a pool is more than 1 % "
    "more efficient than the best one seen",
    "tokens_per_s": "output tokens delivered times the share of requests that met every objective, "
    "summed over workloads",
    "cost_per_mtoken": "hardware over its life and energy, by a million of those tokens, USD",
    "interval": "of lines: mixture of Student's t over the seeds (g = 4), 95 % at all looks "
    "together; of costs: Student's t, 95 %",
}


def content_of_mix(plan: MixPlan) -> dict[str, Any]:
    """What a plan says."""
    mix, found = plan.mix, plan.found
    content = plain(
        {
            "name": mix.name,
            "base": mix.spec.base,
            "question": {"cheapest": mix.mixes.pools, "limits": mix.spec.limits},
            "subject_to": [line.text for line in mix.objectives],
            "status": plan.status,
            "answer": None if plan.best is None else _tried(mix, plan.best),
            "unit": "USD" if mix.bought else "GPUs",
            "bound": _finite(found.bound),
            "bound_by_runs": _finite(found.sure),
            "bound_likely": _finite(found.likely),
            "complete": found.complete,
            "error": ERROR,
            "definitions": DEFINITIONS,
            "prices": {
                name: {"usd": price.usd, "from": price.origin} for name, price in mix.prices.items()
            },
            "mixes": [_tried(mix, one) for one in plan.tried],
            "cannot_be_built": [
                {"mix": _mix(mix, vector), "reason": reason} for vector, reason in found.refused
            ],
            "left_out": mix.left_out,
            "alternatives": [
                {
                    "without": other.without,
                    "mix": None if other.vector is None else _mix(mix, other.vector),
                    "price": _finite(other.price),
                    "verified": other.holds is True,
                }
                for other in plan.alternatives
            ],
            "shadow": [
                {"limit": s.limit, "step": s.step, "price": s.before, "price_then": s.after}
                for s in plan.shadows
            ],
            "conflict": _conflict(plan),
            "ratios": [
                {
                    "prefill": mix.mixes.pools[first],
                    "decode": mix.mixes.pools[second],
                    "steps": [
                        {"prefill": s.first, "decode": s.second, "reason": s.reason} for s in steps
                    ],
                }
                for (first, second), steps in plan.stairs.items()
            ],
            "binding": {
                "at": None if plan.binding_at is None else _mix(mix, plan.binding_at),
                "limits": plan.binding,
            },
            "seeds": mix.seeds,
            "programs": plan.solved,
            "runs_looked_at": found.looked,
        }
    )
    assert isinstance(content, dict)
    return content


def _conflict(plan: MixPlan) -> dict[str, Any]:
    """What cannot be met together, and how far each condition would have to give."""
    return {
        "by": plan.conflict_by,
        "conditions": [
            {
                "condition": condition(plan.mix, member),
                "needed": member.needed,
                "in_words": needed(plan, member),
            }
            for member in plan.conflict
        ],
    }


def _mix(mix: Mix, vector: Vector) -> dict[str, Any]:
    pools = {}
    for p, (c, replicas) in enumerate(vector):
        option = mix.options[p][c]
        pools[mix.mixes.pools[p]] = {
            "replicas": replicas,
            **({"rack": option.rack} if option.rack else {}),
            **dict(option.degrees),
        }
    pieces = zip(mix.mixes.pieces(vector), mix.mixes.kinds, strict=True)
    return {
        "pools": pools,
        "hardware": {kind.name: count for count, kind in pieces if count},
        "price": mix.mixes.price(vector),
        "rated_w": mix.mixes.power_w(vector) if mix.bought else None,
    }


def _tried(mix: Mix, one: Tried) -> dict[str, Any]:
    cost = one.cost
    return {
        **_mix(mix, one.seen.vector),
        "verdict": one.seen.tested.answer if one.seen.sure else "undecided",
        "holds_in_means": one.seen.holds,
        "seeds": one.seen.tested.seeds,
        "lines": [line_content(line) for line in one.lines],
        "hardware_per_h": cost.hardware_per_h,
        "energy_per_h": _mean(cost.energy_per_h),
        "tokens_per_s": _mean(cost.tokens_per_s),
        "cost_per_mtoken": _mean(cost.per_mtoken),
    }


def _mean(found: Mean | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"mean": found.value, "low": found.interval.low, "high": found.interval.high}


def _finite(price: float) -> float | None:
    return price if math.isfinite(price) else None
