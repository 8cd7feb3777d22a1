"""Where the replicas of a pool hang in the electrical tree, for routers that look at it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from sim.engine.world import PlacedReplica, World
from sim.policies.base import PowerPlaces

LEVELS = ("rack", "pdu", "ups")


def power_places(world: World, pool: int, replicas: Sequence[PlacedReplica]) -> PowerPlaces:
    """The nodes of each level above those of ``replicas`` that are a pool's, as the tree was built.

    Feeds that fail or take over during a run change nothing here.
    """
    tree = world.scenario.power
    above: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for child, parent, parts in tree.edges:
        above[child].append((parent, parts / 256))
    feeds: dict[str, list[tuple[tuple[int, float], ...]]] = {level: [] for level in LEVELS}
    numbers = {level: {n: i for i, n in enumerate(_nodes(world, level))} for level in LEVELS}
    for placed in replicas:
        if placed.pool != pool:
            continue
        found: dict[int, float] = defaultdict(float)
        for server, gpus in placed.servers:
            whole = gpus / len(placed.gpus)
            todo: list[tuple[int, float]] = [(int(tree.server_index[server]), whole)]
            while todo:
                node, share = todo.pop()
                found[node] += share
                todo += [(parent, share * part) for parent, part in above[node]]
        for level, number in numbers.items():
            mine = ((number[node], share) for node, share in found.items() if node in number)
            feeds[level].append(tuple(sorted(mine)))
    limits = {
        level: tuple(_limit_w(world, node) for node in _nodes(world, level)) for level in LEVELS
    }
    return PowerPlaces({level: tuple(each) for level, each in feeds.items()}, limits)


def _nodes(world: World, level: str) -> list[int]:
    return [i for i, node in enumerate(world.scenario.power.nodes) if node.kind == level]


def _limit_w(world: World, index: int) -> float:
    node = world.scenario.power.nodes[index]
    stated = [limit for limit in (node.rating_w, node.budget_w) if limit is not None]
    return min(stated, default=math.inf)
