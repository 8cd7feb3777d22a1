"""``rackplan plan``: the least or the most of something that meets every line, with evidence."""

from __future__ import annotations

import json
import sys
import time
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
    from sim.plan.answer_files import Evidence
    from sim.plan.kinds import Asked
    from sim.plan.kinds import How as Also
    from sim.plan.runs import Making
    from sim.plan.told import Answer, Part


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
        bool | None,
        typer.Option(
            "--shadow/--no-shadow",
            help="what one step more of each resource would buy (default: where there is that)",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="also write the answer as one HTML page"),
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="let paths lead out of the study's folder")
    ] = False,
) -> None:
    """Answer the question of a study, with the evidence, what binds, and what would conflict.

    Questions: the least or the most of something that meets every line, also with failures; which
    failures a site survives; which upgrade adds most for a dollar; the cheapest hardware; until
    when it lasts; what to order when (docs/plan.md, mix.md, growth.md). Runs get more seeds until a
    confidence sequence decides. Runs that are in OUT already are not made again, so a plan that was
    stopped goes on where it was.

    Exits with 0 if there is an answer, 1 if no value meets the lines, 2 if the study or a point is
    wrong, 3 if a run failed, 130 if stopped by Ctrl-C.
    """
    from sim.plan.answer_files import Question, save
    from sim.plan.kinds import How as Also
    from sim.plan.kinds import load

    asked = load(file, sets=sets or (), seeds=seeds, allow_outside=allow_outside)
    text = Path(file).read_text("utf-8", "replace")  # now: what is answered, whatever comes after
    for warning in asked.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if report is not None:
        from sim.plan.report import check_report

        check_report(report)
    start_s = time.monotonic()
    how = How(jobs, out, engine, fresh, stuck_after, scheduler)
    answer, making = _answer(asked, how, Also(shadow is True, shadow is None))
    took_s = time.monotonic() - start_s
    more = _more(asked, answer, making)
    if report is not None:
        _report(report, file, asked, answer, making, more)
    question = Question(asked.name, Path(file).name, text, tuple(sets or ()), seeds)
    folder = save(out, question, answer, _evidence(making), more)
    _show(answer, making, took_s, folder, as_json)
    raise typer.Exit(0 if answer.answered else 1)


def _show(answer: Answer, making: Making, took_s: float, folder: Path, as_json: bool) -> None:
    """Print the answer on standard output, and where it lies."""
    if as_json:
        content = {**answer.content(), "engine": making.engine, "folder": str(folder)}
        content["runs"] = {"made": making.made, "found": making.found}
        print(json.dumps({**content, "seconds": round(took_s, 1)}, indent=2))
    else:
        from sim.cli.summary import console, plain_text
        from sim.cli.told_text import print_told
        from sim.results.wording import span

        to = console(WIDTH)
        print_told(answer.told(), to)
        counts = f"{making.made} made, {making.found} found in {making.out}"
        to.print(plain_text(f"Runs: {counts}, {span(took_s)} ({making.engine} engine)"))
        to.print(plain_text(f"Answer: {folder}"), soft_wrap=True)


def _evidence(making: Making) -> Evidence:
    """What an answer rests on."""
    from sim.plan.answer_files import Evidence

    example = None if making.example is None else making.example.name
    return Evidence(making.engine, making.made + making.found, example)


def _more(asked: Asked, answer: Answer, making: Making) -> tuple[Part, ...]:
    """What follows the answer for whoever reads it later."""
    from sim.plan.assumptions import told_of_assumptions

    definitions = answer.content().get("definitions", {})
    assert isinstance(definitions, dict)
    return told_of_assumptions(making.example, definitions, tuple(asked.warnings))


def _report(
    path: Path, file: str, asked: Asked, answer: Answer, making: Making, more: tuple[Part, ...]
) -> None:
    """Write the page.

    Raises:
        RackplanError: it cannot be written.
    """
    from sim import __version__
    from sim.plan.report import page_of, write_report

    runs = making.made + making.found
    footer = (
        f"rackplan {__version__}, rackplan plan {file}: {runs} runs on the {making.engine} engine; "
        "the same command finds them again"
    )
    write_report(path, page_of(asked.name, answer.told(), more, footer))
    print(f"Page: {path}", file=sys.stderr)


#: Width of output that goes to no terminal.
WIDTH = 120


def _answer(asked: Asked, how: How, also: Also) -> tuple[Answer, Making]:
    """Answer; progress and messages go to standard error.

    Raises:
        typer.Exit: a run failed although its scenario is right, or Ctrl-C.
        RackplanError: the input is wrong.
    """
    from sim.plan.runs import Making, RunFailed

    def notice(text: str) -> None:
        print(text, file=sys.stderr)

    def ended(name: str, ran: bool) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{name}", end="", file=sys.stderr, flush=True)

    try:
        with stopped("runs"), executor_of(how, notice=notice, kept=True) as executor:
            making = Making(executor, how.place, how.engine, how.fresh, notice, ended)
            return asked.answer(making, also), making
    except RunFailed as error:
        if error.input_wrong:
            raise
        print(error, file=sys.stderr)
        raise typer.Exit(FAILED) from None
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
