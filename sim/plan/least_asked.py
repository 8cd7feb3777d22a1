"""The least or the most of something that meets every line: asked, and answered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.plan.content import content_of, shadows_content
from sim.plan.kinds import How
from sim.plan.least import Plan, make_plan
from sim.plan.least_told import told_of
from sim.plan.question import Question, load_question
from sim.plan.runs import Making, PlanRuns
from sim.plan.shadow import Shadows, shadows
from sim.plan.told import Told


@dataclass(frozen=True)
class LeastAnswer:
    """A plan, and what one step more buys where that was asked for."""

    plan: Plan
    worth: Shadows | None

    @property
    def answered(self) -> bool:
        """Whether a value meets the lines."""
        return self.plan.answer is not None

    def content(self) -> dict[str, Any]:
        """All of it in JSON types."""
        return {**content_of(self.plan), "shadow": shadows_content(self.worth)}

    def told(self) -> Told:
        """All of it for a reader."""
        return told_of(self.plan, self.worth)


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
        runs = PlanRuns(self.question, making)
        plan = make_plan(self.question, runs)
        return LeastAnswer(plan, shadows(plan, runs) if how.shadow else None)


def load(
    path: str | os.PathLike[str], *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> LeastAsked:
    """Read and check such a study.

    Raises:
        ScenarioError: everything that is wrong with it.
    """
    return LeastAsked(load_question(path, sets=sets, seeds=seeds, allow_outside=allow_outside))
