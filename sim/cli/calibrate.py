"""``rackplan calibrate``: time on this machine what serving does, and fit constants to it."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim.errors import RackplanError

if TYPE_CHECKING:
    from sim.calibrate.read import Calibration
    from sim.calibrate.session import Outcome, Report

calibrate_app = typer.Typer(
    name="calibrate",
    help="Time what serving does on the GPU (or CPU) at hand, and fit constants to it.",
    invoke_without_command=True,
    no_args_is_help=False,
)

_DEVICES = ("auto", "gpu", "cpu")
#: The progress bar is drawn this often at most, in seconds.
_REDRAW_S = 0.1


@calibrate_app.callback()
def measure(
    context: typer.Context,
    minutes: Annotated[float, typer.Option(help="Time to measure, at most.")] = 5.0,
    device: Annotated[str, typer.Option(help="gpu, cpu, or auto: a GPU if there is one.")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="File of the measurements; it must not be there yet.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="A file to go on with: what is in it is not timed again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time matrix products, attention, norms, copies and all-reduces on the device at hand.

    What tells most per second comes first, so a short run is a coarse one, not a partial one. Every
    measurement is in the file before the next begins: stop it when you like, go on with --resume.
    """
    if context.invoked_subcommand is not None:
        return
    if device not in _DEVICES:
        raise RackplanError(f"--device {device}: must be one of {', '.join(_DEVICES)}")
    if not 0.0 < minutes <= 1440.0:
        raise RackplanError(f"--minutes {minutes:g}: must be above 0 and at most 1440")
    if out is not None and resume is not None:
        raise RackplanError("--out is for a new file, --resume for one that is there: drop one")
    outcome, file, why = _measure(minutes, device, out, resume)
    if as_json:
        print(json.dumps(_session_json(outcome, file, why), indent=2))
        return
    from sim.cli.calibrate_text import console, print_session

    print_session(outcome, file, why, console())


@calibrate_app.command()
def fit(
    file: Annotated[Path, typer.Argument(help="Measurements of rackplan calibrate.")],
    gpu: Annotated[
        str | None, typer.Option(help="The GPU in the catalog, if its own name does not tell.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="File of the constants; default: your data folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit constants to measurements, with the error on shapes held out of the fit."""
    from sim.calibrate.fit import as_tree, write
    from sim.calibrate.fit import fit as fit_all
    from sim.calibrate.read import read

    measured = read(file)
    fitted = fit_all(measured, gpu, lambda text: print(text, file=sys.stderr))
    target = to or data_folder() / "calibration" / f"{slug(measured.identity.name)}.yaml"
    write(fitted, target)
    if as_json:
        print(json.dumps({"written": str(target), **as_tree(fitted)}, indent=2))
        return
    from sim.cli.calibrate_text import console, print_fit

    print_fit(fitted, str(target), console())


def data_folder() -> Path:
    """Where this user's own data of rackplan are: XDG_DATA_HOME, else ~/.local/share."""
    named = os.environ.get("XDG_DATA_HOME", "")
    base = Path(named) if os.path.isabs(named) else Path.home() / ".local" / "share"
    return base / "rackplan"


def slug(name: str) -> str:
    """A device's name as that of a file."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.casefold())).strip("-")


def _measure(
    minutes: float, wanted: str, out: Path | None, resume: Path | None
) -> tuple[Outcome, Calibration, str]:
    """Measures into a new file or one that is there; the session, the whole file, the device."""
    from sim.calibrate.device import open_device
    from sim.calibrate.order import Order
    from sim.calibrate.plan import candidates
    from sim.calibrate.read import read
    from sim.calibrate.record import Writer
    from sim.calibrate.session import check_same, run
    from sim.calibrate.settings import Settings

    before = read(resume) if resume is not None else None
    device, why = open_device(wanted)
    settings = Settings()
    known = before.known if before is not None else ()
    order = Order(candidates(device.identity.gpus), device.refuses, known)
    if before is not None:
        check_same(before, device.identity)
        writer = Writer.resume(before.path)
    else:
        path = out or Path(f"{slug(device.identity.name)}.calibration.jsonl")
        writer = Writer.new(path, device.identity, settings, order)
    print(f"{why}; {order.left:,} kernels to choose from; into {writer.path}", file=sys.stderr)
    with _bar(60.0 * minutes) as report:
        outcome = run(device, writer, order, settings, minutes, report)
    return outcome, read(writer.path), why


@contextmanager
def _bar(budget_s: float) -> Iterator[Report]:
    """A bar over the budget on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda outcome, passed_s, left: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from sim.results.wording import span

    columns = (BarColumn(), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=budget_s, text="reaching a steady clock")
        drawn_s = 0.0

        def report(outcome: Outcome, passed_s: float, left: int) -> None:
            nonlocal drawn_s
            if time.monotonic() - drawn_s < _REDRAW_S:
                return
            drawn_s = time.monotonic()
            done = len(outcome.measured)
            # With few kernels left the plan ends before the budget does.
            left_s = min(budget_s - passed_s, left * passed_s / max(done, 1))
            last = f", {outcome.measured[-1].kernel.name}" if done else ""
            text = f"{done} timed, {span(max(left_s, 0.0))} left{last}"
            bars.update(bar, completed=passed_s, text=text)

        yield report


def _session_json(outcome: Outcome, file: Calibration, why: str) -> dict[str, object]:
    from sim.calibrate.report import families, throttling

    return {
        "file": str(file.path),
        "device": asdict(file.identity),
        "chosen": why,
        "seconds": outcome.seconds,
        "ended": outcome.ended,
        "measured": len(outcome.measured),
        "kernels_in_file": len(file.timed),
        "families": [asdict(family) for family in families(file)],
        "drifted": sum(timed.drifted for timed in file.timed),
        "clock_levels": outcome.levels,
        "drift_tolerance": outcome.tolerance,
        "throttling": throttling(file),
        "failed": [{"kernel": f.kernel.name, "reason": f.reason} for f in outcome.failed],
        "skipped": [{"kernel": s.kernel.name, "reason": s.reason} for s in outcome.skipped],
        "refused": list(file.refused),
    }
