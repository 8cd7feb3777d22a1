"""What to order when: the schedules for the P50 and the P90 of the load, and what limits them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sim.errors import Mark, Problem, RackplanError, ScenarioError
from sim.plan.growth.build_out import solve
from sim.plan.growth.build_out_limits import Limit, Wait, limits, physics, waits
from sim.plan.growth.build_out_told import told_of
from sim.plan.growth.forecast import Forecast, forecast
from sim.plan.growth.schedule import Schedule
from sim.plan.growth.until_asked import capacity_of
from sim.plan.kinds import How
from sim.plan.least.find import Plan, make_plan
from sim.plan.least.question import Question, load_question
from sim.plan.runs import Making, PlanRuns
from sim.plan.told import Told
from sim.spec.build_out import BuildOutSpec, read_build_out, refuse_senseless
from sim.spec.growth import unit_text
from sim.spec.months import month_text
from sim.spec.question import MAXIMUM

#: Curve of the forecast of each plan.
CURVES = {"p50": 1, "p90": 2}
#: What the numbers of an answer mean.
DEFINITIONS = {
    "total_usd": "discounted to the first month: hardware at its order, running costs and contract "
    "steps by the month, shortfalls at their price, less the residual value of what was ordered "
    "(straight line over its life) at the end of the horizon",
    "bound_usd": "no schedule costs less; gap: how much cheaper one may be, as a share",
    "short": "load that is not served, month by month",
    "unavoidable_short": "sum over months of the load that no schedule serves, whatever it costs",
    "saving_usd": "what the best schedule without that limit costs less",
}


@dataclass(frozen=True)
class BuildOutAnswer:
    """Schedules for both quantiles.

    Attributes:
        plans: "p50" and "p90" → schedule.
        limits, waits: of the plan that decides.
        unavoidable: what that one would fall short of if money were no object; None: it does not
            fall short.
        measured: study → what it answered, of the types whose capacity it tells.
    """

    spec: BuildOutSpec
    forecast: Forecast
    plans: dict[str, Schedule]
    limits: list[Limit]
    waits: list[Wait]
    unavoidable: Schedule | None
    measured: dict[str, Plan] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """Whether some schedule carries the whole load, if perhaps not the cheapest."""
        return self.unavoidable is None or not self.unavoidable.short.any()

    def content(self) -> dict[str, Any]:
        """All of it in JSON types."""
        best = self.plans[self.spec.plan_for]
        return {
            "name": self.spec.name,
            "status": self._status,
            "plan_for": self.spec.plan_for,
            "unit": self.spec.growth.unit,
            "forecast": {"method": self.forecast.method, "notes": list(self.forecast.notes)},
            "plans": {name: self._plan(one) for name, one in self.plans.items()},
            "order_now": [
                {"what": wait.what, "number": wait.number, "waiting_costs_usd": wait.costs_usd}
                for wait in self.waits
            ],
            "limits": [
                {"limit": one.name, "saving_usd": one.saving_usd, "short": one.short,
                 "proven": one.proven}
                for one in self.limits
            ],
            "capacities": {
                one.name: {
                    "each": one.capacity,
                    "study": None if one.measured is None else one.measured.study,
                }
                for one in self.spec.types
            },
            "unavoidable_short": float(
                best.short.sum() if self.unavoidable is None else self.unavoidable.short.sum()
            ),
            "definitions": DEFINITIONS,
        }  # fmt: skip

    @property
    def _status(self) -> str:
        if self.unavoidable is None:
            return "carried"
        return "short by choice" if self.answered else "short"

    def _plan(self, plan: Schedule) -> dict[str, Any]:
        start, spec = self.forecast.start, self.spec
        names = [one.name for one in spec.types]
        costs = plan.costs

        def by_type(table: Any) -> dict[str, list[int]]:
            return {name: table[k].tolist() for k, name in enumerate(names)}

        return {
            "months": [month_text(start + t) for t in range(spec.months)],
            "orders": by_type(plan.orders),
            "contract_steps": plan.steps.tolist(),
            "in_service": by_type(plan.in_service),
            "ends_of_life": by_type(plan.ended),
            "retired_early": by_type(plan.retired),
            "load": plan.load.tolist(),
            "capacity": plan.capacity.tolist(),
            "short": plan.short.tolist(),
            "power_w": plan.power_w.tolist(),
            "contract_w": None if spec.contract is None else plan.contract_w.tolist(),
            "racks": plan.racks.tolist(),
            "total_usd": costs.total,
            "costs_usd": {
                "hardware": costs.hardware, "residual": costs.residual, "running": costs.running,
                "contract": costs.contract, "shortfall": costs.shortfall,
            },
            "bound_usd": plan.bound if np.isfinite(plan.bound) else None,
            "gap": plan.gap if np.isfinite(plan.gap) else None,
            "optimal": plan.optimal,
        }  # fmt: skip

    def told(self) -> Told:
        """All of it for a reader."""
        return told_of(
            self.spec,
            self.forecast,
            self.plans,
            self.limits,
            self.waits,
            self.unavoidable,
            tuple(self._capacities()),
        )

    def _capacities(self) -> Iterator[str]:
        """Where capacities that were measured come from."""
        for one in self.spec.types:
            if one.measured is None:
                continue
            plan = self.measured[one.measured.study]
            assert plan.answer is not None
            yield (
                f"{one.name}: {one.capacity:,.4g} {self.spec.growth.unit} each, of the "
                f"{plan.answer.value} that {one.measured.study} finds ({plan.status}) for "
                f"{one.measured.units}"
            )


@dataclass(frozen=True)
class BuildOutAsked:
    """A checked question for a build-out; ``questions``: of capacities, by the study that asks."""

    spec: BuildOutSpec
    forecast: Forecast
    questions: dict[str, Question] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @property
    def warnings(self) -> Sequence[str]:
        """Of the sites that capacities are measured at."""
        return [text for question in self.questions.values() for text in question.warnings]

    def answer(self, making: Making, how: How) -> BuildOutAnswer:
        """Solve it.

        Raises:
            ScenarioError: ``how`` does not apply.
        RunFailed, RackplanError: a capacity cannot be measured.
        """
        if how.shadow:
            message = "--shadow is of the least or the most; what limits a build-out is always told"
            raise ScenarioError([Problem(Mark(self.spec.file), "question", message)])
        found = {name: measure(name, question, making) for name, question in self.questions.items()}
        spec = with_capacities(self.spec, found)
        start, curves = self.forecast.start, self.forecast.curves
        plans = {name: solve(spec, start, curves[row]) for name, row in CURVES.items()}
        best = plans[spec.plan_for]
        unavoidable = physics(spec, start, best.load) if best.short.any() else None
        return BuildOutAnswer(
            spec,
            self.forecast,
            plans,
            limits(spec, start, best),
            waits(spec, start, best),
            unavoidable,
            found,
        )


def measure(study: str, question: Question, making: Making) -> Plan:
    """The answer to a question for a capacity.

    Raises:
        RunFailed, RackplanError: it has none.
    """
    plan = make_plan(question, PlanRuns(question, making))
    if plan.answer is None:
        raise RackplanError(
            f"{study}: no load asked about meets the lines, so there is no capacity"
        )
    return plan


def with_capacities(spec: BuildOutSpec, found: dict[str, Plan]) -> BuildOutSpec:
    """The build-out with every capacity known."""
    types = []
    for one in spec.types:
        if one.measured is not None:
            capacity = capacity_of(found[one.measured.study])
            assert capacity is not None
            one = replace(one, capacity=capacity.value / one.measured.units)
        types.append(one)
    return replace(spec, types=tuple(types))


def _questions(spec: BuildOutSpec, allow_outside: bool) -> dict[str, Question]:
    """Study → its question, of all that tell a capacity.

    Raises:
        ScenarioError: one is wrong, or asks for something else.
    """
    questions: dict[str, Question] = {}
    for one in spec.types:
        measured = one.measured
        if measured is None or measured.study in questions:
            continue
        question = load_question(measured.study, allow_outside=allow_outside)
        unit = str(question.spec.values[0]).partition(" ")[2]
        if question.spec.goal != MAXIMUM or unit != spec.growth.unit:
            message = (
                f"{measured.study} asks for the {question.spec.goal} in {unit_text(unit)}; a "
                f"capacity is a maximum in {unit_text(spec.growth.unit)}"
            )
            raise ScenarioError([Problem(measured.mark, measured.path, message)])
        questions[measured.study] = question
    return questions


def load(
    path: str | os.PathLike[str], *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> BuildOutAsked:
    """Read and check such a study, the history included.

    Raises:
        ScenarioError: everything that is wrong with it.
        RackplanError: launches that make no sense.
    """
    for option, given in (("--set", bool(sets)), ("--seeds", seeds is not None)):
        if given:
            message = "a build-out has no base and runs nothing"
            raise ScenarioError([Problem(Mark(option), "", message)])
    spec = read_build_out(path, allow_outside=allow_outside)
    made = forecast(spec.growth, spec.months - 1)
    refuse_senseless(spec, made.start)
    return BuildOutAsked(spec, made, _questions(spec, allow_outside))
