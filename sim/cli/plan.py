"""``rackplan plan``: the least or the most of something that meets every line, with evidence."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim.cli.run import ENGINE
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
    from sim.plan.least import Plan
    from sim.plan.question import Question
    from sim.plan.shadow import Shadows


def plan(
    file: Annotated[str, typer.Argument(metavar="STUDY", help="study with a question")],
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=2, help="most runs of a point (default: the study's)"),
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
    shadow: Annotated[
        bool,
        typer.Option("--shadow", help="also what one step more of each resource would buy"),
    ] = False,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="let paths lead out of the study's folder")
    ] = False,
) -> None:
    """Find the least or the most of something that still meets every line, and show the evidence.

    A bound is reckoned before anything is run; two seeds find the place; then the answer and its
    neighbour get more seeds until a confidence sequence decides (docs/plan.md). Runs that are in
    OUT already are not made again, so a plan that was stopped goes on where it was.

    Exits with 0 if there is an answer, 1 if no value meets the lines, 2 if the study or a point is
    wrong, 3 if a run failed, 130 if stopped by Ctrl-C.
    """
    from sim.plan.question import load_question

    question = load_question(file, sets=sets or (), seeds=seeds, allow_outside=allow_outside)
    for text in question.warnings:
        print(f"warning: {text}", file=sys.stderr)
    start_s = time.monotonic()
    found, worth = _answer(question, How(jobs, out, engine, fresh, stuck_after, scheduler), shadow)
    took_s = time.monotonic() - start_s
    if as_json:
        from sim.plan.content import content_of, shadows_content

        content = {**content_of(found), "shadow": shadows_content(worth)}
        print(json.dumps({**content, "seconds": round(took_s, 1)}, indent=2))
    else:
        from sim.cli.plan_text import print_plan
        from sim.cli.summary import console

        print_plan(found, worth, took_s, out, console(WIDTH))
    raise typer.Exit(0 if found.answer is not None else 1)


#: Width of output that goes to no terminal.
WIDTH = 120


def _answer(question: Question, how: How, shadow: bool) -> tuple[Plan, Shadows | None]:
    """Run the plan; progress and messages go to standard error.

    Raises:
        typer.Exit: a run failed although its scenario is right, or Ctrl-C.
        RackplanError: the input is wrong.
    """
    from sim.plan.least import make_plan
    from sim.plan.runs import PlanRuns, RunFailed
    from sim.plan.shadow import shadows

    def notice(text: str) -> None:
        print(text, file=sys.stderr)

    def ended(name: str, ran: bool) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{name}", end="", file=sys.stderr, flush=True)

    try:
        with stopped("runs"), executor_of(how, notice=notice, kept=True) as executor:
            runs = PlanRuns(
                question, executor, out=how.place, engine=how.engine, fresh=how.fresh,
                notice=notice, ended=ended,
            )  # fmt: skip
            found = make_plan(question, runs)
            worth = shadows(found, runs) if shadow else None
            return replace(found, made=runs.made, found=runs.found), worth
    except RunFailed as error:
        if error.input_wrong:
            raise
        print(error, file=sys.stderr)
        raise typer.Exit(FAILED) from None
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
