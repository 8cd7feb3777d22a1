"""What a million tokens within the SLO cost, in money and carbon, over the seeds of one scenario.

Tokens within the SLO are the output tokens of requests that arrived in the measurement window and
met every objective. Over seeds the answer is the ratio of sums with a t interval over the ratio's
residuals (Cochran, Sampling Techniques, 1977, chapter 6): seeds are the unit of evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sim.cost.bill import HOURS_PER_YEAR, Bill, Known, Origin
from sim.cost.built import Built
from sim.cost.tco import yearly_of
from sim.errors import ResultError
from sim.results.measure_cost import tokens_within_slo

if TYPE_CHECKING:
    from sim.results.result import RunResult

_SECONDS_PER_YEAR = HOURS_PER_YEAR * 3600.0
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value over seeds; ``low`` and ``high`` end its 95 % interval, None with a single seed."""

    value: float
    low: float | None = None
    high: float | None = None
    seeds: int = 1


@dataclass(frozen=True)
class RunNumbers:
    """What costs need of one run.

    ``draw_w``: mean, cooling included where it is modelled; ``tokens_per_s`` within the SLO;
    ``price_usd_per_j``: the mean that its energy cost, None where the scenario states no price;
    ``carbon_g_per_s`` None where it states none; ``goodput_per_s``.
    """

    draw_w: float
    cooled: bool
    tokens_per_s: float
    goodput_per_s: float
    price_usd_per_j: float | None
    carbon_g_per_s: float | None


def run_numbers(result: RunResult) -> RunNumbers:
    """The numbers of a run.

    Raises:
        ResultError: it measured nothing, or not what the site drew.
    """
    window_s = float(result.manifest["window"]["measured_s"])
    found = {
        name: result.metrics[name].value
        for name in ("energy_j", "facility_energy_j", "energy_cost", "carbon_g", "goodput_per_s")
    }
    at_utility, whole = found["energy_j"], found["facility_energy_j"]
    if at_utility is None or window_s <= 0.0:
        reason = result.metrics["energy_j"].reason or "no window"
        raise ResultError(f"{result.name} does not say what the site drew: {reason}")
    energy_j = at_utility if whole is None else whole
    cost, carbon_g = found["energy_cost"], found["carbon_g"]
    return RunNumbers(
        draw_w=energy_j / window_s,
        cooled=whole is not None,
        tokens_per_s=tokens_within_slo(result) / window_s,
        goodput_per_s=found["goodput_per_s"] or 0.0,
        price_usd_per_j=None if cost is None or not energy_j else cost / energy_j,
        carbon_g_per_s=None if carbon_g is None else carbon_g / window_s,
    )


@dataclass(frozen=True)
class RunCosts:
    """What the runs of one scenario cost.

    ``year``: at their mean draw. ``usd_per_mtoken`` and ``carbon_g_per_mtoken``: per million
    tokens within the SLO; None where no token was. ``goodput_per_mw``: requests within the SLO a
    second per provisioned megawatt.
    """

    year: Bill
    draw_w: float
    cooled: bool
    usd_per_mtoken: Estimate | None
    carbon_g_per_mtoken: Estimate | None
    goodput_per_mw: Estimate
    carbon: Origin


def run_costs(built: Built, runs: Sequence[RunNumbers]) -> RunCosts:
    """Costs of the seeds ``runs`` of one scenario.

    Raises:
        ValueError: no run.
        CostError: the price of a server is stated nowhere.
    """
    if not runs:
        raise ValueError("needs at least one run")
    years = [yearly_of(_at_price_of(built, run), run.draw_w) for run in runs]
    tokens = [run.tokens_per_s / 1e6 for run in runs]
    carbon = built.book.carbon
    grams = [
        run.draw_w * carbon.value if run.carbon_g_per_s is None else run.carbon_g_per_s
        for run in runs
    ]
    mean_w = math.fsum(run.draw_w for run in runs) / len(runs)
    prices = [run.price_usd_per_j for run in runs]
    return RunCosts(
        year=yearly_of(_at_mean_price(built, prices, [run.draw_w for run in runs]), mean_w),
        draw_w=mean_w,
        cooled=all(run.cooled for run in runs),
        usd_per_mtoken=ratio([year.total_usd / _SECONDS_PER_YEAR for year in years], tokens),
        carbon_g_per_mtoken=ratio(grams, tokens),
        goodput_per_mw=_mean([run.goodput_per_s / (built.provisioned_w / 1e6) for run in runs]),
        carbon=carbon.origin,
    )


def _at_price_of(built: Built, run: RunNumbers) -> Built:
    """The site with the price that the run's energy had on average, if it had one."""
    return _at_mean_price(built, [run.price_usd_per_j], [run.draw_w])


def _at_mean_price(built: Built, prices: Sequence[float | None], weights: Sequence[float]) -> Built:
    stated = [(p, w) for p, w in zip(prices, weights, strict=True) if p is not None]
    if not stated or built.book.stated_electricity is None:
        return built
    mean = math.fsum(p * w for p, w in stated) / math.fsum(w for _, w in stated)
    origin = built.book.stated_electricity.origin
    if origin.note:  # hours: what the run paid is weighed by its draw
        origin = Origin(True, origin.where, note="the mean of its hours, weighed by the runs' draw")
    book = replace(built.book, stated_electricity=Known(mean, origin))
    return replace(built, book=book)


def ratio(tops: Sequence[float], bottoms: Sequence[float]) -> Estimate | None:
    """Σ tops / Σ bottoms with its interval; None where the bottoms sum to nothing."""
    whole = math.fsum(bottoms)
    if not whole > 0.0:
        return None
    value, k = math.fsum(tops) / whole, len(tops)
    if k < 2:
        return Estimate(value)
    residuals = [top - value * bottom for top, bottom in zip(tops, bottoms, strict=True)]
    se = math.sqrt(k / (k - 1) * math.fsum(r * r for r in residuals)) / whole
    half = _t(k - 1) * se
    return Estimate(value, max(0.0, value - half), value + half, k)  # none of it can be below 0


def _mean(values: Sequence[float]) -> Estimate:
    found = ratio(values, [1.0] * len(values))
    assert found is not None
    return found


def _t(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + 0.5 * _CONFIDENCE))
