"""build: a checked scenario and a seed become a world: replicas on GPUs, request sources."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from sim.check.scenario import Pool, Scenario
from sim.engine.arbiter import RackPower, check_placement, decision
from sim.engine.world import PlacedReplica, World
from sim.errors import BuildError
from sim.policies.base import PlacementView, kind_of
from sim.policies.ranked import Ranked
from sim.rng import KeyedBits
from sim.site.fabric.source import servers_only
from sim.workload import build_source

#: A policy that goes on suggesting what cannot hold is cut off after this many refusals.
MOST_SUGGESTIONS = 100_000


def build(scenario: Scenario, seed: int) -> World:
    """The world of ``scenario`` under ``seed``.

    Raises:
        BuildError: a replica for which the placement policy has no place that holds, or one on
            several servers that nothing joins.
    """
    replicas, decisions = _place(scenario, seed)
    if scenario.fabric is not None and scenario.fabric.kind == "none":
        _stand_alone(scenario, replicas)
    sources = tuple(
        build_source(workload, index=index, seed=seed, duration_s=scenario.duration_s)
        for index, workload in enumerate(scenario.workloads)
    )
    fabric = None
    if scenario.moves:
        fabric = (scenario.fabric or servers_only(scenario.storage)).build(scenario.site)
    return World(scenario, seed, sources, replicas, decisions, fabric)


def _stand_alone(scenario: Scenario, replicas: tuple[PlacedReplica, ...]) -> None:
    """Where nothing but NVLink joins servers, no replica may have GPUs of several domains."""
    site = scenario.site
    for placed in replicas:
        if len(set(site.gpu_domain[list(placed.gpus)].tolist())) > 1:
            names = [site.node_names[server] for server, _ in placed.servers]
            key = "pipeline_parallel" if placed.model.across is None else "tensor_parallel"
            raise BuildError(
                f"pools[{scenario.pools[placed.pool].name}].{key}",
                f"a replica has GPUs in {', '.join(names[:-1])} and {names[-1]}, and "
                "'fabric: {kind: none}' joins no servers: write 'kind: rail-optimised' or another "
                "network",
            )


def _place(
    scenario: Scenario, seed: int
) -> tuple[tuple[PlacedReplica, ...], tuple[dict[str, Any], ...]]:
    """Place every replica of every pool, in the order of the scenario."""
    site = scenario.site
    free = np.ones(site.gpus, dtype=bool)
    policy = scenario.placement
    chooser, state = policy, None
    if hasattr(policy, "decide"):
        state = policy.new_state()
    else:
        pools = scenario.pools
        groups = [(p.tensor_parallel, p.replicas * p.pipeline_parallel) for p in pools]
        chooser = Ranked(policy, seed, groups)
    placed: list[PlacedReplica] = []
    log: list[dict[str, Any]] = []
    racks: RackPower | None = None
    for index, pool in enumerate(scenario.pools):
        fits = [gpu.name in pool.models and pool.gpu in (None, gpu.name) for gpu in site.gpu_types]
        of_type = np.array(fits)[site.gpu_node]
        if pool.racks:
            of_type &= np.isin(site.node_rack[site.gpu_node], pool.racks)
        rng = KeyedBits(seed, f"policy/placement/{pool.name}")
        for replica in range(pool.replicas):
            allowed = free & of_type
            allowed.flags.writeable = False
            view = PlacementView(
                site=site,
                allowed=allowed,
                tensor_parallel=pool.tensor_parallel,
                pipeline_parallel=pool.pipeline_parallel,
                pool=pool.name,
                replica=replica,
            )
            racks = racks or RackPower(view)
            gpus = _decide(chooser, state, view, pool, rng, racks, log, kind_of(policy))
            racks.accept(gpus)
            free[list(gpus)] = False
            servers = sorted(Counter(int(site.gpu_node[gpu]) for gpu in gpus).items())
            kind = site.gpu_types[servers[0][0]].name
            placed.append(PlacedReplica(index, pool.models[kind], gpus, tuple(servers)))
    return tuple(placed), tuple(log)


def _decide(
    policy: Any,
    state: Any,
    view: PlacementView,
    pool: Pool,
    rng: KeyedBits,
    racks: RackPower,
    log: list[dict[str, Any]],
    kind: str,
) -> tuple[int, ...]:
    """The first suggestion that holds; every refusal of a new kind is logged with its reason."""
    subject = f"{pool.name} replica {view.replica}"
    refusals: Counter[str] = Counter()
    for rank, suggestion in enumerate(policy.decide(view, state, rng)):
        gpus = tuple(int(gpu) for gpu in suggestion)
        refusal = check_placement(view, pool, gpus) or racks.refuse(gpus)
        text = " ".join(map(str, gpus))
        if refusal is None:
            log.append(decision(0.0, "placement", kind, subject, rank, text, None))
            return gpus
        if refusal.code not in refusals:
            log.append(decision(0.0, "placement", kind, subject, rank, text, refusal))
        refusals[refusal.code] += 1
        if rank >= MOST_SUGGESTIONS:
            break
    free = int(np.count_nonzero(view.allowed))
    where = " in its racks" if pool.racks else ""
    why = ", ".join(f"{n} × {code}" for code, n in sorted(refusals.items())) or "no suggestion"
    raise BuildError(
        f"pools[{pool.name}].replicas",
        f"replica {view.replica + 1} of {pool.replicas} has no place: it needs "
        f"{pool.tensor_parallel * pool.pipeline_parallel} GPUs "
        f"(tensor-parallel groups of {pool.tensor_parallel} in {_domains(pool)}), {free} suitable "
        f"GPUs are free{where}, and {kind} found none that hold ({why})",
    )


def _domains(pool: Pool) -> str:
    """How many NVLink domains a tensor-parallel group of this pool takes, in words."""
    counts = sorted({model.across.domains if model.across else 1 for model in pool.models.values()})
    if counts == [1]:
        return "one NVLink domain"
    return f"{' or '.join(map(str, counts))} whole NVLink domains"
