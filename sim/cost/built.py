"""What of a scenario costs money: its site, feeds, network and stated prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.check.scenario import Scenario
from sim.cost.bill import Known, Origin
from sim.cost.prices import PriceBook
from sim.site.fabric.count import NetworkParts, count_network
from sim.site.facility import Facility
from sim.site.hours import Hours
from sim.site.types import PowerTree, Site


@dataclass(frozen=True)
class Built:
    """A site as far as its cost goes.

    ``network`` None: none is stated. ``replicas``: (GPU types it may be on, GPUs) of every pool.
    ``positions``: for each hall (racks that stand in it, positions stated or None).
    """

    name: str
    site: Site
    power: PowerTree
    network: NetworkParts | None
    book: PriceBook
    facility: Facility
    replicas: tuple[tuple[tuple[str, ...], int], ...]
    positions: tuple[tuple[int, int | None], ...]

    @property
    def nodes(self) -> Mapping[str, int]:
        """Server type → how many, in site order."""
        return Counter(node.name for node in self.site.node_types)

    @property
    def provisioned_w(self) -> float:
        """The provisioned power; where nothing states it, the ratings of all racks."""
        stated = self.power.provisioned_w
        return self.rack_ratings_w if stated is None else stated

    @property
    def rack_ratings_w(self) -> float:
        """The summed ratings of the racks."""
        return sum(rack.rating_w for rack in self.site.rack_types)

    @property
    def allocated_gpus(self) -> int:
        """GPUs that replicas take."""
        return sum(gpus for _, gpus in self.replicas)


def built_of(scenario: Scenario | Built) -> Built:
    """What of ``scenario`` costs money."""
    if isinstance(scenario, Built):
        return scenario
    fabric, facility = scenario.fabric, scenario.facility
    electricity = facility.price_usd_per_j
    stated = scenario.price_usd_per_j
    return Built(
        name=scenario.name,
        site=scenario.site,
        power=scenario.power,
        network=None if fabric is None else count_network(fabric, scenario.site),
        book=PriceBook(
            scenario.costs,
            known_hours(electricity, "price.electricity")
            if stated is None
            else Known(stated, Origin(True, "price.electricity")),
            known_hours(facility.carbon_g_per_j, "carbon"),
        ),
        facility=facility,
        replicas=tuple(
            (
                tuple(pool.models) if pool.gpu is None else (pool.gpu,),
                pool.replicas * pool.tensor_parallel * pool.pipeline_parallel,
            )
            for pool in scenario.pools
        ),
        positions=hall_positions(scenario.site, scenario.resolved.get("site")),
    )


def known_hours(hours: Hours | None, where: str) -> Known | None:
    """The value of a series, or the plain mean of its hours."""
    if hours is None:
        return None
    note = "" if hours.flat else f"the mean of {len(hours.values)} hours"
    return Known(sum(hours.values) / len(hours.values), Origin(True, where, note=note))


def hall_positions(
    site: Site, plain: Mapping[str, Any] | None
) -> tuple[tuple[int, int | None], ...]:
    """For each hall (racks in it, positions that ``site.halls[].limits.racks`` states)."""
    racks = Counter(site.row_hall[row] for row in site.rack_row.tolist())
    halls = [] if plain is None else plain["halls"]
    return tuple(
        (racks[hall], (one.get("limits") or {}).get("racks")) for hall, one in enumerate(halls)
    )
