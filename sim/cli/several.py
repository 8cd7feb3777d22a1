"""Several seeds from the command line: options, progress, what is printed, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.cli.calibration_table import print_ranges, with_ranges
from sim.cli.seeds_bar import seeds_bar

if TYPE_CHECKING:
    from sim.check.scenario import AnyScenario
    from sim.study.calibrations import CalibrationResult
    from sim.study.cluster import DaskExecutor
    from sim.study.executor import Task
    from sim.study.local import LocalExecutor
    from sim.study.result import SeedsResult

#: Exit codes: of a seed that failed, and of Ctrl-C (128 + SIGINT, as shells have it).
FAILED, STOPPED = 3, 130

# Options that `run` and `compare` share.
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="worker processes (default: one a core; of a cluster: all)"),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="run every seed, also those that are there already")
]
StuckAfter = Annotated[
    str,
    typer.Option("--stuck-after", metavar="TIME", help="kill a worker that is silent for so long"),
]
STUCK_AFTER = "15 min"
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="run on the workers of a Dask cluster, tcp://HOST:8786, which share --out",
    ),
]


def _nothing(task: Task, share: float) -> None:
    """Nobody looks at the progress."""


@dataclass(frozen=True)
class How:
    """How runs are made: the options that commands of several runs share."""

    jobs: int | None
    out: Path
    engine: str
    fresh: bool
    stuck_after: str
    scheduler: str | None = None

    @property
    def place(self) -> Path:
        """``out``; where other machines have to find it, the whole path."""
        return self.out if self.scheduler is None else self.out.resolve()


@contextmanager
def executor_of(
    how: How,
    *,
    notice: Callable[[str], None],
    progress: Callable[[Task, float], None] = _nothing,
    kept: bool = False,
) -> Iterator[LocalExecutor | DaskExecutor]:
    """What runs the tasks of a command: processes here, or the workers of a cluster.

    ``kept``: processes stay from one map to the next.

    Raises:
        RackplanError: ``--stuck-after`` is no time, or the cluster cannot take part.
    """
    options: dict[str, Any] = {
        "silence_s": silence(how.stuck_after), "notice": notice, "progress": progress,
    }  # fmt: skip
    if how.scheduler is None:
        from sim.study.local import LocalExecutor

        local = LocalExecutor(how.jobs, **options)
        with local.kept() if kept else nullcontext():
            yield local
        return
    from sim.study.cluster import DaskExecutor

    with DaskExecutor(how.scheduler, folder=how.place, jobs=how.jobs, **options) as executor:
        yield executor


def run_several(scenario: AnyScenario, seeds: range, how: How) -> SeedsResult:
    """Run seeds; progress and messages go to standard error.

    Raises:
        typer.Exit: no seed finished although the scenario is right, or Ctrl-C.
        RackplanError: the input is wrong.
    """
    from sim.study.seeds import NoSeedFinished, run_seeds

    try:
        with (
            stopped("seeds"),
            seeds_bar(scenario.name, len(seeds)) as bar,
            executor_of(
                how,
                notice=bar.notice,
                progress=lambda task, share: bar.running(task.argument.seed, share),
            ) as executor,
        ):
            return run_seeds(
                scenario,
                seeds,
                executor,
                out=how.place,
                engine=how.engine,
                fresh=how.fresh,
                notice=bar.notice,
                ended=bar.ended,
            )
    except NoSeedFinished as error:
        if error.input_wrong:
            raise
        print(error, file=sys.stderr)
        raise typer.Exit(FAILED) from None


@contextmanager
def stopped(what: str) -> Iterator[None]:
    """Ctrl-C ends the command, which says that what had finished is kept."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; {what} that had finished are kept: the same command goes on from there",
              file=sys.stderr)  # fmt: skip
        raise typer.Exit(STOPPED) from None


def silence(stuck_after: str) -> float:
    """The seconds of ``--stuck-after``.

    Raises:
        UnitError: no length of time, or none at all.
    """
    from sim.units import UnitError, parse_quantity

    silence_s = parse_quantity(stuck_after, "time")
    if silence_s <= 0.0:
        raise UnitError(f"--stuck-after {stuck_after}: a worker needs some time to say something")
    return silence_s


def report_seeds(
    result: SeedsResult, as_json: bool, ranges: CalibrationResult | None = None
) -> None:
    """Print metrics over seeds on standard output: the summary, or JSON.

    ``ranges``: those of the calibration.
    """
    if as_json:
        import json

        print(json.dumps(with_ranges(seeds_as_dict(result), ranges), indent=2))
        return
    from sim.cli.summary import console
    from sim.cli.summary_placement import print_placement_seeds
    from sim.cli.summary_seeds import print_seeds
    from sim.results.kind import is_placement

    tell = print_placement_seeds if is_placement(result.manifest) else print_seeds
    tell(result, console())
    print_ranges(ranges)


def seeds_as_dict(result: SeedsResult) -> dict[str, Any]:
    """The JSON form, that of a run with the seeds beside it."""
    from sim.results.result import metrics_json

    manifest = result.manifest
    return {
        "run": str(result.folder),
        "outcome": result.outcome,
        "seeds": manifest["finished"],
        "failed": manifest["failed"],
        "metrics": metrics_json(result.metrics),
        "expectations": manifest["expectations"],
        "warnings": manifest["warnings"],
    }


def seeds_exit_code(result: SeedsResult) -> int:
    """0, 1 if an expectation is not shown to hold, ``FAILED`` if a seed failed."""
    if result.manifest["failed"]:
        return FAILED
    return 0 if all(line["passed"] for line in result.manifest["expectations"]) else 1
