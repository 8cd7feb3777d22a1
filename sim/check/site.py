"""The ``site`` section against the catalog, and the site that it describes."""

from __future__ import annotations

from sim import catalog
from sim.catalog.types import RackType
from sim.check.collector import Collector
from sim.check.limits import check_limits
from sim.errors import BuildError, UnknownName
from sim.site import build_site
from sim.site.types import HallPlan, RowPlan, Site
from sim.spec.nodes import Path
from sim.spec.site import HallSpec, SiteSpec

#: More GPUs than this in one site is a slip of the keyboard, and would fill the memory.
MOST_GPUS = 1_000_000


def check_site(found: Collector) -> Site | None:
    """The site as arrays, or None where something about it is wrong."""
    spec = found.document.spec.site
    if spec is None:
        return None
    named = _names(spec, found)
    types = {name: known_rack(name, path, found) for name, path in _rack_types(spec)}
    if not named or not all(types.values()):
        return None
    check_limits(found)
    if not _affordable(spec, types, found):
        return None
    try:
        return build_site([_plan(hall) for hall in spec.halls])
    except BuildError as error:
        found.built(error)
        return None


def _plan(hall: HallSpec) -> HallPlan:
    rows = (
        RowPlan(row.name, tuple((racks.type, racks.count) for racks in row.racks))
        for row in hall.rows
    )
    return HallPlan(hall.name, tuple(rows))


def _names(spec: SiteSpec, found: Collector) -> bool:
    halls: Path = ("site", "halls")
    fine = found.unique(
        "hall", (((*halls, h, "name"), hall.name) for h, hall in enumerate(spec.halls))
    )
    rows = found.unique(
        "row",
        (
            ((*halls, h, "rows", r, "name"), row.name)
            for h, hall in enumerate(spec.halls)
            for r, row in enumerate(hall.rows)
        ),
    )
    return fine and rows


def _rack_types(spec: SiteSpec) -> list[tuple[str, Path]]:
    """Every mention of a rack type with its place."""
    return [
        (racks.type, ("site", "halls", h, "rows", r, "racks", k, "type"))
        for h, hall in enumerate(spec.halls)
        for r, row in enumerate(hall.rows)
        for k, racks in enumerate(row.racks)
    ]


def known_rack(name: str, path: Path, found: Collector) -> RackType | None:
    """The catalog's rack type of this name, or None (and a problem)."""
    try:
        return catalog.rack_type(name)
    except UnknownName as error:
        found.caught(path, error)
        return None


def _affordable(spec: SiteSpec, types: dict[str, RackType | None], found: Collector) -> bool:
    total = 0
    for hall in spec.halls:
        for row in hall.rows:
            for racks in row.racks:
                rack = types[racks.type]
                if rack is not None:
                    total += racks.count * rack.nodes * catalog.node_type(rack.node_type).gpus
    if total > MOST_GPUS:
        found.error(("site",), f"{total:,} GPUs are more than one run holds ({MOST_GPUS:,})")
        return False
    return True
