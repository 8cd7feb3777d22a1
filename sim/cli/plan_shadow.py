"""What one step more of each resource buys, on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.summary import plain_text
from sim.plan.shadow import RATE_STEP, Shadows, Worth
from sim.results.wording import plus_minus, quantity


def print_shadows(found: Shadows, to: Console) -> None:
    """Print the steps, those that are worth most first."""
    what = "share late" if found.line.family else found.line.metric
    to.print(
        Text(
            plain_text(
                f"What one step more buys at {found.at}, by {found.line.text}, over {found.seeds} "
                "common seeds"
            )
        )
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("step")
    table.add_column(plain_text(f"change of {what}"), justify="right")
    table.add_column(plain_text(f"worth in requests/s of {found.workload}"), justify="right")
    for worth in sorted(found.worths, key=_most_first):
        table.add_row(plain_text(worth.step.text), _change(found, worth), _rate(worth))
    to.print(table)
    to.print(
        Text(
            f"paired by seed, 95 %; worth: first order, from the line's slope over the last "
            f"{100 * RATE_STEP:g} % of the rate, so rather too low",
            "dim",
        )
    )


def _most_first(worth: Worth) -> tuple[float, float]:
    return -(worth.rate_per_s or 0.0), -abs(worth.change)


def _change(found: Shadows, worth: Worth) -> str:
    definition = found.line.definition
    share = found.line.is_share
    unit, dimension = ("", "fraction") if share else (definition.unit, definition.dimension)
    if worth.equal:
        return "none in any run: it does not bind"
    factor = 1.0 if share else definition.factor
    half = (worth.interval.high - worth.interval.low) / 2.0 / factor
    text = (
        plus_minus(worth.change / factor, half, unit, dimension)
        if half > 0.0
        else quantity(worth.change / factor, unit, dimension)
    )
    if worth.interval.low <= 0.0 <= worth.interval.high:
        text += " (not distinguishable from 0)"
    return text.replace(" %", " points") if share else text


def _rate(worth: Worth) -> str:
    if worth.equal:
        return "0"
    if worth.rate_per_s is None or worth.rate_interval is None:
        return "-"
    half = (worth.rate_interval.high - worth.rate_interval.low) / 2.0
    return plus_minus(worth.rate_per_s, half, "", "ratio")
