"""Everything that costs say of a scenario or of runs of it, in one object and as JSON types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sim.cost.bill import HOURS_PER_YEAR, Bill, Origin, unique
from sim.cost.built import Built
from sim.cost.per_token import Estimate, RunCosts, run_costs, run_numbers
from sim.cost.plan_power import full_draw
from sim.cost.run_power import run_power
from sim.cost.stranded import measured, planned
from sim.cost.tco import capital_of, yearly_of
from sim.cost.waterfall import Waterfall

if TYPE_CHECKING:
    from sim.results.result import RunResult


@dataclass(frozen=True)
class Answer:
    """What a site costs and strands.

    ``draw_w``: what its energy was reckoned at, and ``draw_is`` where that is from. ``runs`` None:
    no run was given, so nothing is said per token.
    """

    built: Built
    capital: Bill
    year: Bill
    draw_w: float
    draw_is: str
    runs: RunCosts | None
    waterfall: Waterfall

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Every price and assumption that the answer rests on, each once."""
        carbon = () if self.runs is None else (self.runs.carbon,)
        return unique((*self.capital.origins, *self.year.origins, *carbon))


def answer(built: Built, results: Sequence[RunResult] = ()) -> Answer:
    """The costs of a site, with the seeds ``results`` of one scenario if there are any.

    Raises:
        CostError: the price of a server is stated nowhere.
        ResultError: a run did not measure what costs need.
    """
    capital = capital_of(built)
    if results:
        costs = run_costs(built, [run_numbers(result) for result in results])
        inside = "cooling included" if costs.cooled else "cooling not modelled"
        of = "the run" if len(results) == 1 else f"{len(results)} runs"
        return Answer(
            built=built,
            capital=capital,
            year=costs.year,
            draw_w=costs.draw_w,
            draw_is=f"mean of {of}, {inside}",
            runs=costs,
            waterfall=measured(built, [run_power(result) for result in results]),
        )
    full_w = full_draw(built).site_mw(built.power) / 1e3
    draw_w = min(full_w, built.provisioned_w)
    capped = " within the provisioned power" if draw_w < full_w else ""
    return Answer(
        built=built,
        capital=capital,
        year=yearly_of(built, draw_w),
        draw_w=draw_w,
        draw_is=f"no run given: every GPU at its TDP all year{capped}, more than a run draws",
        runs=None,
        waterfall=planned(built),
    )


def content_of(found: Answer) -> dict[str, Any]:
    """The answer in JSON types; money in USD, power in W."""
    index = {origin: number for number, origin in enumerate(found.origins)}
    runs = found.runs
    return {
        "scenario": found.built.name,
        "currency": "USD",
        "hours_per_year": HOURS_PER_YEAR,
        "provisioned_w": found.built.provisioned_w,
        "draw_w": found.draw_w,
        "draw_is": found.draw_is,
        "capital": _bill(found.capital, index),
        "year": _bill(found.year, index) | {"per_hour_usd": found.year.per_hour_usd},
        "per_token": None if runs is None else _per_token(runs),
        "waterfall": _waterfall(found.waterfall),
        "assumptions": [asdict(origin) for origin in found.origins],
    }


def _bill(bill: Bill, index: dict[Origin, int]) -> dict[str, Any]:
    lines = []
    for line in bill.lines:
        plain = asdict(line) | {"total_usd": line.total_usd}
        plain["origins"] = [index[origin] for origin in line.origins]
        lines.append(plain)
    return {
        "lines": lines,
        "groups_usd": {group: bill.of(group) for group in bill.groups},
        "total_usd": bill.total_usd,
    }


def _per_token(runs: RunCosts) -> dict[str, Any]:
    def plain(estimate: Estimate | None) -> dict[str, Any] | None:
        return None if estimate is None else asdict(estimate)

    return {
        "usd_per_mtoken_within_slo": plain(runs.usd_per_mtoken),
        "carbon_g_per_mtoken_within_slo": plain(runs.carbon_g_per_mtoken),
        "goodput_per_s_per_mw": plain(runs.goodput_per_mw),
    }


def _waterfall(waterfall: Waterfall) -> dict[str, Any]:
    return {
        "measured": waterfall.measured,
        "provisioned_mw": waterfall.provisioned_mw,
        "unit": "mW (milliwatts)",
        "parts": [asdict(part) | {"share": waterfall.share(part)} for part in waterfall.parts],
        "notes": list(waterfall.notes),
    }
