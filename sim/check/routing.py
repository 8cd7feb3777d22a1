"""Routing policies against what a scenario lets them know: a blind one is worth a warning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sim.check.collector import Collector
from sim.check.scenario import Pool
from sim.errors import DataError
from sim.policies.routing.power_aware import PowerAware
from sim.policies.routing.session_affinity import SessionAffinity
from sim.policies.routing.slo_aware import SloAware
from sim.site.types import PowerTree
from sim.spec.nodes import Path
from sim.workload import probe_trace
from sim.workload.plan import Workload
from sim.workload.table import with_sessions


def check_routing(
    found: Collector,
    pools: Mapping[str, Pool],
    workloads: Iterable[Workload],
    power: PowerTree | None,
) -> None:
    """Warn where a pool's router looks at what the scenario does not tell."""
    places = {name: i for i, name in found.document.declared("workload")}
    for workload in workloads:
        pool = pools[workload.pool]
        _router(found, pool, workload, ("workload", places[workload.name]))
        if pool.decode is not None and pool.decode.pool in pools:
            decodes = pools[pool.decode.pool]
            _router(found, decodes, workload, ("workload", places[workload.name]))
    for i, name in found.document.declared("pools"):
        if power is not None and name in pools:
            _levels(found, pools[name], power, ("pools", i))


def _router(found: Collector, pool: Pool, workload: Workload, path: Path) -> None:
    router = pool.routing
    whose = f"routing policy of pool {pool.name!r}"
    if isinstance(router, SessionAffinity) and not _has_sessions(workload):
        if _has_prefixes(workload) and router.prefix_blocks:
            fallback = "the beginning of each prompt stands for one"
        else:
            fallback = "its requests go to the replica with the fewest outstanding tokens"
        found.warn(
            path,
            f"tells no sessions, which 'session-affinity', the {whose}, goes by: {fallback} "
            "(clients, a trace's column 'session', and rows that follow others are sessions)",
        )
    if isinstance(router, SloAware) and workload.objectives.ttft_s is None:
        found.warn(
            path,
            f"has no TTFT objective, which 'slo-aware', the {whose}, goes by: its requests go to "
            "the replica with the fewest outstanding tokens; write 'slo: {ttft: 2 s}', say",
        )


def _has_prefixes(workload: Workload) -> bool:
    if workload.trace is not None:
        return workload.trace.prefix_block_tokens is not None
    return workload.synthetic is not None and workload.synthetic.shared_prefix is not None


def _has_sessions(workload: Workload) -> bool:
    """Whether sessions are known, going by the first rows of a trace."""
    if workload.trace is None:
        return workload.clients is not None
    try:
        table = probe_trace(workload.trace, generative=workload.kind != "embedding")
    except DataError:
        return True  # has been told
    return with_sessions(table).session is not None


def _levels(found: Collector, pool: Pool, power: PowerTree, path: Path) -> None:
    """A level with one node, or none, tells no replica from another."""
    if isinstance(pool.routing, PowerAware):
        level = pool.routing.level
        nodes = sum(node.kind == level for node in power.nodes)
        if nodes < 2:
            have = f"one {level}" if nodes else f"no {level}"
            found.warn(
                path,
                f"the electrical tree has {have}, so 'power-aware' routing with 'level: {level}' "
                "only goes by outstanding tokens",
            )
