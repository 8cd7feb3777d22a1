"""What one step more of each resource buys, in words."""

from __future__ import annotations

from sim.plan.least.shadow import RATE_STEP, Shadows, Worth
from sim.plan.line_at import change_cell
from sim.plan.told import Part, Table
from sim.results.wording import plus_minus


def told_of_shadows(found: Shadows) -> Part:
    """The steps, those that are worth most first."""
    what = "share late" if found.line.family else found.line.metric
    return Part(
        f"What one step more buys at {found.at}, by {found.line.text}, over {found.seeds} common "
        "seeds",
        tables=(
            Table(
                ("step", f"change of {what}", f"worth in requests/s of {found.workload}"),
                tuple(
                    (worth.step.text, _change(found, worth), _rate(worth))
                    for worth in sorted(found.worths, key=_most_first)
                ),
                note="paired by seed, 95 %; worth: first order, from the line's slope over the "
                f"last {100 * RATE_STEP:g} % of the rate, so rather too low",
            ),
        ),
    )


def _most_first(worth: Worth) -> tuple[float, float]:
    return -(worth.rate_per_s or 0.0), -abs(worth.change)


def _change(found: Shadows, worth: Worth) -> str:
    none = "none in any run: it does not bind"
    text = change_cell(found.line, worth.change, worth.interval, worth.equal, none)
    if not worth.equal and worth.interval.low <= 0.0 <= worth.interval.high:
        text += " (not distinguishable from 0)"
    return text


def _rate(worth: Worth) -> str:
    if worth.equal:
        return "0"
    if worth.rate_per_s is None or worth.rate_interval is None:
        return "-"
    half = (worth.rate_interval.high - worth.rate_interval.low) / 2.0
    return plus_minus(worth.rate_per_s, half, "", "ratio")
