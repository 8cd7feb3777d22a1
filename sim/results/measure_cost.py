"""What tokens within the SLO cost, all told, from the rates that a run's manifest states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from sim.results.values import NO_WINDOW, Value, ratio, unknown

if TYPE_CHECKING:
    from sim.results.result import RunResult


def tokens_within_slo(result: RunResult) -> int:
    """Output tokens of requests that arrived in the measurement window and met every objective."""
    counts = result.tables["summary/counts"]
    met = counts.filter(pc.and_(counts.column("measured"), pc.equal(counts.column("cause"), "met")))
    return int(pc.sum(met.column("delivered_tokens"), min_count=0).as_py())


def cost_values(
    result: RunResult, measured: Mapping[str, Value], window_s: float
) -> dict[str, Value]:
    """``cost_per_million_tokens``; ``measured``: the site's energies and what they cost."""
    return {"cost_per_million_tokens": _per_million(result, measured, window_s)}


def _per_million(result: RunResult, measured: Mapping[str, Value], window_s: float) -> Value:
    rates = result.manifest.get("costs")
    if rates is None:
        return unknown("the run does not say what its site costs")
    if rates["fixed_usd_per_s"] is None:
        return unknown(rates["reason"])
    energy_usd = measured["energy_cost"][0]
    if energy_usd is None:  # no price is stated: the default
        taken_j, reason, _ = measured["energy_j"]
        whole_j = measured["facility_energy_j"][0]
        if taken_j is None:
            return unknown(reason)
        energy_usd = (taken_j if whole_j is None else whole_j) * rates["electricity_usd_per_j"]
    if window_s <= 0.0:
        return unknown(NO_WINDOW)
    cost_usd = rates["fixed_usd_per_s"] * window_s + energy_usd
    return ratio(1e6 * cost_usd, tokens_within_slo(result), "no output token was within the SLO")
