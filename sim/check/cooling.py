"""``cooling``, ``price`` and ``carbon``: a plant that carries the site's heat, and hours that span
the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sim import catalog
from sim.catalog.types import CoolingPlant
from sim.check.collector import Collector
from sim.check.deadline import full_servers_mw
from sim.check.hours import HourReader
from sim.check.limits import nameplate_w
from sim.errors import UnknownName
from sim.site import tree_flow
from sim.site.cooling import PART_LOAD_BELOW, Plant, size
from sim.site.facility import Facility
from sim.site.hours import Hours
from sim.site.types import PowerTree, Site
from sim.site.weather import DRY_BULB_C, HUMIDITY, wet_bulb_c
from sim.spec.cooling import CdusSpec, CoolingSpec, PlantSpec, WeatherSpec
from sim.spec.hourly import OUTSIDE, HourlySpec
from sim.spec.nodes import Path
from sim.units import format_si

#: Key of ``cooling.plant`` → field of a plant's row, where it is not the key and its unit.
_FIELDS: Mapping[str, str] = {
    "air_supply": "air_supply_c",
    "liquid_supply": "liquid_supply_c",
    **{
        key: f"{key}_k"
        for key in (
            "rise", "evaporator_approach", "condenser_rise", "condenser_approach", "least_lift",
            "tower_approach", "exchanger_approach",
        )
    },
    "water": "water_m3_per_j",
    "coolant_heat": "coolant_heat_j_per_m3_k",
}  # fmt: skip


@dataclass(frozen=True)
class CheckedFacility:
    """The facility, and the row of the catalog that its plant came from, changes applied."""

    facility: Facility
    row: CoolingPlant | None


def check_facility(found: Collector, site: Site | None, power: PowerTree | None) -> CheckedFacility:
    """The site beyond its feeds; where a part is wrong it is None."""
    spec = found.document.spec
    reader = HourReader(found, spec.duration or 0.0)
    price = carbon = wet_bulb = plant = row = None
    if isinstance(spec.price.electricity, HourlySpec):
        price = reader.read(spec.price.electricity, ("price", "electricity"), "money_per_energy")
    if spec.carbon is not None:
        carbon = reader.read(spec.carbon, ("carbon",), "carbon_per_energy", least=0.0)
    if spec.cooling is not None:
        wet_bulb = _wet_bulb(spec.cooling.weather, reader)
        row = _row(spec.cooling.plant, found)
        if row is not None and site is not None:
            _cdus(spec.cooling.cdus, row, site, found)
            if power is not None:
                plant = _plant(spec.cooling, row, site, power, found)
    _same_year(reader, found)
    share = {} if site is None or spec.cooling is None else _liquid_shares(site)
    facility = Facility(plant, wet_bulb, price, carbon, share, reader.files)
    return CheckedFacility(facility, row)


def _liquid_shares(site: Site) -> dict[str, float]:
    racks = zip(site.rack_names, site.rack_types, strict=True)
    return {name: rack.liquid_share for name, rack in racks if rack.liquid_share > 0.0}


def _row(spec: PlantSpec, found: Collector) -> CoolingPlant | None:
    """The preset with the scenario's changes, or None (and a problem)."""
    path: Path = ("cooling", "plant")
    try:
        row = catalog.plant(spec.preset)
    except UnknownName as error:
        given = found.document.tree.get("cooling")
        wide = isinstance(given, dict) and isinstance(given.get("plant"), dict)
        found.caught((*path, "preset") if wide else path, error)
        return None
    changes = spec.model_dump(exclude={"preset"}, exclude_none=True)
    changed = replace(row, **{_FIELDS.get(key, key): value for key, value in changes.items()})
    if changed.part_load >= PART_LOAD_BELOW:
        found.error(
            (*path, "part_load"),
            f"{100 * changed.part_load:g} % is not below {100 * PART_LOAD_BELOW:.1f} %, from where "
            "on a chiller would draw less for more heat",
        )
        return None
    return changed


def _wet_bulb(spec: WeatherSpec, reader: HourReader) -> Hours | None:
    path: Path = ("cooling", "weather")
    both = (spec.dry_bulb is not None, spec.relative_humidity is not None)
    if spec.wet_bulb is not None:
        if any(both):
            reader.found.error(
                path, "states the wet bulb and what gives it; write one of the two", key=True
            )
            return None
        bounds = (OUTSIDE.least or 0.0, OUTSIDE.most or 0.0)
        return reader.read(spec.wet_bulb, (*path, "wet_bulb"), "temperature", *bounds)
    if spec.dry_bulb is None or spec.relative_humidity is None:
        reader.found.error(
            path,
            "needs 'wet_bulb: 18 C', or 'dry_bulb:' and 'relative_humidity:'; each may be a file",
            key=True,
        )
        return None
    dry = reader.read(spec.dry_bulb, (*path, "dry_bulb"), "temperature", *DRY_BULB_C)
    share = reader.read(spec.relative_humidity, (*path, "relative_humidity"), "fraction", *HUMIDITY)
    return None if dry is None or share is None else _stull(dry, share, path, reader.found)


def _stull(dry: Hours, humidity: Hours, path: Path, found: Collector) -> Hours | None:
    """The wet bulb of every hour; one of the two may be flat."""
    if not dry.flat and not humidity.flat and dry.lead_min != humidity.lead_min:
        found.error(
            path,
            f"dry_bulb starts {dry.lead_min} min after the hour and relative_humidity "
            f"{humidity.lead_min} min; let both starts have the same minute",
            key=True,
        )
        return None
    try:
        bulbs = np.atleast_1d(wet_bulb_c(dry.values, humidity.values))
    except ValueError as error:
        found.error(path, f"{error}", key=True)
        return None
    moving = humidity if dry.flat else dry
    return Hours(tuple(bulbs.tolist()), moving.lead_min, moving.flat)


def _plant(
    spec: CoolingSpec, row: CoolingPlant, site: Site, power: PowerTree, found: Collector
) -> Plant | None:
    """The plant, built for the site's heat at full draw or for what the scenario states."""
    air_w, liquid_w = full_heat_w(site, power)
    needs = (("air_capacity", air_w, "the air"), ("liquid_capacity", liquid_w, "liquid"))
    fine = True
    for key, heat_w, where in needs:
        stated_w = getattr(spec, key)
        if stated_w is not None and heat_w > stated_w:
            fine = False
            found.error(
                ("cooling", key),
                f"with every GPU at its TDP, racks and feeds give off {_w(heat_w)} to {where}, "
                f"above {_w(stated_w)}",
            )
    if not fine:
        return None
    return size(row, spec.air_capacity or air_w, spec.liquid_capacity or liquid_w)


def full_heat_w(site: Site, power: PowerTree) -> tuple[float, float]:
    """Heat to the air and to liquid with every GPU at its TDP, losses of the feeds included."""
    _, in_mw = tree_flow(power, full_servers_mw(site))
    shares = _liquid_shares(site)
    liquid_w = sum(
        taken / 1000.0 * shares[node.name]
        for node, taken in zip(power.nodes, in_mw.tolist(), strict=True)
        if node.kind == "rack" and node.name in shares
    )
    utility = next(i for i, node in enumerate(power.nodes) if node.kind == "utility")
    return int(in_mw[utility]) / 1000.0 - liquid_w, liquid_w


def _cdus(spec: CdusSpec | None, row: CoolingPlant, site: Site, found: Collector) -> None:
    """Each row's liquid heat at nameplate, shared by its CDUs, within rating and flow."""
    heat_w = np.zeros(len(site.row_names))
    for rack, where in zip(site.rack_types, site.rack_row.tolist(), strict=True):
        heat_w[where] += nameplate_w(rack) * rack.liquid_share
    path: Path = ("cooling", "cdus")
    if spec is None:
        if heat_w.any():
            found.warn(path, f"not stated, so nothing limits the {_w(heat_w.sum())} of liquid heat")
        return
    if not heat_w.any():
        found.warn(path, "has no effect: no rack of the site gives heat to liquid")
        return
    flow = spec.rating * row.cdu_flow_m3_per_j if spec.flow is None else spec.flow
    rise_k = row.cdu_rise_k if spec.rise is None else spec.rise
    carried_w = flow * row.coolant_heat_j_per_m3_k * rise_k
    worst = int(heat_w.argmax())
    each_w = heat_w[worst] / spec.per_row
    load = f"{site.row_names[worst]} gives {_w(heat_w[worst])} to liquid at nameplate"
    if spec.per_row > 1:
        load += f", {_w(each_w)} to each of its {spec.per_row} CDUs"
    if each_w > spec.rating:
        found.error((*path, "rating"), f"{load}, above the rating of {_w(spec.rating)}")
    if each_w > carried_w:
        litres = flow * 60e3
        found.error(
            (*path, "flow") if spec.flow is not None else path,
            f"{load}, above the {_w(carried_w)} that {litres:,.4g} L/min carry at a rise of "
            f"{rise_k:g} K ({litres / (each_w / 1e3):.2f} L/min per kW)",
        )


def _same_year(reader: HourReader, found: Collector) -> None:
    """Series of different years were not drawn together: their hours must not be correlated."""
    if len(set(reader.years.values())) > 1:
        listed = ", ".join(f"{place} {year}" for place, year in reader.years.items())
        found.warn((next(iter(reader.years)).split(".")[0],), f"hours of different years: {listed}")


def _w(value: float) -> str:
    return format_si(value, "W")
