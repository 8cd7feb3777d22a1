"""Pools that prefill for others: each pair must serve one LLM, and a network must join them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sim.check.collector import Collector
from sim.check.scenario import Decode, Pool
from sim.policies.routing.prefix_aware import PrefixAware
from sim.spec.nodes import Path
from sim.spec.pools import PoolSpec


def check_decode(found: Collector, pools: Mapping[str, Pool]) -> dict[str, Pool]:
    """The pools, those that hand over knowing to whom, and those that take over without a cache."""
    joined = dict(pools)
    prefills: dict[str, str] = {}  # by the pool that decodes
    for i, spec in enumerate(found.document.spec.pools):
        if spec is None or spec.decode is None:
            continue
        here: Path = ("pools", i, "decode", "pool")
        name = spec.decode.pool
        names = found.names("pools")
        if name not in names.known:
            found.unknown(here, "pool", name, names)
        elif name == spec.name:
            found.error(here, "is the pool itself; leave 'decode' out where it decodes as well")
        elif name in prefills:
            found.error(
                here,
                f"{name!r} already decodes for {prefills[name]!r}; a pool decodes for one other",
            )
        else:
            prefills[name] = spec.name
            if _fits(found, spec, name, here, pools):
                decode = Decode(name, spec.decode.transfer == "by-layer")
                joined[spec.name] = replace(joined[spec.name], decode=decode)
                joined[name] = replace(joined[name], prefix_cache=False)
                if isinstance(joined[name].routing, PrefixAware):
                    found.warn(
                        here,
                        f"{name!r} keeps no prefixes, so 'prefix-aware' routing only loads some of "
                        "its replicas more: give it another, such as 'policies: {routing: {kind: "
                        "least-outstanding-tokens}}'",
                    )
    if prefills:
        _network(found)
    return joined


def _network(found: Collector) -> None:
    """Something must join the replicas of both pools."""
    spec = found.document.spec
    if spec.fabric is None and ("fabric",) not in found.document.failed:
        i = next(i for i, pool in enumerate(spec.pools) if pool and pool.decode)
        found.error(
            ("pools", i, "decode"),
            "KV moves to the pool that decodes over a network: state one, such as "
            "'fabric: {kind: rail-optimised}'",
        )
    elif spec.fabric is not None and spec.fabric.kind == "none":
        found.error(
            ("fabric", "kind"),
            "KV moves to the pool that decodes, and nothing would join the servers: write "
            "'kind: rail-optimised' or another network",
        )


def _fits(
    found: Collector, spec: PoolSpec, name: str, here: Path, pools: Mapping[str, Pool]
) -> bool:
    """Whether a pool can decode what ``spec`` prefills."""
    stated = (one for one in found.document.spec.pools if one is not None and one.name == name)
    other = next(stated, None)
    if other is None:
        return False  # what is wrong with it has been told
    place = found.document.spec.pools.index(other)
    fine = True
    if other.decode is not None:
        found.error(here, f"{name!r} hands over itself; the pool that decodes keeps its requests")
        fine = False
    if other.llm != spec.llm:
        found.error(
            here, f"{name!r} serves {other.llm!r}, this pool {spec.llm!r}: KV is of one LLM"
        )
        fine = False
    if "prefix_cache" in other.model_fields_set and other.prefix_cache:
        found.error(
            ("pools", place, "prefix_cache"),
            f"the prompts of {name!r} come from {spec.name!r} whole; only that one's cache counts",
        )
        fine = False
    if other.shed == "oldest":
        found.warn(
            ("pools", place, "shed"),
            f"has no effect: whoever waits in {name!r} was admitted by {spec.name!r} before, and "
            "is not pushed out any more",
        )
    for i, one in ((found.document.spec.pools.index(spec), spec), (place, other)):
        if one.data_parallel_attention > 1:
            found.error(
                ("pools", i, "data_parallel_attention"),
                "KV that moves between pools would be on some of the GPUs only, which is not "
                "modelled: leave it out where 'decode' is used",
            )
            fine = False
    pool = pools.get(name)
    if pool is None or spec.name not in pools:
        return False
    if pool.batching.mode == "static":
        found.error(
            here,
            f"{name!r} has static batches, which nobody can join; it takes chunked-prefill or "
            "prefill-first batching",
        )
        fine = False
    for i, workload in enumerate(found.document.spec.workload):
        if workload is not None and workload.pool == name:
            found.error(
                ("workload", i, "pool"),
                f"{name!r} decodes for {spec.name!r}; send the requests to {spec.name!r}",
            )
            fine = False
    return fine
