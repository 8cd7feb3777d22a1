"""build: a checked scenario and a seed become a world: replicas on GPUs, request sources."""

from __future__ import annotations

from sim.check.scenario import Scenario
from sim.engine.places import NoPlace, Places
from sim.engine.world import PlacedReplica, World
from sim.errors import BuildError
from sim.site.fabric.source import servers_only
from sim.workload import build_source


def build(scenario: Scenario, seed: int, *, peak: bool = False) -> World:
    """The world of ``scenario`` under ``seed``.

    Replicas that come later have no place yet; with ``peak`` they have one, as far as there is
    room beside everybody else.

    Raises:
        BuildError: a replica for which the placement policy has no place that holds, or one on
            several servers that nothing joins.
    """
    places = _place(scenario, seed, peak)
    replicas = tuple(places.now)
    if scenario.fabric is not None and scenario.fabric.kind == "none":
        _stand_alone(scenario, replicas)
    sources = tuple(
        build_source(workload, index=index, seed=seed, duration_s=scenario.duration_s)
        for index, workload in enumerate(scenario.workloads)
    )
    fabric = None
    if scenario.moves:
        fabric = (scenario.fabric or servers_only(scenario.storage)).build(scenario.site)
    return World(scenario, seed, sources, replicas, tuple(places.log), fabric, places)


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


def _place(scenario: Scenario, seed: int, peak: bool) -> Places:
    """Place every replica that is there from the start, in the order of the scenario."""
    places = Places(scenario, seed)
    for replica, nowhere in enumerate(places.now):
        pool = scenario.pools[nowhere.pool]
        later = pool.starts is not None and places.position[replica] >= pool.starts
        if later and not peak:
            continue
        try:
            places.take(replica, places.find(replica, 0.0))
        except NoPlace as error:
            if later:
                continue
            raise BuildError(f"pools[{pool.name}].replicas", str(error)) from error
    return places
