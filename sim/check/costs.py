"""The ``costs`` section against the catalog: prices are of types that there are."""

from __future__ import annotations

from sim import catalog
from sim.check.collector import Collector
from sim.errors import UnknownName
from sim.site.types import Site
from sim.spec.costs import CostsSpec


def check_costs(found: Collector, site: Site | None) -> CostsSpec:
    """What the scenario states; a price of something that the site does not have is warned of."""
    costs = found.document.spec.costs
    kinds = (
        ("nodes", costs.nodes, catalog.node_type, "server"),
        ("racks", costs.racks, catalog.rack_type, "rack"),
    )
    for section, prices, known, word in kinds:
        used = None
        if site is not None:
            types = site.node_types if section == "nodes" else site.rack_types
            used = {one.name for one in types}
        for name in prices:
            path = ("costs", section, name)
            try:
                known(name)
            except UnknownName as error:
                found.caught(path, error)
                continue
            if used is not None and name not in used:
                found.warn(path, f"the site has no {word} of this type")
    return costs
