"""What a site survives: asked, and answered."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.plan.kinds import How, refuse_shadow
from sim.plan.least.content import line_content
from sim.plan.runs import Making, PlanRuns
from sim.plan.survives.find import Losses, Survival, Survived, load_losses, survive
from sim.plan.survives.told import answered, told_of_survival
from sim.plan.told import Told
from sim.results.manifest import plain


@dataclass(frozen=True)
class SurvivesAnswer:
    """Every failure with its verdict and what it costs."""

    found: Survival

    @property
    def answered(self) -> bool:
        """Whether every line holds in the means, whatever fails."""
        return answered(self.found)

    def content(self) -> dict[str, Any]:
        """All of it in JSON types."""
        losses = self.found.losses
        content = plain(
            {
                "name": losses.name,
                "base": losses.spec.base,
                "subject_to": [line.text for line in losses.objectives],
                "at_s": losses.moment.at_s,
                "until_s": losses.moment.until_s,
                "seeds": losses.seeds,
                "survived": answered(self.found),
                "whole": _point(self.found.whole),
                "failures": [_point(one) for one in self.found.failed],
            }
        )
        assert isinstance(content, dict)
        return content

    def told(self) -> Told:
        """All of it for a reader."""
        return told_of_survival(self.found)


def _point(one: Survived) -> dict[str, Any]:
    failure = one.failure
    return {
        "fails": [] if failure is None else list(failure.names),
        "kind": "" if failure is None else failure.kind,
        "survived": one.answer,
        "holds_in_means": one.holds,
        "seeds": one.seeds,
        "binding": one.binding,
        "lines": [line_content(line) for line in one.lines],
        "costs": {
            text: {
                "change": cost.change,
                "low": _finite(cost.interval.low),
                "high": _finite(cost.interval.high),
                "equal": cost.equal,
            }
            for text, cost in one.costs.items()
        },
    }


def _finite(end: float) -> float | None:
    return end if math.isfinite(end) else None


@dataclass(frozen=True)
class SurvivesAsked:
    """A checked question of what a site survives."""

    losses: Losses

    @property
    def name(self) -> str:
        """The study's name."""
        return self.losses.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the base."""
        return self.losses.warnings

    def answer(self, making: Making, how: How) -> SurvivesAnswer:
        """Run every failure.

        Raises:
            RunFailed, RackplanError: as ``survive``, or ``how`` does not apply.
        """
        refuse_shadow(how, "what a site survives")
        return SurvivesAnswer(survive(self.losses, PlanRuns(self.losses, making)))


def load(
    path: str | os.PathLike[str], *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> SurvivesAsked:
    """Read and check such a study.

    Raises:
        ScenarioError: everything that is wrong with it.
    """
    return SurvivesAsked(load_losses(path, sets=sets, seeds=seeds, allow_outside=allow_outside))
