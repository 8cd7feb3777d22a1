"""A calibration on a terminal: what was measured and how surely, what was fitted and how well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.calibrate.report import FamilyReport, families, throttling
from sim.calibrate.session import ALL_DONE
from sim.cli.summary import plain_text
from sim.results.wording import percent, span
from sim.units import format_si

if TYPE_CHECKING:
    from sim.calibrate.fit import Fitted
    from sim.calibrate.folds import Errors
    from sim.calibrate.read import Calibration
    from sim.calibrate.session import Outcome

#: Rates in the unit that suits them.
_RATES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
_MOST_LISTED = 6


def rate(value: float | None, unit: str) -> str:
    """``989 TFLOP/s``; a dash where there is none."""
    if value is None:
        return "–"
    for factor, prefix in _RATES:
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def console() -> Console:
    """Standard output, as wide as its terminal, else wide enough for the tables."""
    from sys import stdout

    return Console(width=None if stdout.isatty() else 110, highlight=False)


def print_session(outcome: Outcome, file: Calibration, why: str, out: Console) -> None:
    """What a session did, and what the whole file holds now."""
    here = file.identity
    out.print(
        f"Measured {len(outcome.measured)} kernels in {span(outcome.seconds)} on {here.name}: "
        f"{outcome.ended}.", markup=False,
    )  # fmt: skip
    for line in (f"Device: {why}", *(f"Note: {note}" for note in here.notes)):
        out.print(Text(plain_text(line)))
    out.print()
    out.print(_families(families(file)))
    out.print()
    for line in _remarks(outcome, file):
        out.print(Text(plain_text(line)))
    out.print(Text(plain_text(f"File: {file.path} ({len(file.timed)} kernels of all sessions)")))
    out.print(Text(f"Next: rackplan calibrate fit {plain_text(str(file.path))}"))
    if outcome.ended != ALL_DONE:
        out.print(Text(f"More: rackplan calibrate --resume {plain_text(str(file.path))}"))


def _families(found: tuple[FamilyReport, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("kernels of", "", "timed", "sure", "± of median", "widest", "best rate", ""):
        table.add_column(head, justify="left" if head == "kernels of" else "right")
    for family in found:
        table.add_row(
            family.kind, family.dtype, str(family.kernels), str(family.converged),
            percent(family.half_width), percent(family.widest),
            rate(family.flops_per_s, "FLOP/s"), rate(family.bytes_per_s, "B/s"),
        )  # fmt: skip
    return table


def _remarks(outcome: Outcome, file: Calibration) -> Iterator[str]:
    """What else must be known of the timings."""
    target = percent(file.settings["target"])
    yield (
        f"'sure' are medians whose interval is within ± {target}; the rest had no time or too much "
        "noise. Rates are cold: the cache turned over before each launch."
    )
    drifted = sum(timed.drifted for timed in file.timed)
    if outcome.tolerance > 1.5 * file.settings["drift"]:
        yield (
            "The reference kernel was unsteady: at times a drift of the clock below "
            f"{percent(outcome.tolerance)} could not be seen. Is something else running here?"
        )
    if outcome.levels:
        levels = ", ".join(percent(level) for level in outcome.levels)
        yield f"The clock moved and stayed: the reference then took {levels} of its first time."
    if drifted:
        yield f"{drifted} kernels were timed at another clock than that of the start."
    seen = throttling(file)
    unread = file.identity.unread
    if seen:
        held = ", ".join(f"{reason} (beside {count})" for reason, count in seen.items())
        yield f"Held down meanwhile, by reason and kernels: {held}"
    elif "throttle" not in unread:
        yield "No throttling was seen."
    for sensor, reason in unread.items():
        yield f"Not read: {sensor}: {reason}"
    for failure in outcome.failed[:_MOST_LISTED]:
        yield f"Failed: {failure.reason}"
    if len(outcome.failed) > _MOST_LISTED:
        yield f"… and {len(outcome.failed) - _MOST_LISTED} more that failed; the file has them all"
    for skipped in outcome.skipped[:_MOST_LISTED]:
        yield f"Left for another session: {skipped.kernel.name}: {skipped.reason}"
    refused: dict[str, list[str]] = {}
    for entry in file.refused:
        what = f"{entry['kind']} {entry['dtype']} ({entry['kernels']:,})"
        refused.setdefault(entry["reason"], []).append(what)
    for reason, kernels in refused.items():
        yield f"Not timed here: {', '.join(kernels)}: {reason}"
    if file.torn:
        yield "The last line of the file had no end, and was left out."


def print_fit(fitted: Fitted, target: str, out: Console) -> None:
    """What was fitted, with its errors on shapes that the fit has not seen."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    heads = ("roofline of", "", "rows", "shapes", "held out", "in sample", "arithmetic", "memory",
             "launch", "p", "not told")  # fmt: skip
    for head in heads:
        table.add_column(head, justify="left" if head in ("roofline of", "not told") else "right")
    for family in fitted.families:
        c = family.constants
        table.add_row(
            family.kind, family.dtype, str(family.rows), str(family.shapes),
            _mape(family.held_out), _mape(family.in_sample), rate(c.flops_per_s, "FLOP/s"),
            rate(c.bytes_per_s, "B/s"), format_si(c.launch_s, "s"), f"{c.norm:.2g}",
            ", ".join(family.unsure),
        )  # fmt: skip
    out.print(table)
    out.print(Text("Errors: mean |predicted/measured − 1|; held out: whole shapes, five folds."))
    if fitted.gemm is not None:
        gemm = fitted.gemm
        out.print(
            Text(
                f"Products of {fitted.gpu} in {gemm.dtype}: {gemm.rows} timings of {gemm.pairs} "
                f"(n, k); {gemm.free} constants free; {_mape(gemm.held_out)} held out "
                f"(median {percent(gemm.held_out.median)}), {_mape(gemm.in_sample)} in sample; the "
                f"constants that rackplan ships: {_mape(gemm.shipped)}"
            )
        )
    for note in fitted.left_out:
        out.print(Text(plain_text(f"Left out: {note}")))
    out.print(Text(f"Written: {plain_text(target)}"))


def _mape(errors: Errors | None) -> str:
    return "one shape" if errors is None else percent(errors.mean)
