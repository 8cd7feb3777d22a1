"""The site of a run that was made before, as far as its cost goes: from the run's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.cost.bill import Known, Origin
from sim.cost.built import Built, hall_positions, known_hours
from sim.cost.prices import PriceBook
from sim.errors import ResultError
from sim.site import (
    GeneratorPlan,
    HallPlan,
    MsbPlan,
    PowerPlan,
    RowPlan,
    UpsPlan,
    build_power_tree,
    build_site,
)
from sim.site.fabric.count import NetworkParts
from sim.site.facility import facility_of
from sim.site.types import Modules, Site, UpsGear
from sim.spec.costs import CostsSpec


def built_of_run(manifest: Mapping[str, Any]) -> Built:
    """What cost money of the site of a run.

    Raises:
        ResultError: the run is older than what costs need, or of another kind.
    """
    resolved = manifest["resolved"]
    if "network" not in manifest or resolved.get("site") is None:
        raise ResultError(
            f"the run of {manifest['scenario']} says nothing of what its site consists of: run it "
            "again, or ask for the cost of its scenario"
        )
    site = _site(resolved["site"])
    facility = facility_of(manifest["facility"])
    flat = manifest["price_usd_per_j"]
    network = manifest["network"]
    return Built(
        name=str(manifest["scenario"]),
        site=site,
        power=build_power_tree(site, _power(resolved)),
        network=None if network is None else NetworkParts(**network),
        book=PriceBook(
            CostsSpec.model_construct(**resolved.get("costs", {})),
            known_hours(facility.price_usd_per_j, "price.electricity")
            if flat is None
            else Known(flat, Origin(True, "price.electricity")),
            known_hours(facility.carbon_g_per_j, "carbon"),
        ),
        facility=facility,
        replicas=tuple(
            ((), pool["replicas"] * pool["gpus_per_replica"]) for pool in manifest["pools"]
        ),
        positions=hall_positions(site, resolved["site"]),
    )


def _site(plain: Mapping[str, Any]) -> Site:
    halls = [
        HallPlan(
            hall["name"],
            tuple(
                RowPlan(row["name"], tuple((r["type"], r["count"]) for r in row["racks"]))
                for row in hall["rows"]
            ),
        )
        for hall in plain["halls"]
    ]
    return build_site(halls)


def _power(resolved: Mapping[str, Any]) -> PowerPlan | None:
    """The feeds, ratings and budgets; what protects them costs and strands nothing."""
    plain = resolved["power"]
    cooling_fed_by = (resolved.get("cooling") or {}).get("fed_by")
    if plain is None:
        return None
    utility, pdus = plain["utility"] or {}, plain["pdus"] or {}
    return PowerPlan(
        utility_budget_w=utility.get("budget"),
        utility_rating_w=utility.get("rating"),
        ups=tuple(_ups(one) for one in plain["ups"]),
        pdus_per_row=pdus.get("per_row", 0),
        pdu_rating_w=pdus.get("rating"),
        pdu_budget_w=pdus.get("budget"),
        redundancy=pdus.get("redundancy", "N"),
        msbs=tuple(MsbPlan(m["name"], m["rating"], m["budget"]) for m in plain["msbs"]),
        generators=tuple(
            GeneratorPlan(g["name"], g["rating"], g["start"], tuple(g["feeds"]))
            for g in plain["generators"]
        ),
        restart_s=plain["restart"],
        cooling_fed_by=cooling_fed_by,
    )


def _ups(plain: Mapping[str, Any]) -> UpsPlan:
    modules = plain["modules"]
    gear = UpsGear(modules=None if modules is None else Modules(**modules))
    return UpsPlan(
        plain["name"], plain["rating"], plain["budget"], plain["fed_by"], plain["reserve"],
        gear=gear,
    )  # fmt: skip
