"""Runs of points that must also hold with each of some failures: under each seed the worst of them.

The value of a line under a seed is that of the run, whole or with one failure, that misses it by
most. A point whose mean worst value meets a line meets it in the mean with every failure; the
reverse need not be so, as the mean of the worst is above the worst mean: the answer is on the safe
side, the more so the more failures are alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from sim.plan.failing import Failure, failures_of, moment_of
from sim.plan.least.question import Question
from sim.plan.runs import Making, PlanRuns
from sim.spec.failing import FailingSpec


class WorstRuns(PlanRuns):
    """As ``PlanRuns``, with a run for each failure beside that of the whole site."""

    def __init__(self, question: Question, failing: FailingSpec, making: Making) -> None:
        super().__init__(question, making)
        self._asked, self._failing = question, failing
        self._changes: dict[int, dict[str, Failure]] = {}

    def failures(self, point: int) -> tuple[Failure, ...]:
        """What fails at a point, one after the other."""
        return tuple(self._failed(point).values())

    def _failed(self, point: int) -> Mapping[str, Failure]:
        """Change of the point → the failure that it brings about."""
        if point not in self._changes:
            scenario = self._asked.scenario(point)
            moment, own = moment_of(self._failing, scenario), self._asked.events(point)
            self._changes[point] = {
                moment.with_failure(own, one): one for one in failures_of(self._failing, scenario)
            }
        return self._changes[point]

    def see(self, wanted: Mapping[int, int]) -> None:
        """As ``PlanRuns.see``, with every failure.

        Raises:
            RunFailed, ScenarioError: as there.
        """
        seeds = self._asked.seeds
        self._ensure(
            {
                (point, change): seeds[:count]
                for point, count in wanted.items()
                for change in ("", *self._failed(point))
            }
        )

    def values(self, point: int) -> dict[str, list[float]]:
        """Line → its worst value under each seed that is there."""
        changes = ("", *self._failed(point))
        found: dict[str, list[float]] = {}
        for line in self._asked.objectives:
            found[line.text] = [
                max((self._values[point, change, seed][line.text] for change in changes),
                    key=line.margin)
                for seed in self.seeds(point)
            ]  # fmt: skip
        return found

    def worst(self, point: int, line: str) -> tuple[str, float] | None:
        """The failure with the worst mean of a line, and that mean; None: the whole site's is."""
        (objective,) = [one for one in self._asked.objectives if one.text == line]
        seeds = self.seeds(point)

        def mean(change: str) -> float:
            return sum(self._values[point, change, seed][line] for seed in seeds) / len(seeds)

        failed = self._failed(point)
        change = max(("", *failed), key=lambda one: objective.margin(mean(one)))
        return (failed[change].label, mean(change)) if change else None

    def measured(self, point: int, line: str) -> float | None:
        """Nothing: the quantiles of runs with different failures have no common mean."""
        return None
