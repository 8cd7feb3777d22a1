"""The runs of a study: made if they are not there, within its budget, each once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sim.check.scenario import Scenario
from sim.engine.first_compile import prepare
from sim.errors import RackplanError, ResultError
from sim.results.folders import run_folder_name
from sim.results.metrics import Metric
from sim.results.result import open_run
from sim.study.executor import Executor
from sim.study.losses import WorkloadFacts, facts_of
from sim.study.points import Point, Study
from sim.study.runs import Run, execute, those_there

#: The two sides of a point.
POINT, BASELINE = "point", "baseline"
#: What stands in place of a message where the budget was spent before.
NOT_RUN = "not run (budget)"

Key = tuple[int, str, int]  # number of the point, side, seed


@dataclass(frozen=True)
class RunFacts:
    """What a study keeps of a run: its folder's name, the metrics asked for, its workloads."""

    folder: str
    metrics: Mapping[str, Metric]
    workloads: Mapping[str, WorkloadFacts]


def scenarios_of(points: Iterable[Point]) -> Iterator[tuple[Point, str, Scenario]]:
    """Each point and its baseline."""
    for point in points:
        yield point, POINT, point.scenario
        if point.baseline is not None:
            yield point, BASELINE, point.baseline


class Making:
    """Makes the runs of points, or takes those that are there.

    Args:
        study: whose seeds and metrics; its points are given to ``make``.
        executor, out, engine, fresh, notice: as for ``run_seeds``.
        ended: takes (name of a run, whether it ran just now) once its results are there.
    """

    def __init__(
        self,
        study: Study,
        executor: Executor,
        *,
        out: Path,
        engine: str,
        fresh: bool,
        notice: Callable[[str], None],
        ended: Callable[[str, bool], None],
    ) -> None:
        self._study, self._executor = study, executor
        self._out, self._engine, self._fresh = out, engine, fresh
        self._notice, self._ended = notice, ended
        self._by_folder: dict[Path, Run] = {}
        self._keyed: dict[Key, Run] = {}
        self._facts: dict[str, RunFacts] = {}
        self._messages: dict[str, str] = {}
        self._prepared = False
        self._made = self._there = 0
        self._start_s = time.monotonic()

    def make(self, points: Sequence[Point]) -> None:
        """Run what is not there yet of these points, as far as the budget goes.

        Raises:
            ResultError: a folder is in the way, or cannot be written.
            RackplanError: two different scenarios would have the same folder.
            KeyboardInterrupt: Ctrl-C; runs that had finished stay.
        """
        runs = self._add(points)
        wanted = _wanted(self._study, points)
        found = {} if self._fresh else dict(_found(runs, wanted))
        self._facts |= found
        self._there += len(found)
        if found and self._study.maker is None:
            self._notice(
                f"{len(found)} of {len(runs)} runs: already in {self._out}, taken as found"
            )
        for name in found:
            self._ended(name, False)
        todo = [run for run in runs if run.name not in found]
        if todo and not self._prepared:
            prepare(self._engine, self._notice)
            self._prepared = True
        with closing(execute(self._within_budget(todo), self._executor)) as outcomes:
            for run, end in outcomes:
                if end.folder is None:
                    self._messages[run.name] = end.message.partition("\n")[0]
                    self._notice(f"{run.name} failed: {end.message}")
                else:
                    self._facts[run.name] = _facts(end.folder, wanted)
                self._ended(run.name, True)

    def _add(self, points: Sequence[Point]) -> list[Run]:
        """The runs that these points need and none before did."""
        new = []
        for run, key in runs_of(points, self._study.seeds, self._out, self._engine):
            known = self._by_folder.setdefault(run.folder, run)
            if known is run:
                new.append(run)
            elif known.scenario.resolved != run.scenario.resolved:
                raise RackplanError(
                    f"{run.name} and {known.name} differ and would both be written to "
                    f"{run.folder}: give the base another name"
                )
            self._keyed[key] = known
        return new

    def _within_budget(self, runs: Sequence[Run]) -> Iterator[Run]:
        for run in runs:
            if self.spent:
                return
            self._made += 1
            yield run

    @property
    def spent(self) -> bool:
        """Whether the budget is."""
        budget = self._study.spec.budget
        if budget is None:
            return False
        if budget.runs is not None and self._made >= budget.runs:
            return True
        took_s = time.monotonic() - self._start_s
        return budget.time_s is not None and took_s >= budget.time_s

    def end(self, number: int, side: str, seed: int) -> tuple[RunFacts | None, str]:
        """What there is of a run, or the message why there is nothing."""
        name = self._keyed[number, side, seed].name
        facts = self._facts.get(name)
        return facts, "" if facts is not None else self._messages.get(name, NOT_RUN)

    def sum_up(self) -> None:
        """Say what a search found, and what the budget left out."""
        if self._there and self._study.maker is not None:
            self._notice(f"{self._there} runs: already in {self._out}, taken as found")
        names = {run.name for run in self._by_folder.values()}
        left = len(names - self._facts.keys() - self._messages.keys())
        if left:
            self._notice(
                f"{left} of {len(names)} runs were not made: the budget is spent; the same command "
                "goes on from here"
            )


def most_runs(study: Study, out: Path, engine: str) -> int:
    """How many runs a study has; of a search, at most."""
    sampling = study.spec.sampling
    if study.maker is not None and sampling is not None:
        sides = 1 if study.spec.baseline is None else 2
        return sampling.points * sides * len(study.seeds)
    return len({run.folder for run, _ in runs_of(study.points, study.seeds, out, engine)})


def runs_of(
    points: Iterable[Point], seeds: Sequence[int], out: Path, engine: str
) -> Iterator[tuple[Run, Key]]:
    """A run for every point, side and seed; equal ones have the same folder."""
    for point, side, scenario in scenarios_of(points):
        whose = "'s baseline" if side == BASELINE else ""
        for seed in seeds:
            folder = out / run_folder_name(scenario.name, scenario.resolved, seed)
            name = f"point {point.number}{whose}, seed {seed}"
            yield Run(name, scenario, seed, engine, folder), (point.number, side, seed)


def _found(runs: Sequence[Run], wanted: Sequence[str]) -> Iterator[tuple[str, RunFacts]]:
    """What there is of runs whose results are there and whole."""
    there = those_there(runs)
    for run in runs:
        if run.name in there:
            with suppress(ResultError):  # a damaged table: a new run replaces it
                yield run.name, _facts(run.folder, wanted)


def _wanted(study: Study, points: Iterable[Point]) -> tuple[str, ...]:
    """Every metric that the study looks at, in order."""
    names = [*study.metrics, *(line.metric for line in (*study.chances, *study.constraints))]
    names += [line.metric for point in points for line in point.scenario.expectations]
    # The interval of a share of requests needs to know of how many.
    good = [name for name in names if name.rpartition(".")[2] == "goodput_fraction"]
    return tuple(dict.fromkeys((*names, *(f"{n.removesuffix('goodput_fraction')}arrivals"
                                          for n in good))))  # fmt: skip


def _facts(folder: Path, wanted: Sequence[str]) -> RunFacts:
    run = open_run(folder)
    metrics = {name: run.metrics[name] for name in wanted if name in run.metrics}
    return RunFacts(folder.name, metrics, facts_of(run))
