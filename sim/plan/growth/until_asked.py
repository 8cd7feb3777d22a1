"""Until when a site lasts: its capacity found or stated, and when growth exceeds it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.errors import Mark, Problem, ScenarioError
from sim.plan.growth.crossing import Capacity, Crossing, crossing
from sim.plan.growth.forecast import Forecast, forecast
from sim.plan.growth.until_told import told_of
from sim.plan.kinds import How
from sim.plan.least.content import content_of
from sim.plan.least.find import Plan, make_plan
from sim.plan.least.question import Question, checked_question
from sim.plan.runs import Making, PlanRuns
from sim.plan.told import Told
from sim.spec.axes import Label
from sim.spec.months import month_text
from sim.spec.until import StatedCapacity, UntilSpec, read_until

#: What the numbers of an answer mean.
DEFINITIONS = {
    "crossing": "first month whose peak load is above the capacity, by the running maximum of a "
    "curve of the forecast: earliest by P90 and the low end of the capacity, latest by P10 and "
    "its high end",
    "curves": "loads that 10, 50 and 90 % of futures stay below, month by month",
}


@dataclass(frozen=True)
class UntilAnswer:
    """When the load exceeds the capacity.

    Attributes:
        plan: whose answer the capacity is; None where it was stated.
        capacity, found: None where no value meets the lines.
    """

    spec: UntilSpec
    forecast: Forecast
    plan: Plan | None
    capacity: Capacity | None
    found: Crossing | None

    @property
    def answered(self) -> bool:
        """Whether there is a capacity at all."""
        return self.found is not None

    def content(self) -> dict[str, Any]:
        """All of it in JSON types."""
        return {
            "name": self.spec.name,
            "status": "no capacity" if self.found is None else self.found.status,
            "unit": self.spec.growth.unit,
            "capacity": _capacity_content(self.capacity),
            "crossing": _crossing_content(self.found),
            "within_months": self.spec.within,
            "forecast": {
                "method": self.forecast.method,
                "notes": list(self.forecast.notes),
                "months": self.forecast.months,
                "p10": self.forecast.curves[0].tolist(),
                "p50": self.forecast.curves[1].tolist(),
                "p90": self.forecast.curves[2].tolist(),
            },
            "launches": [
                {"month": month_text(launch.month), "load": launch.load}
                for launch in self.spec.growth.launches
            ],
            "definitions": DEFINITIONS,
            "plan": None if self.plan is None else content_of(self.plan),
        }

    def told(self) -> Told:
        """All of it for a reader."""
        return told_of(self.spec, self.forecast, self.plan, self.capacity, self.found)


def _capacity_content(capacity: Capacity | None) -> dict[str, Any] | None:
    if capacity is None:
        return None
    high = capacity.high if math.isfinite(capacity.high) else None
    return {"value": capacity.value, "low": capacity.low, "high": high, "notes": capacity.notes}


def _crossing_content(found: Crossing | None) -> dict[str, Any] | None:
    if found is None:
        return None
    ends = {"earliest": found.earliest, "p50": found.middle, "latest": found.latest}
    return {name: None if month is None else month_text(month) for name, month in ends.items()}


@dataclass(frozen=True)
class UntilAsked:
    """A checked question until when; ``question``: for the capacity, None where it is stated."""

    spec: UntilSpec
    forecast: Forecast
    question: Question | None

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @property
    def warnings(self) -> Sequence[str]:
        """Of the easiest point, where something is run."""
        return () if self.question is None else self.question.warnings

    def answer(self, making: Making, how: How) -> UntilAnswer:
        """Find the capacity, and when it is exceeded.

        Raises:
            RunFailed, RackplanError: as ``make_plan``, or ``how`` does not apply.
        """
        if how.shadow:
            message = "--shadow is of the least or the most; ask for the maximum alone"
            raise ScenarioError([Problem(Mark(self.spec.file), "question", message)])
        plan = None
        capacity: Capacity | None
        if self.question is None:
            stated = self.spec.capacity
            assert isinstance(stated, StatedCapacity)
            capacity = Capacity(stated.value, stated.low, stated.high)
        else:
            plan = make_plan(self.question, PlanRuns(self.question, making))
            capacity = capacity_of(plan)
        found = None if capacity is None else crossing(self.forecast, capacity)
        return UntilAnswer(self.spec, self.forecast, plan, capacity, found)


def capacity_of(plan: Plan) -> Capacity | None:
    """The capacity that a plan for the most has found; None if no value meets the lines.

    Its interval is that of the plan: from the largest load that is certain to meet the lines to
    the largest that is not certain to miss them.
    """
    if plan.answer is None:
        return None
    value, notes = _number(plan.answer.value), []
    low = min(value, _number(plan.question.values[-1]))
    if plan.high is None:  # nothing below is certain either
        notes.append("no load is certain to meet the lines: its low end is the least asked about")
    else:
        low = _number(plan.high)
    high = value if plan.low is None else _number(plan.low)
    if plan.answer.point == 0:
        high = math.inf
        notes.append("the largest load asked about meets the lines: the capacity may be higher")
    return Capacity(value, low, high, tuple(notes))


def _number(value: Label) -> float:
    return float(str(value).split()[0].removesuffix("%"))


def load(
    path: str | os.PathLike[str], *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> UntilAsked:
    """Read and check such a study, the history included.

    Raises:
        ScenarioError: everything that is wrong with it.
        RackplanError: launches that make no sense.
    """
    spec = read_until(path, allow_outside=allow_outside)
    question = None
    if isinstance(spec.capacity, StatedCapacity):
        for option, given in (("--set", bool(sets)), ("--seeds", seeds is not None)):
            if given:
                message = "the capacity is stated: there is no base and no run"
                raise ScenarioError([Problem(Mark(option), "", message)])
    else:
        question = checked_question(
            spec.capacity, sets=sets, seeds=seeds, allow_outside=allow_outside
        )
    return UntilAsked(spec, forecast(spec.growth, spec.within), question)
