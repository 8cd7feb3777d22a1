"""Single runs of a study on an executor: those that are there are kept, the others are made."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.check.scenario import AnyScenario
from sim.engine.api import engine_of, input_digests, run_scenario
from sim.errors import RackplanError, ResultError, SimulationError
from sim.results.folders import MANIFEST, recover
from sim.results.manifest import plain, versions
from sim.results.parquet import ParquetSink
from sim.results.result import open_run
from sim.study.executor import Executor, Report, Task

#: How long a run that ended may stay out of sight, and how often is looked.
_SEEN_S, _LOOK_S = 90.0, 0.1


@dataclass(frozen=True)
class Run:
    """One seed of a scenario, into ``folder``; the argument of ``run_one``.

    ``name``, unique in its study, is what messages call it: "seed 3".
    """

    name: str
    scenario: AnyScenario
    seed: int
    engine: str
    folder: Path


@dataclass(frozen=True)
class RunEnd:
    """What a run sends back: its folder, or why there is none.

    ``input_wrong``: the scenario is to blame.
    """

    folder: Path | None
    message: str = ""
    input_wrong: bool = False


def run_one(run: Run, report: Report) -> RunEnd:
    """Do one run in this process; its results are on disk before this returns."""
    try:
        sink = ParquetSink(run.folder)
    except ResultError as error:
        return RunEnd(None, str(error))
    finished = False
    try:
        result = run_scenario(
            run.scenario,
            run.seed,
            engine=run.engine,
            sink=sink,
            progress=lambda simulated_s, total_s: report(simulated_s / total_s),
        )
        finished = True
    except SimulationError as error:
        return RunEnd(None, f"the simulation cannot go on: {error}")
    except ResultError as error:
        return RunEnd(None, str(error))
    except OSError as error:  # a full disk, say: no fault of the scenario, and none of the program
        return RunEnd(None, f"files cannot be read or written: {error}")
    except RackplanError as error:
        return RunEnd(None, str(error), input_wrong=True)
    finally:
        if not finished:
            sink.discard()
    return RunEnd(result.folder)


def execute(runs: Iterable[Run], executor: Executor) -> Generator[tuple[Run, RunEnd], None, None]:
    """Each run and how it ended, as they end.

    Raises:
        ResultError: a run ended and its folder is not seen here.
    """
    outcomes = executor.map(run_one, (Task(run.name, run) for run in runs))
    with closing(outcomes):
        for outcome in outcomes:
            run: Run = outcome.task.argument
            failure = outcome.failure
            if failure is None:
                _until_seen(outcome.value)
                yield run, outcome.value
                continue
            if run.folder.parent.is_dir():
                recover(run.folder)  # a dead worker cannot remove what it was writing
            yield run, RunEnd(None, f"{failure.message}\n{failure.detail}".rstrip())


def _until_seen(end: RunEnd) -> None:
    """Wait for a run that another machine wrote: a shared folder may show it after a while.

    NFS keeps what it knows of a folder for up to a minute; listing the folder makes it look again.
    """
    until_s = time.monotonic() + _SEEN_S
    while end.folder is not None and not (end.folder / MANIFEST).is_file():
        if time.monotonic() > until_s:
            raise ResultError(f"{end.folder} is not there, although the run that writes it ended")
        os.listdir(end.folder.parent)
        time.sleep(_LOOK_S)


def those_there(runs: Sequence[Run]) -> set[str]:
    """The names of runs whose results are there, whole, and the same as new ones would be."""
    wanted: dict[int, dict[str, Any]] = {}  # by scenario: to look at its inputs takes time
    there = set()
    for run in runs:
        if not (run.folder / MANIFEST).is_file():
            continue
        if id(run.scenario) not in wanted:
            wanted[id(run.scenario)] = {
                "outcome": "complete",
                "engine": engine_of(run.scenario, run.engine),
                "versions": versions(),
                "resolved": plain(run.scenario.resolved),
                "inputs": input_digests(run.scenario),
            }
        if None in wanted[id(run.scenario)]["inputs"].values():
            continue  # made by code that nobody can compare
        try:
            manifest = open_run(run.folder).manifest
        except ResultError:  # damaged, or of another version: a new run replaces it
            continue
        same = {**wanted[id(run.scenario)], "seed": run.seed}
        if all(manifest.get(key) == value for key, value in same.items()):
            there.add(run.name)
    return there
