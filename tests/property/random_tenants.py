"""Random small sites whose racks are rated, with pools of tenants that grow, fail, move and shrink.

Racks hold two servers of one of two GPU types; each is rated for its servers with some of their
GPUs at TDP, so that most cannot be filled. A leaf is that of a network of few ports, where one is
stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from sim import catalog
from sim.check.scenario import PlannedEvent, Pool, Scenario
from sim.perf.step import ReplicaModel
from sim.site import HallPlan, RowPlan, Site, build_site
from sim.site.fabric.below import leaves_of_servers
from sim.site.fabric.source import FabricSource
from sim.site.fabric.types import FabricPlan
from sim.site.power import build_power_tree
from tests.engine_world import DYADIC, Given, model, policy, pool, power, scenario, workload

DURATION_S, DRAIN_S = 24.0, 4.0
RACKS = {"h100-sxm": "dgx-h100-2", "b200": "dgx-b200-2"}
#: The highest draw of ``tests.engine_world.power``, W.
HIGHEST_W = 690.0
PLACEMENT = (
    "first-fit", "topology-aware", "random", "best-fit", "fgd", "power-aware",
    "failure-domain-aware", "locality",
)  # fmt: skip
LEVELS = ("node", "rack", "leaf")


@dataclass(frozen=True)
class Tenancy:
    """A scenario and its requests."""

    scenario: Scenario
    sources: tuple[Given, ...]


def random_tenancy(rng: Random) -> Tenancy:
    """A case of ``rng``; not every one can be built."""
    site = _rated(rng, _site(rng))
    fabric = _fabric(rng)
    pools = [_pool(rng, f"pool-{n}", site, fabric) for n in range(rng.choice([2, 3, 3, 4]))]
    tree = replace(build_power_tree(site, None), restart_s=rng.choice([0.5, 1.0, 3.0]))
    events, pools = _events(rng, pools, len(tree.nodes), fabric)
    leaves: tuple[tuple[str, ...], ...] = ()
    if fabric is not None:
        leaves = leaves_of_servers(fabric.graph(site), site)
    base = scenario(
        pools, [workload(f"to-{one.name}", one.name) for one in pools],
        duration_s=DURATION_S, drain_s=DRAIN_S, iterations=True,
    )  # fmt: skip
    made = replace(
        base, site=site, power=tree, fabric=fabric, leaves=leaves, events=events,
        paths=policy("paths", "rail"), placement=policy("placement", rng.choice(PLACEMENT)),
    )  # fmt: skip
    return Tenancy(made, tuple(_requests(rng) for _ in pools))


def _site(rng: Random) -> Site:
    kinds = [RACKS["h100-sxm"]] * rng.choice([2, 3]) + [RACKS["b200"]] * rng.choice([1, 2])
    rng.shuffle(kinds)
    return build_site([HallPlan("hall", (RowPlan("row", tuple((kind, 1) for kind in kinds)),))])


def _rated(rng: Random, site: Site) -> Site:
    """Ratings between all GPUs parked and all at TDP, or a little above."""
    types = []
    for rack, kind in enumerate(site.rack_types):
        servers = np.flatnonzero(site.node_rack == rack).tolist()
        gpus = [(site.gpu_types[s].parked_w, site.gpu_types[s].tdp_w) for s in servers]
        share = rng.choice([0.4, 0.6, 0.8, 1.0, 1.02])
        draws = [8 * (parked + share * (tdp - parked)) for parked, tdp in gpus]
        rating_w = sum(
            taken_in_w(site, s, draw_w) for s, draw_w in zip(servers, draws, strict=True)
        )
        types.append(replace(kind, rating_w=rating_w))
    return replace(site, rack_types=tuple(types))


def taken_in_w(site: Site, server: int, gpus_w: float) -> float:
    """What a server takes in with its GPUs at so much: its fans and supplies from the catalog."""
    node = site.node_types[server]
    share = gpus_w / (node.gpus * catalog.gpu(node.gpu).tdp_w)
    out_w = node.base_w + gpus_w + node.fan_w * share**3
    x = out_w / node.psu.rating_w
    return out_w + node.psu.rating_w * (node.psu.a + node.psu.b * x + node.psu.c * x * x)


def _fabric(rng: Random) -> FabricSource | None:
    """Leaves of two or four servers, or the eight rails of four servers; in a third, none."""
    kind, radix = rng.choice(
        [("", 0), ("leaf-spine", 32), ("leaf-spine", 64), ("rail-optimised", 8)]
    )
    if not kind:
        return None
    return FabricSource(kind, FabricPlan(kind, 50e9, 1.0, radix, 50e9, 0.5e-6))


def _pool(rng: Random, name: str, site: Site, fabric: FabricSource | None) -> Pool:
    gpus = rng.choice([1, 2, 2, 4, 4, 8])
    kinds = rng.choice([["h100-sxm"], ["b200"], [*RACKS], [*RACKS]])
    models = {kind: _model(kind, gpus, rng.choice([40, 64, 120])) for kind in kinds}
    one = pool(
        models[kinds[0]], name=name, replicas=rng.choice([1, 1, 2, 3]),
        routing=rng.choice(["round-robin", "least-outstanding-tokens"]), max_sequences=16,
    )  # fmt: skip
    tenant = rng.choice(["", "bank", "bank", "shop", "post"])
    levels = LEVELS if fabric is not None else LEVELS[:2]
    return replace(
        one,
        models=models,
        tenant=tenant,
        isolation=rng.choice(["", *levels]) if tenant else "",
        replace_after_s=rng.choice([None, 0.5, 2.0]),
    )


def _model(kind: str, gpus: int, blocks: int) -> ReplicaModel:
    """Draws up to the TDP, which is what a placement plans with."""
    tdp_w = catalog.gpu(kind).tdp_w
    made = model(DYADIC, blocks, gpus, sequences=16)
    draws = power(16, tdp_w / HIGHEST_W), power(16, 0.7 * tdp_w / HIGHEST_W)
    return replace(made, gpu=kind, power=draws)


def _events(
    rng: Random, pools: Sequence[Pool], nodes: int, fabric: FabricSource | None
) -> tuple[tuple[PlannedEvent, ...], list[Pool]]:
    """What happens, in order of time, and the pools with room for what comes."""
    there = {one.name: one.replicas for one in pools}
    peak = dict(there)
    events: list[PlannedEvent] = []
    kinds = ["add", "add", "remove", "scale", "fail", "fail", "restore", "migrate", "defragment"]
    down: list[int] = []
    kv = ["lost", "moved"] if fabric is not None else ["lost"]
    for at_s in sorted(rng.randrange(1, 40) / 2 for _ in range(rng.randrange(4, 18))):
        kind, name = rng.choice(kinds), rng.choice(pools).name
        more: dict[str, Any] = {}
        if kind == "add":
            more = {"pool": name, "replicas": rng.choice([1, 1, 2, 4])}
            there[name] += more["replicas"]
        elif kind == "scale":
            more = {"pool": name, "replicas": rng.randrange(1, 7)}
            there[name] = more["replicas"]
        elif kind == "remove":
            if not there[name]:
                continue
            more = {"pool": name, "replicas": rng.randrange(1, there[name] + 1)}
            there[name] -= more["replicas"]
        elif kind == "fail":
            down.append(rng.randrange(1, nodes))
            more = {"node": down[-1]}
        elif kind == "restore":
            if not down:
                continue
            more = {"node": down.pop(rng.randrange(len(down)))}
        elif kind == "migrate":
            more = {"pool": name, "replica": rng.randrange(peak[name]), "kv": rng.choice(kv)}
        else:
            more = {"replicas": rng.randrange(1, 5), "kv": rng.choice(kv)}
        peak = {one: max(peak[one], there[one]) for one in peak}
        events.append(PlannedEvent(at_s, kind, **more))
    changing = {event.pool for event in events if event.kind in ("add", "remove", "scale")}
    grown = [
        replace(one, replicas=peak[one.name], starts=one.replicas) if one.name in changing else one
        for one in pools
    ]
    return tuple(events), grown


def _requests(rng: Random) -> Given:
    times = sorted(rng.uniform(0.0, DURATION_S) for _ in range(rng.choice([0, 20, 60])))
    return Given(
        [
            {
                "arrival_s": at_s,
                "input_tokens": rng.choice([1, 16, 100, 300]),
                "output_tokens": rng.choice([1, 17, 80, 200]),
            }
            for at_s in times
        ]
    )
