"""Metrics of the network, from the tables of its links; and why a run has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from sim.results.values import NO_WINDOW, Value, known, unknown

if TYPE_CHECKING:
    from sim.results.result import RunResult


def no_traffic(result: RunResult) -> str | None:
    """Why nothing can be said about the links of a run; None if something can."""
    if "link_tiers" not in result.tables:
        return "the run was made by a rackplan that did not measure links"
    if not (result.manifest["resolved"].get("fabric") or result.tables.rows["link_tiers"]):
        return "the scenario states no network"
    if not result.tables.rows["link_tiers"]:
        return (
            NO_WINDOW
            if result.manifest["window"]["measured_s"] <= 0.0
            else ("nothing crosses the network in this run")
        )
    if not result.tables.rows["links"]:
        return "nothing crossed the network in the measurement window"
    return None


def link_values(result: RunResult) -> dict[str, Value]:
    """How busy the busiest link was, and for how long one was full."""
    nothing = no_traffic(result)
    if nothing is not None:
        return dict.fromkeys(("busiest_link_use", "link_saturated_s"), unknown(nothing))
    links = result.tables.select("links", ["mean_use", "saturated_s"])
    busiest = pc.max(links.column("mean_use")).as_py()
    return {
        "busiest_link_use": unknown("every link that was to be used was down")
        if busiest is None
        else known(busiest),
        "link_saturated_s": known(pc.max(links.column("saturated_s")).as_py()),
    }
