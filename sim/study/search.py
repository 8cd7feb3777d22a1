"""A search for the best point of a study, where no structure is known: TPE of Optuna.

The tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) draws points where those that
were good are denser than those that were bad; of points that break a constraint the one that breaks
it less is better. Points are asked for in batches whose size is the study's, and told in their
order, so what is asked next depends on the study alone: not on how many workers there are, nor on
which was faster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sim.errors import RackplanError
from sim.spec.axes import Axis, Level
from sim.spec.goals import MAXIMISE, MINIMISE
from sim.study.goals import Candidate
from sim.study.points import Study, Threshold

#: How points are asked for, for who reads the results.
METHOD = "Optuna's TPESampler with constraints, a constant liar within each batch"
_DIRECTIONS = {MINIMISE: "minimize", MAXIMISE: "maximize"}
#: What a constraint that was not measured is broken by, in shares of its threshold.
_UNKNOWN = 1e6


class Search:
    """Asks for points and is told what came of them.

    Raises:
        RackplanError: Optuna is not installed.
    """

    def __init__(self, study: Study) -> None:
        try:
            import optuna
        except ImportError as error:
            raise RackplanError(
                f"a study with 'sampling: {{kind: search}}' needs Optuna, which is not installed "
                f"({error}): pip install 'rackplan[search]'"
            ) from error
        sampling = study.spec.sampling
        assert sampling is not None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._axes, self._constraints = study.spec.axes, study.constraints
        self._left, self._batch = sampling.points, sampling.batch
        self._fail = optuna.trial.TrialState.FAIL
        create: Any = optuna.create_study
        self._optuna = create(
            sampler=optuna.samplers.TPESampler(seed=sampling.seed),
            directions=[_DIRECTIONS[goal.goal] for goal in study.spec.objectives],
        )
        self._asked: list[Any] = []

    def ask(self) -> list[tuple[Level, ...]]:
        """The levels of the next points; none where the search is at its end."""
        count = min(self._left, self._batch)
        self._left -= count
        self._asked = [self._optuna.ask() for _ in range(count)]
        return [tuple(_suggested(trial, axis) for axis in self._axes) for trial in self._asked]

    def tell(self, found: Sequence[Candidate]) -> None:
        """What came of the points that were asked for last, in their order."""
        for trial, candidate in zip(self._asked, found, strict=True):
            for line in self._constraints:
                trial.set_constraint(line.text, broken_by(line, candidate))
            if None in candidate.means or not candidate.by_seed:
                self._optuna.tell(trial, state=self._fail)
            else:
                self._optuna.tell(trial, list(candidate.means))


def _suggested(trial: Any, axis: Axis) -> Level:
    span = axis.span
    if span is None:
        index: int = trial.suggest_categorical(axis.name, list(range(len(axis.levels))))
        return axis.levels[index]
    if span.whole:
        value = trial.suggest_int(axis.name, int(span.low), int(span.high), log=span.log)
    else:
        value = trial.suggest_float(axis.name, float(span.low), float(span.high), log=span.log)
    return axis.of_value(span.shown(span.rounded(value)))


def broken_by(line: Threshold, candidate: Candidate) -> float:
    """How far the mean over the seeds is on the wrong side, in shares of the threshold.

    0 or less where the line holds.
    """
    known = [metrics[line.metric].si for metrics in candidate.by_seed.values()
             if line.metric in metrics]  # fmt: skip
    values = [value for value in known if value is not None]
    if not values:
        return _UNKNOWN
    off = (math.fsum(values) / len(values) - line.threshold) / (abs(line.threshold) or 1.0)
    if line.operator == "==":
        return abs(off)
    off = off if line.operator.startswith("<") else -off
    if off == 0.0 and line.operator in ("<", ">"):
        return math.ulp(1.0)
    return off
