"""The least or the most of something that meets every line: asked, and answered."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sim.plan.cost_told import Costs, costs_of, told_of_costs
from sim.plan.failing import in_words, moment_of
from sim.plan.kinds import How, refuse_shadow
from sim.plan.least.content import content_of, shadows_content
from sim.plan.least.find import Plan, make_plan
from sim.plan.least.question import Question, load_question
from sim.plan.least.shadow import Shadows, shadows
from sim.plan.least.told import told_of
from sim.plan.least.worst import WorstRuns
from sim.plan.runs import Making, PlanRuns
from sim.plan.told import Told
from sim.spec.failing import FailingSpec


@dataclass(frozen=True)
class LeastAnswer:
    """A plan, and what one step more buys where that was asked for."""

    plan: Plan
    worth: Shadows | None
    #: Sentences on the failures that the answer survives.
    failures: tuple[str, ...] = ()
    costs: Costs | None = None

    @property
    def answered(self) -> bool:
        """Whether a value meets the lines."""
        return self.plan.answer is not None

    def content(self) -> dict[str, Any]:
        """All of it in JSON types."""
        return {
            **content_of(self.plan),
            "shadow": shadows_content(self.worth),
            "failures": list(self.failures),
            "cost": None if self.costs is None else self.costs.content(),
        }

    def told(self) -> Told:
        """All of it for a reader."""
        told = told_of(self.plan, self.worth, self.failures)
        if self.costs is None or self.plan.answer is None:
            return told
        more = told_of_costs(str(self.plan.answer.value), self.costs)
        return replace(told, parts=(*told.parts, *more))


@dataclass(frozen=True)
class LeastAsked:
    """A checked question for the least or the most."""

    question: Question

    @property
    def name(self) -> str:
        """The study's name."""
        return self.question.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the easiest point."""
        return self.question.warnings

    def answer(self, making: Making, how: How) -> LeastAnswer:
        """Find it.

        Raises:
            RunFailed, RackplanError: as ``make_plan``.
        """
        failing = self.question.spec.failing
        if failing is None:
            runs = PlanRuns(self.question, making)
            plan = make_plan(self.question, runs)
            worth = shadows(plan, runs) if how.shadow or how.shadow_if_any else None
            return LeastAnswer(plan, worth, costs=_costs(plan, runs))
        refuse_shadow(how, "an answer that survives failures")
        worst = WorstRuns(self.question, failing, making)
        plan = make_plan(self.question, worst)
        said = tuple(_failures(plan, worst, failing))
        return LeastAnswer(plan, None, said, _costs(plan, worst))


def _costs(plan: Plan, runs: PlanRuns) -> Costs | None:
    """What the site costs at the answer."""
    if plan.answer is None:
        return None
    point = plan.answer.point
    return costs_of(plan.question.scenario(point), list(runs.results(point).values()))


def _failures(plan: Plan, runs: WorstRuns, failing: FailingSpec) -> Iterator[str]:
    """With which failures the lines are judged, and which is the worst."""
    ran = [point for point in plan.points if point.seeds]
    at = plan.answer or (ran[-1] if ran else None)
    if at is None:
        return
    failures = runs.failures(at.point)
    kinds = Counter(one.kind for one in failures)
    counts = ", ".join(f"{number} of kind {kind}" for kind, number in kinds.items())
    moment = moment_of(failing, plan.question.scenario(at.point))
    yield (
        f"values are those of the worst under each seed of {len(failures)} failures, one at a time "
        f"({counts}), {in_words(moment)}, and of the whole site"
    )
    for line in plan.question.objectives:
        worst = runs.worst(at.point, line.text)
        what = (
            "no failure is worse than none" if worst is None else f"the worst is that of {worst[0]}"
        )
        yield f"{line.text} at {at.value}: {what}"


def load(
    path: str | os.PathLike[str], *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> LeastAsked:
    """Read and check such a study.

    Raises:
        ScenarioError: everything that is wrong with it.
    """
    return LeastAsked(load_question(path, sets=sets, seeds=seeds, allow_outside=allow_outside))
