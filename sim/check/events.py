"""The ``events`` section: every event does one thing, to something that is there, in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sim.check.collector import Collector, Names
from sim.check.fleets import changes, moments
from sim.check.parts import Parts
from sim.check.scenario import PlannedEvent
from sim.errors import UnknownName
from sim.site.types import PowerNode, PowerTree
from sim.spec import Document
from sim.spec.events import MODULE, EventSpec
from sim.spec.nodes import Path, shorten
from sim.units import format_si

#: What an event can do, with an example.
KINDS = {
    "fail": "fail: ups-a",
    "restore": "restore: ups-a",
    "budget": "budget: {node: utility, to: 100 kW}",
    "add": "add: {pool: chat, replicas: 2}",
    "remove": "remove: {pool: chat, replicas: 2}",
    "migrate": "migrate: {pool: chat, replica: 3}",
    "defragment": "defragment: {most: 4}",
}
#: Position in the file, event.
_Placed: TypeAlias = tuple[int, EventSpec]


def check_events(
    found: Collector, tree: PowerTree | None, horizon_s: float, parts: Parts | None = None
) -> tuple[PlannedEvent, ...]:
    """The events in order of time; what is wrong with them is reported.

    ``parts``: those of the network, if there is one.
    """
    planned: list[tuple[Path, PlannedEvent]] = []
    for position, event in _by_time(found.document):
        one = _event(found, event, ("events", position), tree, horizon_s, parts)
        if one is not None:
            planned.append((("events", position), one))
    if tree is not None:
        _count_modules(found, tree, planned)
    _fleets(found)
    return tuple(event for _, event in planned)


def _by_time(document: Document) -> list[_Placed]:
    stated = [(i, event) for i, event in enumerate(document.spec.events) if event is not None]
    return sorted(stated, key=lambda one: one[1].at)


def _fleets(found: Collector) -> None:
    """No more replicas are taken away than there are."""
    for change in changes(found.document):
        if change.replicas < 0:
            there = max(change.stated + change.replicas, 0)
            text = f"takes {change.stated} away, but pool {change.pool!r} has {there} then"
            found.error(change.path, text)
            return


def _event(
    found: Collector,
    event: EventSpec,
    path: Path,
    tree: PowerTree | None,
    horizon_s: float,
    parts: Parts | None,
) -> PlannedEvent | None:
    stated = [kind for kind in KINDS if getattr(event, kind) is not None]
    if len(stated) != 1:
        some = [f"`{example}`" for kind, example in KINDS.items() if kind in stated or not stated]
        found.error(path, f"does one thing: {', '.join(some[:-1])} or {some[-1]}")
        return None
    if event.at >= horizon_s:
        found.error(
            (*path, "at"),
            f"is not before the end of the run at {format_si(horizon_s, 's')} (duration + drain)",
        )
        return None
    change = event.add or event.remove
    if change is not None:
        names = found.names("pools")
        if change.pool not in names.known:
            found.unknown((*path, stated[0], "pool"), "pool", change.pool, names)
            return None
        return PlannedEvent(event.at, stated[0], pool=change.pool, replicas=change.replicas)
    if event.migrate is not None or event.defragment is not None:
        return _move(found, event, path, stated[0])
    if event.budget is not None:
        node = _node(found, (*path, "budget", "node"), event.budget.node, tree)
        if node is None or tree is None:
            return None
        _budget(found, path, event.budget.to, tree.nodes[node])
        return PlannedEvent(event.at, "budget", node, budget_w=event.budget.to)
    return _change(found, event, path, stated[0], tree, parts)


def _move(found: Collector, event: EventSpec, path: Path, kind: str) -> PlannedEvent | None:
    """Replicas move to other GPUs."""
    spec = event.migrate or event.defragment
    assert spec is not None
    here: Path = (*path, kind)
    if spec.kv == "moved" and found.document.spec.fabric is None:
        text = "needs a network to move over: state 'fabric', or write 'kv: lost' here"
        found.error((*here, "kv"), text)
        return None
    if event.defragment is not None:
        most = event.defragment.most
        return PlannedEvent(event.at, kind, replicas=most, kv=spec.kv)
    assert event.migrate is not None
    names, replica = found.names("pools"), event.migrate.replica
    if event.migrate.pool not in names.known:
        found.unknown((*here, "pool"), "pool", event.migrate.pool, names)
        return None
    pools = [one for one in found.document.spec.pools if one is not None]
    for one in pools:
        if one.decode is not None and event.migrate.pool in (one.name, one.decode.pool):
            found.error(
                (*here, "pool"),
                f"replicas of {one.name!r} hand KV over to {one.decode.pool!r}, and those that do "
                "cannot move while they serve: remove and add them",
            )
            return None
    there = max(
        (moment[event.migrate.pool].replicas for moment in moments(found.document)), default=0
    )
    if replica >= there:
        found.error(
            (*here, "replica"),
            f"pool {event.migrate.pool!r} has {there} replicas at most; the first is 0",
        )
        return None
    return PlannedEvent(event.at, kind, pool=event.migrate.pool, replica=replica, kv=spec.kv)


def _change(
    found: Collector,
    event: EventSpec,
    path: Path,
    kind: str,
    tree: PowerTree | None,
    parts: Parts | None,
) -> PlannedEvent | None:
    """Something fails or is restored: of the power tree, or of the network."""
    name = event.fail or event.restore or ""
    bank = name.removesuffix(MODULE)
    if tree is not None and parts is not None:
        known = {node.name: node for node in tree.nodes}
        if bank not in known:
            return _part(found, event, path, kind, name, parts, tree)
        # A server is of both, and without power it neither sends nor takes anything.
        if known[bank].kind != "server" and parts.has(name):
            found.error(
                (*path, kind),
                f"{name!r} is a node of the power tree and a part of the network: give one of them "
                "another name",
            )
            return None
    node = _node(found, (*path, kind), bank, tree, modules=True)
    if node is None or tree is None:
        return None
    if bank == name:
        it = tree.nodes[node]
        opens = it.breaker is not None or it.ups is not None
        also = ", and has no breaker that could have opened"
        _twice(found, path, event, name, opens=opens, also=also)
        return PlannedEvent(event.at, kind, node)
    gear = tree.nodes[node].ups
    if gear is None or gear.modules is None:
        found.error(
            (*path, kind),
            f"{bank} has no modules; a UPS states them as `modules: {{count: 5, needed: 4}}`",
        )
        return None
    return PlannedEvent(event.at, f"{kind}-module", node)


def _part(
    found: Collector,
    event: EventSpec,
    path: Path,
    kind: str,
    name: str,
    parts: Parts,
    tree: PowerTree,
) -> PlannedEvent | None:
    """A part of the network fails or is restored."""
    try:
        parts.state.check(name)
    except UnknownName as error:
        if error.name == name:  # a whole name, which could have been of either
            nodes = [node.name for node in tree.nodes]
            error = UnknownName(
                "node of the power tree or part of the network",
                shorten(name),
                dict.fromkeys([*nodes, *parts.state.suggested()]),
            )
        found.caught((*path, kind), error)
        return None
    _twice(found, path, event, name, parts=parts)
    server = parts.server_inside(name) if kind == "fail" else ""
    if server:
        found.warn(
            (*path, "fail"),
            "only what is sent over the network misses it: replicas go on computing with it; a "
            f"server that fails, 'fail: {server}', takes its replicas down",
        )
    return PlannedEvent(event.at, f"{kind}-part", part=name)


def _node(
    found: Collector, path: Path, name: str, tree: PowerTree | None, *, modules: bool = False
) -> int | None:
    """Index of a node of the power tree; an unknown one is reported (``modules``: or a module)."""
    if tree is None:
        return None
    nodes = {node.name: index for index, node in enumerate(tree.nodes)}
    if name not in nodes:
        known = [*nodes]
        if modules:
            banks = (node for node in tree.nodes if node.ups is not None and node.ups.modules)
            known += [f"{node.name}{MODULE}" for node in banks]
        found.unknown(path, "node of the power tree", name, Names(tuple(known), True))
    return nodes.get(name)


def _budget(found: Collector, path: Path, budget_w: float, node: PowerNode) -> None:
    """A contract is for what the gear can carry, and changes one that there is."""
    here: Path = (*path, "budget", "to")
    if node.rating_w is not None and budget_w > node.rating_w:
        found.error(
            here,
            f"{format_si(budget_w, 'W')} is more than {node.name} is rated for, "
            f"{format_si(node.rating_w, 'W')}",
        )
    elif node.rating_w is None and node.budget_w is None:
        found.error(
            here,
            f"{node.name} has neither budget nor rating before; state what it begins with in "
            "`power`",
        )


def _twice(
    found: Collector,
    path: Path,
    event: EventSpec,
    name: str,
    *,
    opens: bool = False,
    also: str = "",
    parts: Parts | None = None,
) -> None:
    """What failed cannot fail, and what is whole need not be restored: worth a warning."""

    def is_it(one: str | None) -> bool:
        return one == name if parts is None else parts.same(one, name)

    before = [
        (i, one)
        for i, one in _by_time(found.document)
        if (one.at, i) < (event.at, path[1]) and (is_it(one.fail) or is_it(one.restore))
    ]
    place, last = before[-1] if before else (None, None)
    if event.fail is not None and last is not None and last.fail is not None:
        found.warn((*path, "fail"), f"{name} has failed already, by events[{place}]")
    if event.restore is not None and not opens and (last is None or last.fail is None):
        found.warn((*path, "restore"), f"{name} has not failed by then{also}")


def _count_modules(
    found: Collector, tree: PowerTree, planned: Sequence[tuple[Path, PlannedEvent]]
) -> None:
    """No more modules fail or return than there are, in order of time."""
    alive: dict[int, int] = {}
    for path, event in planned:
        node = tree.nodes[event.node]
        if event.part or node.ups is None or node.ups.modules is None:
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
