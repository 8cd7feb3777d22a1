"""The ``power`` section as a plan: breakers and UPSs found in the catalog, ratings passed on."""

from __future__ import annotations

from sim import catalog
from sim.catalog.protection import Battery
from sim.check.collector import Collector
from sim.errors import UnknownName
from sim.site.types import (
    GeneratorPlan,
    Modules,
    MsbPlan,
    PowerPlan,
    RatedBreaker,
    UpsGear,
    UpsPlan,
)
from sim.spec.nodes import Path
from sim.spec.power import BreakerSpec, PduSpec, PowerSpec, RackPowerSpec, UpsSpec, UtilitySpec


def power_plan(found: Collector, spec: PowerSpec) -> PowerPlan:
    """The plan; what it names and nobody knows is reported and left out."""
    utility = spec.utility or UtilitySpec()
    pdus = spec.pdus
    each_pdu = pdus or PduSpec()
    racks = spec.racks or RackPowerSpec()
    return PowerPlan(
        utility_budget_w=utility.budget,
        utility_rating_w=utility.rating,
        ups=tuple(_ups(found, ups, i) for i, ups in enumerate(spec.ups)),
        pdus_per_row=0 if pdus is None else pdus.per_row,
        pdu_rating_w=each_pdu.rating,
        pdu_budget_w=each_pdu.budget,
        redundancy=each_pdu.redundancy,
        msbs=tuple(
            MsbPlan(
                msb.name,
                msb.rating,
                msb.budget,
                _breaker(found, msb.breaker, msb.rating, ("power", "msbs", i)),
            )
            for i, msb in enumerate(spec.msbs)
        ),
        generators=tuple(
            GeneratorPlan(
                one.name,
                one.rating,
                one.start,
                one.feeds,
                _breaker(found, one.breaker, one.rating, ("power", "generators", i)),
            )
            for i, one in enumerate(spec.generators)
        ),
        utility_breaker=_breaker(found, utility.breaker, utility.rating, ("power", "utility")),
        pdu_breaker=_breaker(found, each_pdu.breaker, each_pdu.rating, ("power", "pdus")),
        rack_breaker=_breaker(found, racks.breaker, None, ("power", "racks")),
        restart_s=spec.restart,
    )


def _ups(found: Collector, ups: UpsSpec, position: int) -> UpsPlan:
    path: Path = ("power", "ups", position)
    return UpsPlan(
        ups.name,
        ups.rating,
        ups.budget,
        ups.fed_by,
        ups.reserve,
        _breaker(found, ups.breaker, ups.rating, path),
        _gear(found, ups, path),
    )


def _breaker(
    found: Collector, spec: BreakerSpec | None, rating_w: float | None, above: Path
) -> RatedBreaker | None:
    """The ``breaker`` below a path, of its own rating or that of the gear that it protects."""
    if spec is None:
        return None
    path: Path = (*above, "breaker")
    if spec.preset is None:
        found.error(path, "needs a preset, such as mccb (see `rackplan catalog breaker`)")
        return None
    try:
        breaker = catalog.breaker(spec.preset)
    except UnknownName as error:
        found.caught(path, error)
        return None
    rating_w = rating_w if spec.rating is None else spec.rating
    if rating_w is None:
        found.error(
            path,
            "has no rating, and neither has the gear that it protects; write "
            f"{{preset: {spec.preset}, rating: 100 kW}} or similar",
        )
        return None
    return RatedBreaker(breaker, rating_w)


def _gear(found: Collector, spec: UpsSpec, path: Path) -> UpsGear:
    """What makes a UPS one."""
    product = None
    if spec.product is not None:
        try:
            product = catalog.ups_product(spec.product)
        except UnknownName as error:
            found.caught((*path, "product"), error)
    battery = None
    if spec.battery is not None:
        stated = spec.battery
        battery = Battery(
            stated.ride_through, stated.exponent, stated.recharge, stated.recharge_share
        )
    return UpsGear(product, battery, _modules(found, spec, (*path, "modules")))


def _modules(found: Collector, spec: UpsSpec, path: Path) -> Modules | None:
    """The modules of a UPS, enough of them to deliver its rating."""
    stated = spec.modules
    if stated is None:
        return None
    if stated.needed > stated.count:
        found.error(
            (*path, "needed"),
            f"{stated.needed} modules are needed for the rating, but count is {stated.count}",
        )
        return None
    return Modules(stated.count, stated.needed)
