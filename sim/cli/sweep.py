"""``rackplan sweep``: a study of many points: run what is missing, print what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim.cli.run import ENGINE
from sim.cli.seeds_bar import seeds_bar
from sim.cli.several import (
    FAILED,
    STUCK_AFTER,
    How,
    Jobs,
    Scheduler,
    StuckAfter,
    executor_of,
    stopped,
)

if TYPE_CHECKING:
    from sim.study.points import Study
    from sim.study.sweep import StudyResult


def sweep(
    file: Annotated[str, typer.Argument(metavar="STUDY", help="study file")],
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="runs of each point (default: the study's)"),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="change a value in the base"),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="where folders are made")
    ] = Path("runs"),
    engine: Annotated[
        str, typer.Option("--engine", help="compiled; or reference: equal results, slowly")
    ] = ENGINE,
    jobs: Jobs = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="do every run, also those that are there already")
    ] = False,
    stuck_after: StuckAfter = STUCK_AFTER,
    scheduler: Scheduler = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="also write the study as one HTML page"),
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="let paths lead out of the study's folder")
    ] = False,
) -> None:
    """Run every point of a study under every seed, and show how its metrics move.

    All points are checked before any is run. Runs that are in OUT already are not made again, so a
    study that was stopped goes on where it was. Each run has a folder in OUT; the study's own,
    OUT/<study>-<hash>-s<first>-<last>, has a row for every run in study.parquet and the points,
    with 95 % intervals over the seeds, in study.json.

    With `sampling:` points are drawn, or searched for the best; with `objective:` the best point is
    told, with `constraints:` which points hold to them, and `budget:` bounds what one call runs.

    Lines of `expect:` are judged at every point, but a study looks for where they break, so they
    do not change the exit code: 0, or 2 if the study or a point is wrong, 3 if a run failed (the
    others are shown), 130 if stopped by Ctrl-C.
    """
    from sim.study.points import load_study
    from sim.study.sweep_files import save

    study = load_study(file, sets=sets or (), seeds=seeds, allow_outside=allow_outside)
    for text in study.warnings:
        print(f"warning: {text}", file=sys.stderr)
    if report is not None:
        from sim.plan.report import check_report

        check_report(report)
    how = How(jobs, out, engine, fresh, stuck_after, scheduler)
    result = _run(study, how)
    folder = save(result, out)
    if report is not None:
        from sim.cli.sweep_page import write_study_page

        write_study_page(report, result, file)
        print(f"Page: {report}", file=sys.stderr)
    _show(result, folder, as_json)
    raise typer.Exit(FAILED if result.failed else 0)


def _show(result: StudyResult, folder: Path, as_json: bool) -> None:
    """Print the study on standard output."""
    if as_json:
        from sim.study.sweep_files import content_of

        print(json.dumps({"study": str(folder), **content_of(result)}, indent=2))
    else:
        from sim.cli.summary import console
        from sim.cli.sweep_table import WIDTH, print_study

        print_study(result, folder, console(WIDTH))


def _run(study: Study, how: How) -> StudyResult:
    """Run the study; progress and messages go to standard error.

    Raises:
        typer.Exit: Ctrl-C.
        RackplanError: the input is wrong.
    """
    from sim.study.making import most_runs
    from sim.study.sweep import run_study

    count = most_runs(study, how.place, how.engine)
    with (
        stopped("runs"),
        seeds_bar(study.name, count, "runs") as bar,
        executor_of(
            how,
            notice=bar.notice,
            progress=lambda task, share: bar.running(task.name, share),
            kept=study.maker is not None,
        ) as executor,
    ):
        return run_study(
            study,
            executor,
            out=how.place,
            engine=how.engine,
            fresh=how.fresh,
            notice=bar.notice,
            ended=bar.ended,
        )
