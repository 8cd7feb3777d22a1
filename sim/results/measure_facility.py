"""Metrics of the whole facility: PUE, cooling, cost, carbon and water.

Energies of feeds and racks are the meters', exact. What depends on the draw of the moment (cooling,
and the weight of each hour's price and carbon) takes the mean draw of each minute; a minute that
lies only partly in the window counts by that part. A minute lies in one hour of each series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.results.values import NO_METER, NO_WINDOW, Value, known, unknown
from sim.site.cooling import Cooling, cooling
from sim.site.facility import Facility, facility_of
from sim.site.hours import Hours, flat

if TYPE_CHECKING:
    from sim.results.result import RunResult

FloatArray = NDArray[np.float64]

_NO_COOLING = "no cooling is stated"
_NO_PRICE = "no energy price is stated"
_NO_CARBON = "no carbon intensity is stated"
_NO_MINUTES = "no draw of the site was recorded by the minute"


@dataclass(frozen=True)
class Minutes:
    """The minutes that touch the window: their seconds inside it, and mean draws in W."""

    minute: NDArray[np.int64]
    inside_s: FloatArray
    site_w: FloatArray  # taken from the utility
    plant_w: FloatArray  # of which by the cooling plant, where the electrical tree feeds it
    liquid_w: FloatArray  # heat of the racks that liquid takes up
    own_w: FloatArray  # delivered by generators
    racks_w: FloatArray  # taken in by all racks

    @property
    def battery_w(self) -> FloatArray:
        """What only batteries can have given: the sources carry less than racks and plant take."""
        return np.maximum(self.racks_w + self.plant_w - self.site_w - self.own_w, 0.0)

    @property
    def air_w(self) -> FloatArray:
        """Heat into the air: of all that is fed, losses too, but for the plant and the liquid."""
        fed_w = self.site_w + self.own_w + self.battery_w - self.plant_w
        return np.maximum(fed_w - self.liquid_w, 0.0)


def facility_values(
    result: RunResult,
    nodes: Sequence[Mapping[str, Any]],
    energy: Value,
    per_token: Callable[[float | None], Value],
) -> dict[str, Value]:
    """Every metric of the facility, or the reason why there is none.

    Args:
        result: whose manifest states the facility.
        nodes: rows of ``power_nodes``.
        energy: taken from the utility over the window.
        per_token: what a sum is per output token delivered.
    """
    facility = facility_of(result.manifest["facility"])
    price = facility.price_usd_per_j
    if price is None and result.manifest["price_usd_per_j"] is not None:
        price = flat(result.manifest["price_usd_per_j"])
    stated = {"cooling": facility.plant, "price": price, "carbon": facility.carbon_g_per_j}
    if energy[0] is None or not any(stated.values()):
        return _unknowns(stated, energy[1])
    minutes = _minutes(result, nodes, facility)
    cooled, reason = _cooled(facility, minutes)
    values = _cooling_values(nodes, energy[0], minutes, cooled, reason)
    total = energy if facility.plant is None else values["facility_energy_j"]
    beside = None if _metered(nodes) is not None else cooled
    cost = _weighed(price, _NO_PRICE, total, minutes, beside)
    carbon = _weighed(facility.carbon_g_per_j, _NO_CARBON, total, minutes, beside)
    water = values["water_l"]
    return {
        **values,
        "energy_cost": cost,
        "energy_cost_per_mtoken": _per_million(cost, per_token),
        "carbon_g": carbon,
        "carbon_per_mtoken": _per_million(carbon, per_token),
        "water_per_mtoken": _per_million(water, per_token),
    }


def _unknowns(stated: Mapping[str, Any], no_energy: str) -> dict[str, Value]:
    """All of them unknown: not stated, or nothing was metered."""
    groups = {
        "cooling": ("pue", "cooling_energy_j", "facility_energy_j", "facility_peak_w", "water_l",
                    "water_per_mtoken"),
        "price": ("energy_cost", "energy_cost_per_mtoken"),
        "carbon": ("carbon_g", "carbon_per_mtoken"),
    }  # fmt: skip
    reasons = {"cooling": _NO_COOLING, "price": _NO_PRICE, "carbon": _NO_CARBON}
    return {
        name: unknown(reasons[group] if stated[group] is None else no_energy)
        for group, names in groups.items()
        for name in names
    }


def _minutes(
    result: RunResult, nodes: Sequence[Mapping[str, Any]], facility: Facility
) -> Minutes | None:
    """The window's minutes from ``summary/power``; None where the utility has no rows."""
    window = result.manifest["window"]
    start_s, end_s = window["warm_up_s"], window["warm_up_s"] + window["measured_s"]
    if end_s <= start_s:
        return None
    count = int(np.ceil(end_s / 60.0))
    rows = result.tables["summary/power"].select(["node", "minute", "mean_w"])
    node = rows.column("node").to_numpy()
    size = 1 + max((entry["node"] for entry in nodes), default=0)
    utility, plant, liquid, own, racks = np.zeros((5, size))
    for entry in nodes:
        utility[entry["node"]] = entry["kind"] == "utility"
        plant[entry["node"]] = entry["kind"] == "cooling"
        own[entry["node"]] = entry["kind"] == "generator"
        if entry["kind"] == "rack":
            racks[entry["node"]] = 1.0
            liquid[entry["node"]] = facility.liquid_share.get(entry["name"], 0.0)
    counted = (utility + plant + own + racks)[node] > 0.0
    if not utility[node].any():
        return None
    minute = rows.column("minute").to_numpy()[counted]
    mean_w = rows.column("mean_w").to_numpy()[counted]
    summed = [
        _summed(node[counted], minute, mean_w, weight[node[counted]], count)
        for weight in (utility, plant, liquid, own, racks)
    ]
    numbers = np.arange(count, dtype=np.int64)
    inside_s = np.minimum(60.0 * (numbers + 1), end_s) - np.maximum(60.0 * numbers, start_s)
    kept = inside_s > 0.0
    return Minutes(numbers[kept], inside_s[kept], *(values[kept] for values in summed))


def _summed(
    node: NDArray[np.int64],
    minute: NDArray[np.int64],
    mean_w: FloatArray,
    weight: FloatArray,
    count: int,
) -> FloatArray:
    """Σ weight · draw over nodes for minutes 0 to ``count`` − 1.

    A minute without a row drew as the one before it, so each row adds its step from the last row
    of its node; the running sum of all steps is the draw.
    """
    order = np.lexsort((minute, node))
    node, minute, mean_w, weight = node[order], minute[order], mean_w[order], weight[order]
    step = np.diff(mean_w, prepend=0.0)
    first = np.diff(node, prepend=-1) != 0
    step[first] = mean_w[first]
    inside = minute < count
    steps = np.zeros(count)
    np.add.at(steps, minute[inside], (step * weight)[inside])
    # Steps that cancel may leave a rounding error below a draw of nothing.
    return np.maximum(np.cumsum(steps), 0.0)


def _cooled(facility: Facility, minutes: Minutes | None) -> tuple[Cooling | None, str]:
    """What the plant took in each minute, or None and the reason."""
    if facility.plant is None or facility.wet_bulb_c is None:
        return None, _NO_COOLING
    if minutes is None:
        return None, _NO_MINUTES
    liquid_w = minutes.liquid_w
    bulbs = facility.wet_bulb_c.at(minutes.minute)
    try:
        return cooling(facility.plant, minutes.air_w, liquid_w, bulbs), ""
    except ValueError as error:  # heat beyond what the equations hold for
        return None, str(error)


def _cooling_values(
    nodes: Sequence[Mapping[str, Any]],
    energy_j: float,
    minutes: Minutes | None,
    cooled: Cooling | None,
    reason: str,
) -> dict[str, Value]:
    names = ("pue", "cooling_energy_j", "facility_energy_j", "facility_peak_w", "water_l")
    if minutes is None or cooled is None:
        return dict.fromkeys(names, unknown(reason))
    racks_j = [node["energy_j"] for node in nodes if node["kind"] == "rack"]
    cooling_j, total_j, whole_w = _metered(nodes), energy_j, minutes.site_w
    if cooling_j is None:  # beside the tree
        cooling_j = float(cooled.total_w @ minutes.inside_s)
        total_j, whole_w = energy_j + cooling_j, minutes.site_w + cooled.total_w
    it_j = None if None in racks_j else sum(racks_j)
    own_j = sum(node["energy_j"] or 0.0 for node in nodes if node["kind"] == "generator")
    all_j = total_j + own_j + float(minutes.battery_w @ minutes.inside_s)
    pue = unknown(NO_METER if it_j is None else NO_WINDOW)
    return {
        "pue": known(all_j / it_j) if it_j else pue,
        "cooling_energy_j": known(cooling_j),
        "facility_energy_j": known(total_j),
        "facility_peak_w": known(float(whole_w.max())),
        "water_l": known(1000.0 * float(cooled.water_m3_per_s @ minutes.inside_s)),
    }


def _metered(nodes: Sequence[Mapping[str, Any]]) -> float | None:
    """What the cooling plant took from the tree, J; None where the tree does not feed it."""
    plant = (node["energy_j"] for node in nodes if node["kind"] == "cooling")
    return next((float(energy_j) for energy_j in plant if energy_j is not None), None)


def _weighed(
    rates: Hours | None,
    not_stated: str,
    energy: Value,
    minutes: Minutes | None,
    cooled: Cooling | None,
) -> Value:
    """``energy`` at the mean of ``rates``, weighed by each minute's: exact where they are flat."""
    energy_j, no_energy, _ = energy
    if rates is None or energy_j is None:
        return unknown(not_stated if rates is None else no_energy)
    if rates.flat:
        return known(energy_j * rates.values[0])
    if minutes is None:
        return unknown(_NO_MINUTES)
    drawn_w = minutes.site_w if cooled is None else minutes.site_w + cooled.total_w
    weights = drawn_w * minutes.inside_s
    if not weights.sum() > 0.0:
        return unknown(_NO_MINUTES)
    return known(energy_j * float(rates.at(minutes.minute) @ weights) / float(weights.sum()))


def _per_million(total: Value, per_token: Callable[[float | None], Value]) -> Value:
    if total[0] is None:
        return total
    value, reason, error = per_token(total[0])
    return (None, reason, 0.0) if value is None else (1e6 * value, "", error)
