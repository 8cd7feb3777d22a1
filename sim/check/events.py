"""The ``events`` section: every event does one thing, to something that is there, in time."""

from __future__ import annotations

from collections.abc import Sequence

from sim.check.collector import Collector, Names
from sim.check.scenario import PlannedEvent
from sim.site.types import PowerTree
from sim.spec.events import MODULE, EventSpec
from sim.spec.nodes import Path
from sim.units import format_si


def check_events(
    found: Collector, tree: PowerTree | None, horizon_s: float
) -> tuple[PlannedEvent, ...]:
    """The events in order of time; what is wrong with them is reported."""
    planned: list[tuple[Path, PlannedEvent]] = []
    for position, event in enumerate(found.document.spec.events):
        if event is not None:
            one = _event(found, event, ("events", position), tree, horizon_s)
            if one is not None:
                planned.append((("events", position), one))
    planned.sort(key=lambda pair: pair[1].at_s)
    if tree is not None:
        _count_modules(found, tree, planned)
    return tuple(event for _, event in planned)


def _event(
    found: Collector, event: EventSpec, path: Path, tree: PowerTree | None, horizon_s: float
) -> PlannedEvent | None:
    stated = [(kind, name) for kind, name in (("fail", event.fail), ("restore", event.restore))
              if name is not None]  # fmt: skip
    if len(stated) != 1:
        found.error(path, "does one thing: `fail: ups-a` or `restore: ups-a`")
        return None
    kind, name = stated[0]
    if event.at >= horizon_s:
        found.error(
            (*path, "at"),
            f"is not before the end of the run at {format_si(horizon_s, 's')} (duration + drain)",
        )
        return None
    if tree is None:
        return None
    nodes = {node.name: index for index, node in enumerate(tree.nodes)}
    bank = name.removesuffix(MODULE)
    if bank not in nodes:
        found.unknown((*path, kind), "node of the power tree", bank, Names(tuple(nodes), True))
        return None
    if bank == name:
        return PlannedEvent(event.at, kind, nodes[name])
    gear = tree.nodes[nodes[bank]].ups
    if gear is None or gear.modules is None:
        found.error(
            (*path, kind),
            f"{bank} has no modules; a UPS states them as `modules: {{count: 5, needed: 4}}`",
        )
        return None
    return PlannedEvent(event.at, f"{kind}-module", nodes[bank])


def _count_modules(
    found: Collector, tree: PowerTree, planned: Sequence[tuple[Path, PlannedEvent]]
) -> None:
    """No more modules fail or return than there are, in order of time."""
    alive: dict[int, int] = {}
    for path, event in planned:
        node = tree.nodes[event.node]
        if node.ups is None or node.ups.modules is None:
            continue
        count = node.ups.modules.count
        now = alive.get(event.node, count)
        if event.kind == "restore":
            now = count
        elif event.kind == "fail-module":
            now -= 1
        elif event.kind == "restore-module":
            now += 1
        if not 0 <= now <= count:
            what = f"all {count} modules of {node.name} are"
            found.error(path, f"{what} {'down' if now < 0 else 'well'} by then already")
            now = max(0, min(now, count))
        alive[event.node] = now
