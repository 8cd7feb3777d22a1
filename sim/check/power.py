"""The ``power`` section: ratings that fit one another, and a site that fits under them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim.check.collector import Collector
from sim.check.power_plan import power_plan
from sim.errors import BuildError
from sim.site import build_power_tree, server_out_mw, tree_flow
from sim.site.guards import BREAKER, Guard, guards_of
from sim.site.load import milliwatts
from sim.site.types import PowerNode, PowerPlan, PowerTree, Site
from sim.spec.nodes import Path
from sim.spec.power import GeneratorSpec, MsbSpec, PowerSpec, UpsSpec
from sim.units import format_si


def check_power(found: Collector, site: Site | None) -> PowerTree | None:
    """The electrical tree over ``site``, or None where it or its plan is wrong."""
    document = found.document
    failed = ("power",) in document.failed
    spec = document.spec.power
    plan = None
    if spec is not None:
        plan = power_plan(found, spec)
        cooling = document.spec.cooling
        plan = replace(plan, cooling_fed_by=None if cooling is None else cooling.fed_by)
        if not _consistent(spec, plan, found):
            failed = True
        if not (spec.utility and (spec.utility.budget or spec.utility.rating)) and not (
            spec.ups or spec.msbs
        ):
            found.warn(
                ("power",), "states no utility and no UPS, so nothing limits the site's draw"
            )
    elif not failed:
        found.warn(("power",), "not stated, so nothing limits the draw")
        if document.spec.cooling is not None and document.spec.cooling.fed_by is not None:
            found.error(("cooling", "fed_by"), "needs a 'power:' section that states what feeds it")
    if site is None or failed:
        return None
    if plan is not None:
        _racks_under_pdus(site, plan, found)
    try:
        tree = build_power_tree(site, plan)
    except BuildError as error:
        found.built(error)
        return None
    if plan is not None:
        _floor(site, tree, plan, found)
    return tree


def _consistent(spec: PowerSpec, plan: PowerPlan, found: Collector) -> bool:
    """Whether a tree can be built; problems are reported either way."""
    pairs: list[tuple[Path, float | None, float | None]] = [
        (("power", "utility", "budget"), plan.utility_budget_w, plan.utility_rating_w),
        (("power", "pdus", "budget"), plan.pdu_budget_w, plan.pdu_rating_w),
        *(
            (("power", "ups", i, "budget"), ups.budget_w, ups.rating_w)
            for i, ups in enumerate(plan.ups)
        ),
        *(
            (("power", "msbs", i, "budget"), msb.budget_w, msb.rating_w)
            for i, msb in enumerate(plan.msbs)
        ),
    ]
    for path, budget, rating in pairs:
        if budget is not None and rating is not None and budget > rating:
            found.error(
                path, f"the budget {_w(budget)} is above the rating {_w(rating)} it must respect"
            )
    named: tuple[tuple[str, str, Sequence[UpsSpec | MsbSpec | GeneratorSpec]], ...] = (
        ("UPS", "ups", spec.ups),
        ("switchboard", "msbs", spec.msbs),
        ("generator", "generators", spec.generators),
    )
    fine = True
    for at, one in enumerate(spec.generators):
        feeds = (
            (("power", "generators", at, "feeds", k), name) for k, name in enumerate(one.feeds)
        )
        fine &= found.unique("switchboard", feeds)
    for what, key, items in named:
        paths = ((("power", key, i, "name"), item.name) for i, item in enumerate(items))
        fine &= found.unique(what, paths)
    return fine


def _racks_under_pdus(site: Site, plan: PowerPlan, found: Collector) -> None:
    """With one feed or two, each PDU must be able to carry the whole of any rack on it alone."""
    if plan.pdu_rating_w is None:
        return
    heavy = {
        rack.name: rack.rating_w for rack in site.rack_types if rack.rating_w > plan.pdu_rating_w
    }
    for name, rating in heavy.items():
        found.error(
            ("power", "pdus", "rating"),
            f"a rack of type {name} is rated {_w(rating)}, above its PDU's {_w(plan.pdu_rating_w)}",
        )


def _floor(site: Site, tree: PowerTree, plan: PowerPlan, found: Collector) -> None:
    """Nothing may be over its limit with every GPU parked: that is the least the site can draw.

    Nor may it be more than a breaker holds for ever. A limit that is written once, for every PDU,
    is blamed once.
    """
    holds = {guard.node: guard for guard in guards_of(tree) if guard.kind == BREAKER}
    servers = [
        server_out_mw(node, node.gpus * milliwatts(gpu.parked_w))
        for node, gpu in zip(site.node_types, site.gpu_types, strict=True)
    ]
    out_mw, in_mw = tree_flow(tree, np.array(servers, dtype=np.int64))
    for index, node in enumerate(tree.nodes):
        delivered, taken = int(out_mw[index]), int(in_mw[index])
        if index in holds:
            _breaker_floor(node, holds[index], delivered, plan, found)
        carried_w = (taken if node.kind == "utility" else delivered) / 1000.0
        for word, limit in (("budget", node.budget_w), ("rating", node.rating_w)):
            if limit is None or carried_w <= limit:
                continue
            path = _stated(node, word, plan)
            if path is not None and not found.blames(path):
                found.error(
                    path,
                    f"with every GPU idle, {node.name} already carries {_w(carried_w)}, "
                    f"above its {word} of {_w(limit)}",
                )
            break


def _breaker_floor(
    node: PowerNode, guard: Guard, idle_mw: int, plan: PowerPlan, found: Collector
) -> None:
    """A breaker that opens at the idle draw, sooner or later, is no breaker for this node."""
    breaker, path = node.breaker, _stated(node, "breaker", plan)
    if breaker is None or math.isinf(guard.seconds_left(0.0, idle_mw, True)):
        return
    if path is not None and not found.blames(path):
        found.error(
            path,
            f"with every GPU idle, {node.name} already carries {_w(idle_mw / 1000.0)}, more than "
            f"its {breaker.breaker.name} breaker of {_w(breaker.rating_w)} holds for ever: "
            f"{_w(guard.held_mw / 1000.0)}",
        )


def _stated(node: PowerNode, word: str, plan: PowerPlan) -> Path | None:
    """Where a node's ``budget`` or ``rating`` is written; racks and servers have the catalog's."""
    match node.kind:
        case "utility":
            return ("power", "utility", word)
        case "ups":
            position = next(i for i, ups in enumerate(plan.ups) if ups.name == node.name)
            return ("power", "ups", position, word)
        case "msb":
            position = next(i for i, msb in enumerate(plan.msbs) if msb.name == node.name)
            return ("power", "msbs", position, word)
        case "pdu":
            return ("power", "pdus", word)
        case "rack" if word == "breaker":
            return ("power", "racks", word)
    return None


def _w(value: float) -> str:
    return format_si(value, "W")
