"""What must hold of every place at every instant, from who holds which GPUs and from the tables.

Nothing here asks the arbiter: racks and leaves are looked up in the site, planned draw is reckoned
from the catalog's numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sim.check.scenario import Scenario
from sim.engine.places import Places
from sim.engine.world import PlacedReplica
from sim.site.fabric.plan import size_tree
from tests.engine_world import ListSink
from tests.property.random_tenants import taken_in_w

#: What rounding to a milliwatt at every server may add up to, W.
ROUNDING_W = 0.05


class Watch:
    """Who holds which GPUs now, and what did not hold at some instant."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._site = scenario, scenario.site
        self._leaves = _leaves(scenario)
        self._held: list[PlacedReplica] = []
        self.broken: list[str] = []

    def hold(self, placed: PlacedReplica) -> None:
        """GPUs become somebody's."""
        taken = {gpu for other in self._held for gpu in other.gpus}
        if taken & set(placed.gpus):
            self.broken.append(f"{placed.gpus} are held twice")
        for other in self._held:
            self._apart(placed, other)
        self._held.append(placed)
        self._within()

    def release(self, placed: PlacedReplica) -> None:
        """And are nobody's any more."""
        mine = [other for other in self._held if other.gpus == placed.gpus]
        if placed.gpus and len(mine) != 1:
            self.broken.append(f"{placed.gpus} are given up by who does not hold them")
        self._held = [other for other in self._held if other.gpus != placed.gpus]

    def _apart(self, one: PlacedReplica, other: PlacedReplica) -> None:
        pools = self._scenario.pools[one.pool], self._scenario.pools[other.pool]
        if pools[0].tenant == pools[1].tenant:
            return
        for level in {pool.isolation for pool in pools} - {""}:
            shared = self._domains(one, level) & self._domains(other, level)
            if shared:
                names = " and ".join(pool.name for pool in pools)
                self.broken.append(f"{names} share {level} {sorted(shared)}")

    def _domains(self, placed: PlacedReplica, level: str) -> set[int]:
        servers = {int(self._site.gpu_node[gpu]) for gpu in placed.gpus}
        if level == "node":
            return servers
        if level == "rack":
            return {int(self._site.node_rack[server]) for server in servers}
        return {leaf for server in servers for leaf in self._leaves[server]}

    def _within(self) -> None:
        """Each rack, with the GPUs of everybody who holds some at TDP, is within its rating."""
        site = self._site
        busy = defaultdict(int)
        for placed in self._held:
            for gpu in placed.gpus:
                busy[int(site.gpu_node[gpu])] += 1
        for rack, kind in enumerate(site.rack_types):
            drawn_w = 0.0
            for server in (site.node_rack == rack).nonzero()[0].tolist():
                gpu, many = site.gpu_types[server], site.node_types[server].gpus
                gpus_w = busy[server] * gpu.tdp_w + (many - busy[server]) * gpu.parked_w
                drawn_w += taken_in_w(site, server, gpus_w)
            touched = any(busy[s] for s in (site.node_rack == rack).nonzero()[0].tolist())
            if touched and drawn_w > kind.rating_w + ROUNDING_W:
                self.broken.append(
                    f"{site.rack_names[rack]} plans {drawn_w:.1f} of {kind.rating_w:.1f} W"
                )


def _leaves(scenario: Scenario) -> Mapping[int, set[int]]:
    """Server → its leaves, from the sizes of the network."""
    found: dict[int, set[int]] = defaultdict(set)
    if scenario.fabric is None or scenario.fabric.plan is None:
        return found
    leaf = iter(size_tree(scenario.site, scenario.fabric.plan).leaf_of_nic.tolist())
    for server, node in enumerate(scenario.site.node_types):
        found[server] = {next(leaf) for _ in range(node.nics)}
    return found


@contextmanager
def watching(scenario: Scenario) -> Iterator[Watch]:
    """Sees every place that is held or given up, while it is built and while it runs."""
    watch, hold, release = Watch(scenario), Places.hold, Places.release

    def held(self: Places, placed: PlacedReplica) -> None:
        watch.hold(placed)
        hold(self, placed)

    def released(self: Places, placed: PlacedReplica) -> None:
        watch.release(placed)
        release(self, placed)

    with patch.object(Places, "hold", held), patch.object(Places, "release", released):
        yield watch


def broken_tables(scenario: Scenario, sink: ListSink) -> list[str]:
    """Sentences on racks that drew too much and replicas that had more in KV than they hold."""
    return [*_over_rating(sink), *_over_memory(scenario, sink)]


def _over_rating(sink: ListSink) -> Iterator[str]:
    racks = {row["node"]: row for row in sink.rows("power_nodes") if row["kind"] == "rack"}
    for row in racks.values():
        if row["peak_w"] > row["rating_w"] + ROUNDING_W:
            yield f"{row['name']} drew {row['peak_w']:.1f} W of {row['rating_w']:.1f} W"
    for row in sink.rows("power"):
        rack = racks.get(row["node"])
        if rack is not None and row["out_mw"] / 1000 > rack["rating_w"] + ROUNDING_W:
            yield f"{rack['name']} drew {row['out_mw'] / 1000:.1f} W of {rack['rating_w']:.1f} W"


def _over_memory(scenario: Scenario, sink: ListSink) -> Iterator[str]:
    """By the type of GPU on which the replica was placed last before each iteration."""
    site = scenario.site
    numbers = [(pool, n) for pool in scenario.pools for n in range(pool.replicas)]
    placed: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for row in sink.rows("decisions"):
        if row["role"] == "placement" and row["accepted"]:
            gpu = int(row["suggestion"].split()[0])
            kind = site.gpu_types[int(site.gpu_node[gpu])].name
            placed[row["subject"]].append((row["t_s"], kind))
    for row in sink.rows("iterations"):
        pool, number = numbers[row["replica"]]
        began_s: Any = row["start_s"]
        kinds = [k for t_s, k in placed[f"{pool.name} replica {number}"] if t_s <= began_s]
        blocks = pool.models[kinds[-1]].kv_blocks
        if -(-row["kv_tokens"] // 16) > blocks:
            yield f"{pool.name} replica {number} holds {row['kv_tokens']} tokens in {blocks} blocks"
