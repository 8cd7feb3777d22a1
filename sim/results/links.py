"""The tables ``links`` and ``link_tiers``: what meters of links say, with names and tiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.site.fabric.types import VERTICES, Fabric

if TYPE_CHECKING:
    from sim.kernels.flow_readings import LinkMeters
    from sim.results.result import RunResult

Columns = dict[str, Any]
#: What quantiles of utilisation the table has: column → share of time.
QUANTILES: Mapping[str, float] = {"p50_use": 0.5, "p95_use": 0.95, "p99_use": 0.99}
#: Kinds from a GPU outwards, which is the order of tiers; others follow.
_OUTWARDS = ("gpu", "nvswitch", "node", "nic", "leaf", "spine", "core")


def link_tables(fabric: Fabric, meters: LinkMeters) -> dict[str, Columns]:
    """Name → columns of the two tables of a run's network.

    Raises:
        ValueError: the meters are of a network with another number of links.
    """
    return {"links": link_rows(fabric, meters), "link_tiers": tier_rows(fabric, meters)}


def fullest_tier(result: RunResult) -> str:
    """The tier of which a link was full longest, such as ``leaf → spine``; "" if none was full."""
    if "link_tiers" not in result.tables:
        return ""
    rows = result.tables["link_tiers"].to_pylist()
    full = [row for row in rows if (row["saturated_s"] or 0.0) > 0.0]
    return max(full, key=lambda row: row["saturated_s"])["tier"] if full else ""


def link_rows(fabric: Fabric, meters: LinkMeters) -> Columns:
    """Columns of ``links``: a row for each directed link that carried a flow or was down.

    Raises:
        ValueError: the meters are of a network with another number of links.
    """
    _check(fabric, meters)
    link = meters.link
    codes, names = _tiers(fabric)
    return {
        "link": link,
        "name": [fabric.link_name(number) for number in link.tolist()],
        "tier": [names[code] for code in codes[link].tolist()],
        "capacity_bytes_per_s": fabric.capacity_bytes_per_s[link],
        "bytes": meters.bytes,
        "mean_use": meters.mean_use,
        **{name: meters.quantile(share) for name, share in QUANTILES.items()},
        "max_use": np.where(meters.could_bytes > 0.0, meters.peak_use, np.nan),
        "saturated_s": meters.saturated_s,
        "down_s": meters.down_s,
        "flows": meters.flows,
        "held_flows": meters.held_flows,
        "waiting_flow_s": meters.waiting_flow_s,
        "most_waiting": meters.most_waiting,
    }


def tier_rows(fabric: Fabric, meters: LinkMeters) -> Columns:
    """Columns of ``link_tiers``: all links between two kinds of vertices, idle ones included.

    Raises:
        ValueError: the meters are of a network with another number of links.
    """
    _check(fabric, meters)
    codes, names = _tiers(fabric)
    mine = codes[meters.link]

    def total(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(mine, weights=values, minlength=len(names)).astype(np.float64)

    def highest(values: NDArray[Any]) -> NDArray[np.float64]:
        found = np.zeros(len(names))
        np.maximum.at(found, mine, values)
        return found

    could = fabric.capacity_bytes_per_s * meters.window_s
    could[meters.link] = meters.could_bytes
    carried = total(meters.bytes)
    with np.errstate(invalid="ignore"):
        mean = carried / np.bincount(codes, weights=could, minlength=len(names))
    capacity = fabric.capacity_bytes_per_s
    return {
        "tier": names,
        "links": np.bincount(codes, minlength=len(names)),
        "used_links": total(meters.flows > 0).astype(np.int64),
        "capacity_bytes_per_s": np.bincount(codes, weights=capacity, minlength=len(names)),
        "bytes": carried,
        "mean_use": mean,
        "max_use": highest(meters.peak_use),
        "saturated_links": total(meters.saturated_s > 0.0).astype(np.int64),
        "saturated_s": highest(meters.saturated_s),
        "down_links": total(meters.down_s > 0.0).astype(np.int64),
        "held_flows": total(meters.held_flows).astype(np.int64),
        "waiting_flow_s": total(meters.waiting_flow_s),
    }


def _check(fabric: Fabric, meters: LinkMeters) -> None:
    if fabric.links != meters.links:
        raise ValueError(
            f"the network has {fabric.links:,} directed links, the meters {meters.links:,}"
        )


def _tiers(fabric: Fabric) -> tuple[NDArray[np.int64], list[str]]:
    """[L] the tier of each link, and their names from the GPUs outwards, each way by itself."""
    order = [*_OUTWARDS, *(kind for kind in VERTICES if kind not in _OUTWARDS)]
    rank = np.array([order.index(kind) for kind in VERTICES], np.int64)
    here, there = rank[fabric.kinds[fabric.link_from]], rank[fabric.kinds[fabric.link_to]]
    low, high = np.minimum(here, there), np.maximum(here, there)
    found, codes = np.unique((low * len(order) + high) * 2 + (here > there), return_inverse=True)
    names = []
    for code in found.tolist():
        ends = [order[code // 2 // len(order)], order[code // 2 % len(order)]]
        names.append(" → ".join(ends[::-1] if code % 2 else ends))
    return codes.astype(np.int64), names
