"""The ``events`` section: every event does one thing, to something that is there, in time."""

from __future__ import annotations

from sim.check.collector import Collector, Names
from sim.check.scenario import PlannedEvent
from sim.site.types import PowerTree
from sim.spec.events import EventSpec
from sim.spec.nodes import Path
from sim.units import format_si


def check_events(
    found: Collector, tree: PowerTree | None, horizon_s: float
) -> tuple[PlannedEvent, ...]:
    """The events in order of time; what is wrong with them is reported."""
    planned = []
    for position, event in enumerate(found.document.spec.events):
        if event is not None:
            one = _event(found, event, ("events", position), tree, horizon_s)
            if one is not None:
                planned.append(one)
    return tuple(sorted(planned, key=lambda event: event.at_s))


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
    if name not in nodes:
        found.unknown((*path, kind), "node of the power tree", name, Names(tuple(nodes), True))
        return None
    return PlannedEvent(event.at, kind, nodes[name])
