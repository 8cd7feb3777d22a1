"""What a hall's floor, positions and air can take, against the racks that stand in it."""

from __future__ import annotations

from sim import catalog
from sim.catalog.types import RackType
from sim.check.collector import Collector
from sim.spec.nodes import Path, show_path
from sim.spec.site import HallSpec, LimitsSpec
from sim.units import format_si


def check_limits(found: Collector) -> None:
    """Refuse racks that are beyond what their hall states, each with the arithmetic."""
    spec = found.document.spec.site
    for h, hall in enumerate(() if spec is None else spec.halls):
        if hall.limits is not None:
            _hall(hall, hall.limits, ("site", "halls", h), found)


def nameplate_w(rack: RackType) -> float:
    """What the rack's servers draw at their nameplates, all of which becomes heat."""
    return rack.nodes * catalog.node_type(rack.node_type).max_w


def _hall(hall: HallSpec, limits: LimitsSpec, path: Path, found: Collector) -> None:
    places = [
        ((*path, "rows", r, "racks", k), racks.type, racks.count)
        for r, row in enumerate(hall.rows)
        for k, racks in enumerate(row.racks)
    ]
    types = {name: catalog.rack_type(name) for _, name, _ in places}
    for place, name, _ in places:
        for key, message in _beyond(types[name], limits):
            found.error((*place, "type"), f"{message} of {show_path((*path, 'limits', key))}")
    racks = [row.racks for row in hall.rows]
    standing = sum(count for _, _, count in places)
    if limits.racks is not None and standing > limits.racks:
        rows = " + ".join(f"{sum(entry.count for entry in row)}" for row in racks)
        summed = f"{rows} = {standing}" if len(racks) > 1 else f"{standing}"
        found.error(
            (*path, "limits", "racks"),
            f"the hall's rows hold {summed} racks, more than {limits.racks}",
        )
    weight_kg = sum(count * types[name].weight_kg for _, name, count in places)
    if limits.weight is not None and weight_kg > limits.weight:
        parts = " + ".join(f"{count} x {_kg(types[name].weight_kg)}" for _, name, count in places)
        found.error(
            (*path, "limits", "weight"),
            f"the hall's racks weigh {parts} = {_kg(weight_kg)}, above {_kg(limits.weight)}",
        )


def _beyond(rack: RackType, limits: LimitsSpec) -> list[tuple[str, str]]:
    """(limit, message) of everything about one rack that is beyond its limit."""
    node = catalog.node_type(rack.node_type)
    servers = f"{rack.nodes} x {_w(node.max_w)}"
    heat_w = nameplate_w(rack)
    liquid_w = heat_w * rack.liquid_share
    rest_w = rack.rating_w - heat_w
    share = f"{100 * rack.liquid_share:g} %"
    into_air = "" if not rack.liquid_share else f", less {share} to liquid,"
    rows = (
        ("rack_units", rack.rack_units, f"{rack.rack_units} U", "is {} high",
         lambda limit: f"{limit:g} U"),
        ("rack_power", rack.rating_w, f"{servers} + {_w(rest_w)} = {_w(rack.rating_w)}",
         "is rated {}", _w),
        ("rack_weight", rack.weight_kg, _kg(rack.weight_kg), "weighs {}", _kg),
        ("rack_air_heat", heat_w - liquid_w, f"{servers}{into_air} = {_w(heat_w - liquid_w)}",
         "gives off {} to the air", _w),
        ("rack_liquid_heat", liquid_w, f"{servers} x {share} = {_w(liquid_w)}",
         "gives off {} to liquid", _w),
    )  # fmt: skip
    found = []
    for key, value, sum_, phrase, unit in rows:
        limit = getattr(limits, key)
        if limit is not None and value > limit:
            text = f"a rack of type {rack.name} {phrase.format(sum_)}, above the {unit(limit)}"
            found.append((key, text))
    return found


def _w(value: float) -> str:
    return format_si(value, "W")


def _kg(value: float) -> str:
    return f"{value:,.4g} kg"
