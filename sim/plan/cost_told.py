"""What the site of an answer costs, and where its power stays; every price with its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sim.check.scenario import Scenario
from sim.cost import CostError, built_of
from sim.cost.answer import Answer, answer, content_of
from sim.cost.bill import Origin
from sim.cost.per_token import Estimate
from sim.cost.waterfall import SPENT, STRANDED, Waterfall
from sim.errors import ResultError
from sim.plan.told import WATERFALL, Chart, Part, Series, Table
from sim.results.result import RunResult
from sim.results.wording import percent
from sim.units import format_si

_SEEDS_MOST = 8


@dataclass(frozen=True)
class Costs:
    """Costs of a site under an answer's load; ``missing``: why there are none, else ""."""

    found: Answer | None
    missing: str = ""

    def content(self) -> dict[str, Any]:
        """In JSON types."""
        return {"missing": self.missing} if self.found is None else content_of(self.found)


def costs_of(scenario: Scenario, results: Sequence[RunResult]) -> Costs:
    """The costs of a scenario with some of its runs, eight at most."""
    try:
        return Costs(answer(built_of(scenario), results[:_SEEDS_MOST]))
    except (CostError, ResultError) as error:
        return Costs(None, str(error))


def told_of_costs(at: str, costs: Costs) -> Iterator[Part]:
    """A part on money and one on power."""
    found = costs.found
    if found is None:
        yield Part(f"What it costs at {at}", (f"not reckoned: {costs.missing}",))
        return
    number = {origin: f"[{index}]" for index, origin in enumerate(found.origins, 1)}
    rows = [
        (line.item, _usd(line.total_usd), when, " ".join(number[one] for one in line.origins))
        for bill, when in ((found.capital, "to buy"), (found.year, "a year"))
        for line in bill.lines
    ]
    sentences = [
        f"{_usd(found.capital.total_usd)} to buy, {_usd(found.year.total_usd)} a year with capital "
        f"spread over its life; energy at {format_si(found.draw_w, 'W')}, {found.draw_is}",
        *_per_token(found),
    ]
    yield Part(
        f"What it costs at {at}",
        tuple(sentences),
        (
            Table(("item", "USD", "", "from"), tuple(rows), frozenset({0, 2, 3}), page_only=True),
            Table(
                ("", "prices and assumptions"),
                tuple(
                    (number[one], f"{one.where}: {one.text}{_note(one)}") for one in found.origins
                ),
                frozenset({0, 1}),
                page_only=True,
            ),
        ),
    )
    yield _power(at, found)


def _usd(amount: float) -> str:
    return f"{amount:,.0f} USD"


def _note(origin: Origin) -> str:
    return "".join(f"; {text}" for text in (origin.address, origin.note) if text)


def _per_token(found: Answer) -> Iterator[str]:
    runs = found.runs
    if runs is None:
        return
    for what, estimate, unit in (
        ("a million tokens within their objectives", runs.usd_per_mtoken, "USD"),
        ("a million tokens within their objectives", runs.carbon_g_per_mtoken, "g of CO2"),
        ("a provisioned MW, requests within their objectives", runs.goodput_per_mw, "/s"),
    ):
        if estimate is not None:
            yield f"{what}: {_estimate(estimate)} {unit}"


def _estimate(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:,.4g}"
    return f"{estimate.value:,.4g} ({estimate.low:,.4g} to {estimate.high:,.4g})"


def _power(at: str, found: Answer) -> Part:
    """The waterfall from provisioned to useful power."""
    fall = found.waterfall
    rows = [("provisioned", "", format_si(fall.provisioned_mw / 1e3, "W"), "100 %", "")]
    rows += [
        (part.name, part.kind, format_si(part.watts, "W"), percent(fall.share(part)), part.meaning)
        for part in fall.parts
    ]
    lost = {kind: percent(fall.total_mw(kind) / fall.provisioned_mw) for kind in (STRANDED, SPENT)}
    how = "measured" if fall.measured else "planned"
    return Part(
        f"Where the provisioned power stays at {at} ({how})",
        (
            f"useful {percent(fall.share(fall.useful))}, spent {lost[SPENT]} (drawn, not for "
            f"wanted work), stranded {lost[STRANDED]} (nothing draws it)",
            *fall.notes,
        ),
        (
            Table(
                ("part", "", "power", "share", "what it is"),
                tuple(rows),
                frozenset({0, 1, 4}),
                page_only=True,
            ),
        ),
        (chart_of(fall),),
    )


def chart_of(fall: Waterfall) -> Chart:
    """The waterfall: provisioned power, then its parts, the useful one last."""
    series = Series(
        "power",
        (fall.provisioned_mw / 1e6, *(part.mw / 1e6 for part in fall.parts)),
        names=("provisioned", *(part.name for part in fall.parts)),
        kinds=("provisioned", *(part.kind for part in fall.parts)),
    )
    return Chart("From provisioned to useful power", WATERFALL, "part", "power (kW)", (series,))
