"""Where a plan's evidence comes from: runs of its points under common seeds, kept by content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sim.check.scenario import Scenario
from sim.engine.first_compile import prepare
from sim.errors import RackplanError
from sim.plan.margins import Objective, values_of
from sim.results.folders import run_folder_name
from sim.results.result import RunResult, open_run
from sim.study.executor import Executor
from sim.study.runs import Run, execute, those_there

#: A point, what is changed of it as ``--set`` takes it ("": nothing), a seed.
_Key = tuple[int, str, int]


class RunFailed(RackplanError):
    """A run of a plan came to no end; ``input_wrong`` if its scenario is to blame."""

    def __init__(self, message: str, input_wrong: bool) -> None:
        self.input_wrong = input_wrong
        super().__init__(message)


class Points(Protocol):
    """Points that are run under common seeds, whatever the question is."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The lines that are looked at."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """Common to all points, in the order in which they are used."""
        ...

    def label(self, point: int) -> str:
        """A point in words, unlike any other's."""
        ...

    def scenario(self, point: int, sets: Sequence[str] = ()) -> Scenario:
        """What is run at a point, with changes as ``--set`` takes them.

        Raises:
            ScenarioError: it makes no sense.
        """
        ...


@dataclass
class Making:
    """How the runs of a plan are made, and how many were.

    Attributes:
        engine: which serving plane.
        notice: is told what a user should know; ``ended``: of each run, and whether it was made.
        made, found: runs that were made now, and that were there.
        example: the folder of the last of them; its manifest says what all take for granted.
    """

    executor: Executor
    out: Path
    engine: str
    fresh: bool = False
    notice: Callable[[str], None] = lambda text: None
    ended: Callable[[str, bool], None] = lambda name, ran: None
    made: int = 0
    found: int = 0
    example: Path | None = None
    _prepared: bool = False

    def prepare(self) -> None:
        """Compile what the engine needs, once."""
        if not self._prepared:
            prepare(self.engine, self.notice)
            self._prepared = True


class PlanRuns:
    """The runs of a question's points: made when they are asked for, or found."""

    def __init__(self, points: Points, making: Making) -> None:
        self._question, self.making = points, making
        self._folders: dict[_Key, Path] = {}
        self._values: dict[_Key, dict[str, float]] = {}
        self._shown: dict[_Key, dict[str, float | None]] = {}

    def see(self, wanted: Mapping[int, int]) -> None:
        """Make sure that so many common seeds of each point are there.

        Raises:
            RunFailed: a run came to no end; those that did stay.
            ScenarioError: a point makes no sense.
        """
        seeds = self._question.seeds
        self._ensure({(point, ""): seeds[:count] for point, count in wanted.items()})

    def changed(
        self, point: int, sets: Sequence[str], seeds: Sequence[int]
    ) -> dict[str, list[dict[str, float]]]:
        """Change of a point → line → value, under each seed; "" is the point as it is.

        Raises:
            RunFailed, ScenarioError: as ``see``.
        """
        self._ensure({(point, change): seeds for change in ("", *sets)})
        return {
            change: [self._values[point, change, seed] for seed in seeds] for change in ("", *sets)
        }

    def _ensure(self, wanted: Mapping[tuple[int, str], Sequence[int]]) -> None:
        """Make sure that these runs are there: (point, what is changed of it) → seeds."""
        runs = {
            (point, change, seed): self._run(point, change, seed)
            for (point, change), seeds in wanted.items()
            for seed in seeds
            if (point, change, seed) not in self._values
        }
        there = set() if self.making.fresh else those_there(list(runs.values()))
        for key, run in runs.items():
            if run.name in there:
                self.making.found += 1
                self._take(key, run.folder)
                self.making.ended(run.name, False)
        todo = {run.name: key for key, run in runs.items() if run.name not in there}
        if not todo:
            return
        self.making.prepare()
        failed: list[RunFailed] = []
        with closing(
            execute([runs[key] for key in todo.values()], self.making.executor)
        ) as outcomes:
            for run, end in outcomes:
                if end.folder is None:
                    failed.append(RunFailed(f"{run.name}: {end.message}", end.input_wrong))
                else:
                    self.making.made += 1
                    self._take(todo[run.name], end.folder)
                self.making.ended(run.name, True)
        if failed:
            raise failed[0]

    def _run(self, point: int, change: str, seed: int) -> Run:
        scenario = self._question.scenario(point, (change,) if change else ())
        folder = self.making.out / run_folder_name(scenario.name, scenario.resolved, seed)
        also = f", {change}" if change else ""
        name = f"{self._question.label(point)}{also}, seed {seed}"
        return Run(name, scenario, seed, self.making.engine, folder)

    def _take(self, key: _Key, folder: Path) -> None:
        run, lines = open_run(folder), self._question.objectives
        self._folders[key] = self.making.example = folder
        self._values[key] = values_of(lines, run)
        self._shown[key] = {line.text: run.metrics[line.metric].si for line in lines}

    def seeds(self, point: int) -> tuple[int, ...]:
        """The seeds of a point that are there, without a gap."""
        there = []
        for seed in self._question.seeds:
            if (point, "", seed) not in self._values:
                break
            there.append(seed)
        return tuple(there)

    def values(self, point: int) -> dict[str, list[float]]:
        """Line → its value under each seed that is there."""
        seeds = self.seeds(point)
        return {
            line.text: [self._values[point, "", seed][line.text] for seed in seeds]
            for line in self._question.objectives
        }

    def margins(self, point: int) -> Mapping[str, Sequence[float]]:
        """Line → its margin under each seed that is there."""
        values = self.values(point)
        return {
            line.text: [line.margin(value) for value in values[line.text]]
            for line in self._question.objectives
        }

    def results(self, point: int) -> dict[int, RunResult]:
        """Seed → its run, of those that are there."""
        return {seed: open_run(self._folders[point, "", seed]) for seed in self.seeds(point)}

    def measured(self, point: int, line: str) -> float | None:
        """The mean over seeds of a line's own metric, in SI units; None where it has none."""
        found = [self._shown[point, "", seed][line] for seed in self.seeds(point)]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known else None
