"""The ``pools`` section: what a replica needs, whether it fits, whether the site has the GPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sim import catalog
from sim.catalog.measured import MeasuredSteps
from sim.check.collector import Collector
from sim.check.demand import gpus_of, in_words, lacking
from sim.check.fleets import moments, peaks
from sim.check.measured import fits, known_steps
from sim.check.policies import make
from sim.check.scenario import LlmUse, Pool
from sim.check.silicon import known_silicon, silicon_model, warn_reduced
from sim.check.stock import GpuStock, no_split, stock
from sim.errors import RackplanError, UnknownName
from sim.perf import replica_model
from sim.perf.collectives.timing import time_collective
from sim.perf.measured import measured_model
from sim.perf.operators import (
    HALF,
    UnsupportedPlan,
    check_expert_parallel,
    check_groups,
    check_one_domain,
    check_parallel,
)
from sim.perf.own import OwnConstants
from sim.perf.remember import remembered
from sim.perf.silicon import Silicon, SiliconError
from sim.perf.stacks import Stack, stack_named
from sim.perf.step import ReplicaModel
from sim.site.types import Site
from sim.spec.nodes import Path
from sim.spec.pools import PoolSpec

#: Most points of a study have the replica of the point before.
_replica_model = remembered(replica_model)


@dataclass(frozen=True)
class Speeds:
    """Where the times of a pool's iterations come from, if not from what is shipped alone."""

    steps: MeasuredSteps | None = None
    stack: Stack | None = None
    silicon: Silicon | None = None
    own: OwnConstants | None = None


def check_pools(
    found: Collector,
    llms: Mapping[str, LlmUse],
    site: Site | None,
    policies: Mapping[str, Any],
    own: OwnConstants | None = None,
) -> dict[str, Pool]:
    """The usable pools by name; ``own`` constants are of one GPU type."""
    document = found.document
    found.unique("pool", ((("pools", i, "name"), name) for i, name in document.declared("pools")))
    have = None if site is None else stock(site)
    pools: dict[str, Pool] = {}
    most = peaks(document)
    for i, spec in enumerate(document.spec.pools):
        if spec is None:
            continue
        pool = _pool(spec, ("pools", i), llms, have, policies, own, found)
        if pool is not None and site is not None:
            pool = _in_racks(pool, spec, ("pools", i, "racks"), site, found)
        if pool is not None and pool.name in most:
            pool = replace(pool, replicas=most[pool.name].replicas, starts=spec.replicas)
        if pool is not None:
            pools.setdefault(pool.name, pool)
    if have is not None:
        any(lacking(found, have, moment) for moment in moments(document))
    return pools


def _pool(
    spec: PoolSpec,
    path: Path,
    llms: Mapping[str, LlmUse],
    have: Mapping[str, GpuStock] | None,
    policies: Mapping[str, Any],
    own: OwnConstants | None,
    found: Collector,
) -> Pool | None:
    roles = _roles(spec, path, policies, found)
    if "shed" in spec.model_fields_set and spec.max_queue is None:
        found.warn((*path, "shed"), "has no effect without max_queue")
    use = llms.get(spec.llm)
    declared_llm(spec.llm, (*path, "llm"), found)
    gpu = None if spec.gpu is None else known_gpu(spec.gpu, (*path, "gpu"), have, found)
    silicon = None
    if spec.silicon is not None:
        silicon = known_silicon(spec, path, found)
        if silicon is None:
            return None
    steps = None
    if spec.measured is not None:
        steps = known_steps(spec.measured, (*path, "measured"), found)
        if steps is None:
            return None
    if use is None or have is None or not _parallel(spec, use, path, found):
        return None
    if "batching" not in roles or "routing" not in roles or (spec.gpu is not None and gpu is None):
        return None
    if steps is not None:
        if not fits(steps, spec, use, roles["batching"], path, found):
            return None
        gpu = known_gpu(steps.gpu, (*path, "measured"), have, found) if gpu is None else gpu
        if gpu is None:
            return None
    stack = None
    if spec.stack is not None:
        stack = _stack(spec, use, (*path, "stack"), found)
        if stack is None:
            return None
    kinds = have if gpu is None else {gpu: have[gpu]}
    models = _models(spec, use, kinds, roles, Speeds(steps, stack, silicon, own), path, found)
    if not models:
        return None
    return Pool(
        name=spec.name,
        llm=use,
        tensor_parallel=spec.tensor_parallel,
        pipeline_parallel=spec.pipeline_parallel,
        replicas=spec.replicas,
        priority=spec.priority,
        gpu=gpu,
        max_queue=spec.max_queue,
        shed=spec.shed,
        models=models,
        routing=roles["routing"],
        batching=roles["batching"],
        prefix_cache=spec.prefix_cache,
        measured=steps,
        expert_parallel=spec.expert_parallel,
        data_parallel_attention=spec.data_parallel_attention,
        expert_routing=spec.expert_routing,
        stack=None if stack is None else stack.name,
        silicon=silicon,
        tenant=spec.tenant or "",
        isolation=spec.isolation or "",
    )


def _stack(spec: PoolSpec, use: LlmUse, path: Path, found: Collector) -> Stack | None:
    """The serving stack that is named, or None (and a problem)."""
    if spec.measured is not None:
        found.error(path, "measured steps have their serving stack in them: drop one of both")
        return None
    try:
        return stack_named(spec.stack or "", use.precision)
    except UnknownName as error:
        found.caught(path, error)
    except RackplanError as error:
        found.error(path, str(error))
    return None


def _in_racks(pool: Pool, spec: PoolSpec, path: Path, site: Site, found: Collector) -> Pool | None:
    """The pool with the racks that it may use; they must be there, and large enough for it."""
    if spec.racks is None:
        return pool
    unknown = [i for i, name in enumerate(spec.racks) if name not in site.rack_names]
    for i in unknown:
        found.caught((*path, i), UnknownName("rack", spec.racks[i], site.rack_names))
    if unknown or not found.unique("rack", (((*path, i), n) for i, n in enumerate(spec.racks))):
        return None
    racks = tuple(site.rack_names.index(name) for name in spec.racks)
    mine = np.isin(site.node_rack[site.gpu_node], racks)
    room = int(np.count_nonzero(mine))
    if room < gpus_of(spec):
        found.error(
            path, f"{in_words([(0, spec)])} need {gpus_of(spec):,} GPUs, these racks have {room}"
        )
        return None
    return replace(pool, racks=racks)


def _roles(
    spec: PoolSpec, path: Path, policies: Mapping[str, Any], found: Collector
) -> dict[str, Any]:
    roles = {role: policies[role] for role in ("routing", "batching") if role in policies}
    for role in ("routing", "batching"):
        own = None if spec.policies is None else getattr(spec.policies, role)
        if own is not None:
            policy = make(role, own, (*path, "policies", role), found)
            roles.pop(role, None)
            if policy is not None:
                roles[role] = policy
    return roles


def declared_llm(name: str, path: Path, found: Collector) -> None:
    """Report an LLM that ``llms`` does not declare."""
    names = found.names("llms")
    # An entry that the catalog does not know may be this one, misspelt: that is one slip, not two.
    if name not in names.known and all(
        map(_listed, found.document.mentioned("llms", "name") or ())
    ):
        found.unknown(path, "LLM", name, names)


def _listed(name: str) -> bool:
    try:
        catalog.llm(name)
    except UnknownName:
        return False
    return True


def known_gpu(
    name: str, path: Path, have: Mapping[str, GpuStock] | None, found: Collector
) -> str | None:
    """Our name of this GPU type, or None (and a problem) if it is unknown or not in the site."""
    try:
        gpu = catalog.canonical_gpu(name)
    except UnknownName as error:
        found.caught(path, error)
        return None
    if have is not None and gpu not in have:
        found.error(path, f"the site has no {gpu}; it has {', '.join(have)}")
        return None
    return gpu


def _parallel(spec: PoolSpec, use: LlmUse, path: Path, found: Collector) -> bool:
    """Whether every degree divides what it cuts; each problem at its own key."""
    llm, ranks = use.llm, spec.tensor_parallel
    parts, groups = spec.expert_parallel, spec.data_parallel_attention
    fine = True
    for key, check in (
        ("expert_parallel", partial(check_expert_parallel, llm, ranks, parts)),
        ("data_parallel_attention", partial(check_groups, llm, ranks, groups)),
        ("pipeline_parallel", partial(check_parallel, llm, 1, spec.pipeline_parallel)),
    ):
        fine = _holds(check, (*path, key), found) and fine
    if not any(
        found.blames((*path, key)) for key in ("expert_parallel", "data_parallel_attention")
    ):
        check = partial(check_parallel, llm, ranks, 1, parts, groups)
        fine = _holds(check, (*path, "tensor_parallel"), found) and fine
    if "expert_routing" in spec.model_fields_set and not llm.experts:
        found.warn((*path, "expert_routing"), f"has no effect: {llm.name} has no experts")
    return fine


def _holds(check: Callable[[], None], path: Path, found: Collector) -> bool:
    """Whether a check of degrees passes; else it is told at ``path``."""
    try:
        check()
    except UnsupportedPlan as error:
        found.caught(path, error)
        return False
    return True


def _models(
    spec: PoolSpec,
    use: LlmUse,
    have: Mapping[str, GpuStock],
    roles: Mapping[str, Any],
    speeds: Speeds,
    path: Path,
    found: Collector,
) -> dict[str, ReplicaModel]:
    """GPU type → the replica's model on it; problems only if it fits on none."""
    splits = {name: kind.split(spec.tensor_parallel) for name, kind in have.items()}
    if not any(splits.values()):
        found.error((*path, "tensor_parallel"), no_split(spec.tensor_parallel, have))
        return {}
    check = partial(
        check_one_domain, spec.data_parallel_attention, min(filter(None, splits.values()))
    )
    if not _holds(check, (*path, "data_parallel_attention"), found):
        return {}
    models: dict[str, ReplicaModel] = {}
    refusals: list[tuple[str, str]] = []
    for name, kind in have.items():
        if not splits[name]:
            continue
        try:
            model = _model(spec, use, kind, roles["batching"], speeds)
            if speeds.silicon is not None:
                model = silicon_model(model, spec, use, kind, roles["batching"], speeds.silicon)
        except RackplanError as error:
            at = "measured" if speeds.steps is not None else "llm"
            refusals.append(("silicon" if isinstance(error, SiliconError) else at, str(error)))
        else:
            models[name] = model
            warn_reduced(model, path, found)
            if splits[name] > 1 and speeds.steps is None:
                _warn_between(spec, use, kind, roles["batching"].max_batch_tokens, path, found)
    for key, refusal in dict.fromkeys(refusals):
        if models:
            found.warn(path, f"no replica is placed where it does not fit: {refusal}")
        else:
            found.error((*path, key), refusal)
    return models


def _warn_between(
    spec: PoolSpec, use: LlmUse, kind: GpuStock, most_tokens: int, path: Path, found: Collector
) -> None:
    """What of the all-reduces between servers was not measured."""
    between = kind.between()
    token_bytes = use.llm.hidden * HALF
    timed = [
        time_collective(
            "all-reduce", tokens * token_bytes, kind.gpu.name, spec.tensor_parallel,
            domains=kind.split(spec.tensor_parallel), between=between,
        )
        for tokens in (1, most_tokens)
    ]  # fmt: skip
    basis = dict.fromkeys(reason for one in timed for reason in one.basis)
    if basis:
        error = max(one.error for one in timed)
        found.warn(
            (*path, "tensor_parallel"),
            f"time of all-reduces between NVLink domains may be {100 * error:.0f} % off: "
            f"{'; '.join(basis)}",
        )


def _model(
    spec: PoolSpec,
    use: LlmUse,
    kind: GpuStock,
    batching: Any,
    speeds: Speeds,
) -> ReplicaModel:
    group = spec.tensor_parallel
    domains = kind.split(group)
    if speeds.steps is not None:
        return measured_model(
            use.llm,
            kind.gpu,
            speeds.steps,
            precision=use.precision,
            kv_precision=use.kv_precision,
            max_sequences=batching.max_sequences,
            max_batch_tokens=batching.max_batch_tokens,
            memory_utilisation=batching.memory_utilisation,
            domains=domains,
        )
    node = kind.node
    inside = group * spec.pipeline_parallel <= kind.width
    stage = kind.gpu.link_bytes_per_s if inside else node.nics * node.nic_bytes_per_s / node.gpus
    return _replica_model(
        use.llm,
        kind.gpu,
        precision=use.precision,
        kv_precision=use.kv_precision,
        tensor_parallel=group,
        pipeline_parallel=spec.pipeline_parallel,
        max_sequences=batching.max_sequences,
        max_batch_tokens=batching.max_batch_tokens,
        memory_utilisation=batching.memory_utilisation,
        stage_bytes_per_s=group * stage,
        domains=domains,
        between=kind.between() if domains > 1 else None,
        expert_parallel=spec.expert_parallel,
        data_parallel_attention=spec.data_parallel_attention,
        expert_routing=spec.expert_routing,
        stack=speeds.stack,
        own=speeds.own if speeds.own and speeds.own.gpu == kind.gpu.name else None,
    )
