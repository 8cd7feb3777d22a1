"""What stands around the electrical tree: the cooling plant, the weather, prices and carbon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.site.cooling import Loop, Plant
from sim.site.hours import Hours


@dataclass(frozen=True)
class Facility:
    """The site beyond its feeds; ``None`` = the scenario does not state it.

    ``liquid_share``: rack name → share of its heat that liquid takes up; racks that have none are
    absent. ``price_usd_per_j``: where it changes by the hour. ``files``: path of a series in the
    scenario → the file it was read from.
    """

    plant: Plant | None = None
    wet_bulb_c: Hours | None = None
    price_usd_per_j: Hours | None = None
    carbon_g_per_j: Hours | None = None
    liquid_share: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Its content in JSON types, without the files."""
        return {
            "plant": None if self.plant is None else _flat(self.plant),
            "wet_bulb_c": _hours(self.wet_bulb_c),
            "price_usd_per_j": _hours(self.price_usd_per_j),
            "carbon_g_per_j": _hours(self.carbon_g_per_j),
            "liquid_share": dict(self.liquid_share),
        }


def facility_of(plain: Mapping[str, Any]) -> Facility:
    """What ``Facility.plain`` came from, without the files."""
    return Facility(
        plant=None if plain["plant"] is None else _plant(plain["plant"]),
        wet_bulb_c=_read(plain["wet_bulb_c"]),
        price_usd_per_j=_read(plain["price_usd_per_j"]),
        carbon_g_per_j=_read(plain["carbon_g_per_j"]),
        liquid_share=plain["liquid_share"],
    )


def _flat(plant: Plant) -> dict[str, Any]:
    return {**vars(plant), "air": vars(plant.air), "liquid": vars(plant.liquid)}


def _plant(plain: Mapping[str, Any]) -> Plant:
    loops = {name: Loop(**plain[name]) for name in ("air", "liquid")}
    return Plant(**{**plain, **loops})


def _hours(hours: Hours | None) -> dict[str, Any] | None:
    if hours is None:
        return None
    return {"values": list(hours.values), "lead_min": hours.lead_min, "flat": hours.flat}


def _read(plain: Mapping[str, Any] | None) -> Hours | None:
    if plain is None:
        return None
    return Hours(tuple(plain["values"]), plain["lead_min"], plain["flat"])
