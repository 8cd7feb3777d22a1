"""``rackplan run``: run a scenario, write its results, print what they say."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.cli.calibration_table import print_ranges, with_ranges
from sim.cli.calibrations import load_samples, run_samples, samples_exit_code
from sim.cli.progress_file import ProgressFile
from sim.cli.several import (
    FAILED,
    STOPPED,
    STUCK_AFTER,
    Fresh,
    How,
    Jobs,
    Scheduler,
    StuckAfter,
    report_seeds,
    run_several,
    seeds_exit_code,
)

if TYPE_CHECKING:
    from types import FrameType

    from sim.check.scenario import AnyScenario
    from sim.results.result import RunResult
    from sim.study.calibrations import CalibrationResult

#: The serving plane unless told otherwise.
ENGINE = "compiled"
Uncertainty = Annotated[
    int | None,
    typer.Option(
        "--uncertainty",
        metavar="N",
        min=4,
        help="also run N draws from the errors of speeds and draw, for their own intervals",
    ),
]


def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="scenario file")],
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="of all randomness [default: the file's]")
    ] = None,
    sets: Annotated[
        list[str] | None,
        # The backslash keeps typer's help from taking the brackets for markup.
        typer.Option(
            "--set", metavar="PATH=VALUE", help=r"change a value: pools\[chat].replicas=30"
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="where run folders are made")
    ] = Path("runs"),
    engine: Annotated[
        str, typer.Option("--engine", help="compiled; or reference: equal results, slowly")
    ] = ENGINE,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="run this many seeds, from the first one on")
    ] = 1,
    jobs: Jobs = None,
    uncertainty: Uncertainty = None,
    fresh: Fresh = False,
    stuck_after: StuckAfter = STUCK_AFTER,
    scheduler: Scheduler = None,
    progress: Annotated[
        Path | None,
        typer.Option(
            "--progress", metavar="FILE", help="keep how far a single run is in FILE, as JSON"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="let paths lead out of the scenario's folder")
    ] = False,
) -> None:
    """Run a scenario and answer: does it meet its objectives, what limits it, what does it draw?

    Of 'kind: placement': what does its policy leave unallocated, and why do pods find no place?

    Results are in OUT/<scenario>-<hash>-s<seed>. With --seeds each seed has such a folder, metrics
    are means over the seeds with their intervals, in OUT/<scenario>-<hash>-s<first>-<last>, and
    seeds that are there already are not run again.

    With --uncertainty 16 the first seed is run again under 16 calibrations, drawn from the errors
    that predictions had on measured runs they had not seen. Metrics get the range of them, which
    holds the true value in 15 of 17 cases, and each objective the number of samples in which it
    holds. They are in OUT/….-u16; a sample is also run by --set calibration.sample=3.

    Exits with 1 if an expectation failed (over several seeds: is not shown to hold), 2 if the
    scenario is wrong, 3 if a seed or a sample failed, 130 if stopped by Ctrl-C (a single run keeps
    what was simulated so far, as partial; several keep the seeds that had finished).
    """
    for_several = jobs is not None or fresh or scheduler is not None
    _refuse_mixed(seeds > 1, uncertainty is not None, for_several, progress is not None)
    scenario = _loaded(file, sets or (), allow_outside, engine)
    chosen = scenario.seed if seed is None else seed
    how = How(jobs, out, engine, fresh, stuck_after, scheduler)
    samples = load_samples(scenario, uncertainty, file, sets or (), allow_outside)
    if seeds > 1:
        several = run_several(scenario, range(chosen, chosen + seeds), how)
        with _if_too_few(lambda: report_seeds(several, as_json)):
            ranges = run_samples(samples, several, several.by_seed.get(chosen), chosen, how)
        report_seeds(several, as_json, ranges)
        raise typer.Exit(samples_exit_code(ranges, seeds_exit_code(several)))
    result = _run_one(scenario, chosen, engine, out, ProgressFile(progress))
    memory = peak_memory_bytes()
    with _if_too_few(lambda: report(result, as_json, peak_bytes=memory)):
        ranges = run_samples(samples, result, result.metrics, chosen, how)
    report(result, as_json, ranges, peak_bytes=memory)
    raise typer.Exit(samples_exit_code(ranges, 0 if expectations_met(result) else 1))


def _loaded(file: str, sets: Sequence[str], allow_outside: bool, engine: str) -> AnyScenario:
    """The scenario, which must have the engine that was asked for.

    Raises:
        ScenarioError: it is wrong, or there is nothing to choose.
    """
    from sim.check.scenario import serving
    from sim.engine.api import load_scenario

    scenario = load_scenario(file, sets=sets, allow_outside=allow_outside)
    return scenario if engine == ENGINE else serving(scenario, "--engine")


@contextmanager
def _if_too_few(report_fitted: Callable[[], None]) -> Iterator[None]:
    """Where too few samples come to their end, what is fitted is reported all the same.

    Raises:
        typer.Exit: then, as ``FAILED``.
    """
    from sim.study.calibrations import TooFewSamples

    try:
        yield
    except TooFewSamples as error:
        report_fitted()
        print(error, file=sys.stderr)
        raise typer.Exit(FAILED) from None


def _refuse_mixed(several: bool, sampled: bool, for_several: bool, for_one: bool) -> None:
    """Refuse options of several runs for one, and those of one for several.

    Raises:
        RackplanError: they do not go together.
    """
    from sim.errors import RackplanError

    if not several and not sampled and for_several:
        message = "--jobs, --fresh and --scheduler are for several seeds: add --seeds 8, say"
        raise RackplanError(message)
    if for_one and (several or sampled):
        raise RackplanError("--progress is of a single run: leave out --seeds and --uncertainty")


def _run_one(
    scenario: AnyScenario, seed: int, engine: str, out: Path, told: ProgressFile
) -> RunResult:
    """Run one seed in this process.

    Raises:
        typer.Exit: Ctrl-C.
    """
    from sim.check.scenario import Scenario
    from sim.engine.api import Interrupted, run_scenario
    from sim.engine.first_compile import prepare
    from sim.results.folders import run_folder_name
    from sim.results.parquet import ParquetSink

    sink = ParquetSink(out / run_folder_name(scenario.name, scenario.resolved, seed))
    finished = False
    try:
        if isinstance(scenario, Scenario):
            prepare(engine)  # says so, if it takes long, before there is a bar
            with progress_bar(scenario.name) as draw:
                progress = told.following(draw)
                result = run_scenario(scenario, seed, engine=engine, sink=sink, progress=progress)
        else:
            result = run_scenario(scenario, seed, sink=sink)
        finished = True
        told.ended(result.name, result.outcome)
    except Interrupted as stop:
        finished = True
        where = f"what there is: {stop.partial.folder}" if stop.partial.folder else "nothing kept"
        told.ended(stop.partial.name, stop.partial.outcome)
        print(f"stopped; {where}", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    except KeyboardInterrupt:
        print("stopped; nothing kept", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    finally:
        if not finished:
            sink.discard()
    return result


def peak_memory_bytes() -> int:
    """The most memory that this process has had resident."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def report(
    result: RunResult,
    as_json: bool,
    ranges: CalibrationResult | None = None,
    peak_bytes: int | None = None,
) -> None:
    """Print a result on standard output: the summary, or JSON.

    ``ranges``: those of the calibration. ``peak_bytes``: of the process that made it. It differs
    between equal runs, so it is in no file, and beside the summary on standard error.
    """
    if as_json:
        memory = {} if peak_bytes is None else {"peak_memory_bytes": peak_bytes}
        print(json.dumps(with_ranges(as_dict(result), ranges) | memory, indent=2))
        return
    from sim.cli.summary import console, print_summary
    from sim.cli.summary_placement import print_placement
    from sim.results.kind import is_placement

    tell = print_placement if is_placement(result.manifest) else print_summary
    tell(result, console())
    print_ranges(ranges)
    if peak_bytes is not None:
        print(f"Peak memory: {peak_bytes / 2**20:,.0f} MiB", file=sys.stderr)


def as_dict(result: RunResult) -> dict[str, Any]:
    """The JSON form of a result: run, outcome, metrics, expectations, warnings."""
    from sim.results.result import metrics_json

    return {
        "run": str(result.folder) if result.folder is not None else result.name,
        "outcome": result.outcome,
        "metrics": metrics_json(result.metrics),
        "expectations": result.manifest["expectations"],
        "warnings": result.manifest["warnings"],
    }


def expectations_met(result: RunResult) -> bool:
    """Whether every ``expect`` line held."""
    return all(expectation["passed"] for expectation in result.manifest["expectations"])


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[float, float], None]]:
    """A ``progress`` function that draws a bar on a terminal and stops the run after Ctrl-C.

    The first Ctrl-C lets the run end at its next report, so that what was written is whole; the
    second one stops at once.
    """
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with _bar(name) as draw:
        before = signal.signal(signal.SIGINT, stop)

        def progress(simulated_s: float, total_s: float) -> None:
            if stopping:
                raise KeyboardInterrupt
            draw(simulated_s, total_s)

        try:
            yield progress
        finally:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[float, float], None]]:
    """Draws simulated time and time left on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda simulated_s, total_s: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from sim.results.wording import span

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[simulated]} simulated", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(name, total=None, simulated="0 s")

        def draw(simulated_s: float, total_s: float) -> None:
            simulated = f"{span(simulated_s)} of {span(total_s)}"
            bars.update(task, completed=simulated_s, total=total_s, simulated=simulated)

        yield draw
