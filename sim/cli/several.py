"""Several seeds from the command line: options, progress, what is printed, exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.cli.seeds_bar import seeds_bar

if TYPE_CHECKING:
    from sim.check.scenario import Scenario
    from sim.study.result import SeedsResult

#: Exit codes: of a seed that failed, and of Ctrl-C (128 + SIGINT, as shells have it).
FAILED, STOPPED = 3, 130

# Options that `run` and `compare` share.
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="worker processes (default: one a core)"),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="run every seed, also those that are there already")
]
StuckAfter = Annotated[
    str,
    typer.Option("--stuck-after", metavar="TIME", help="kill a worker that is silent for so long"),
]
STUCK_AFTER = "15 min"


def run_several(
    scenario: Scenario,
    seeds: range,
    *,
    jobs: int | None,
    out: Path,
    engine: str,
    fresh: bool,
    stuck_after: str,
) -> SeedsResult:
    """Run seeds on this machine; progress and messages go to standard error.

    Raises:
        typer.Exit: no seed finished although the scenario is right, or Ctrl-C.
        RackplanError: the input is wrong.
    """
    from sim.study.local import LocalExecutor
    from sim.study.seeds import NoSeedFinished, run_seeds

    silence_s = silence(stuck_after)
    try:
        with seeds_bar(scenario.name, len(seeds)) as bar:
            executor = LocalExecutor(
                jobs,
                silence_s=silence_s,
                notice=bar.notice,
                progress=lambda task, share: bar.running(task.argument.seed, share),
            )
            return run_seeds(
                scenario,
                seeds,
                executor,
                out=out,
                engine=engine,
                fresh=fresh,
                notice=bar.notice,
                ended=bar.ended,
            )
    except NoSeedFinished as error:
        if error.input_wrong:
            raise
        print(error, file=sys.stderr)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        print("stopped; seeds that had finished are kept: the same command goes on from there",
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


def report_seeds(result: SeedsResult, as_json: bool) -> None:
    """Print metrics over seeds on standard output: the summary, or JSON."""
    if as_json:
        import json

        print(json.dumps(seeds_as_dict(result), indent=2))
        return
    from sim.cli.summary import console
    from sim.cli.summary_seeds import print_seeds

    print_seeds(result, console())


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
