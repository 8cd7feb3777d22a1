"""The cheapest mix of hardware that meets every line: asked, and answered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.plan.kinds import How, refuse_shadow
from sim.plan.mix.answer import MixPlan, make_mix_plan
from sim.plan.mix.content import content_of_mix
from sim.plan.mix.points import Mix, load_mix
from sim.plan.mix.told import told_of_mix
from sim.plan.runs import Making, PlanRuns
from sim.plan.told import Told


@dataclass(frozen=True)
class MixAnswer:
    """A plan of a mix."""

    plan: MixPlan

    @property
    def answered(self) -> bool:
        """Whether some mix meets the lines."""
        return self.plan.best is not None

    def content(self) -> dict[str, Any]:
        """All of it in JSON types."""
        return content_of_mix(self.plan)

    def told(self) -> Told:
        """All of it for a reader."""
        return told_of_mix(self.plan)


@dataclass(frozen=True)
class MixAsked:
    """A checked question for a mix."""

    mix: Mix

    @property
    def name(self) -> str:
        """The study's name."""
        return self.mix.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of one of its mixes."""
        return self.mix.warnings

    def answer(self, making: Making, how: How) -> MixAnswer:
        """Find it.

        Raises:
            RunFailed, RackplanError: as ``make_mix_plan``; or ``--shadow`` is asked for.
        """
        refuse_shadow(how, "a mix")
        return MixAnswer(make_mix_plan(self.mix, PlanRuns(self.mix, making)))


def load(
    path: str | os.PathLike[str], *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> MixAsked:
    """Read and check such a study.

    Raises:
        ScenarioError: everything that is wrong with it.
    """
    return MixAsked(load_mix(path, sets=sets, seeds=seeds, allow_outside=allow_outside))
