"""``weights`` of pools: what a replica that starts loads must be somewhere it can get it from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sim import catalog
from sim.check.collector import Collector
from sim.check.scenario import Pool, Weights
from sim.perf.replica import rank_weight_bytes
from sim.site.fabric.source import FabricSource
from sim.spec.nodes import Path
from sim.spec.pools import WeightsSpec


def check_weights(
    found: Collector, pools: Mapping[str, Pool], fabric: FabricSource | None
) -> dict[str, Pool]:
    """The pools, those that state ``weights`` knowing what they load and where from."""
    loading = dict(pools)
    spec = found.document.spec
    stated = [(i, one) for i, one in enumerate(spec.pools) if one is not None and one.weights]
    for i, one in stated:
        assert one.weights is not None
        path: Path = ("pools", i, "weights")
        if _sources(found, one.weights, path, fabric) and one.name in loading:
            pool = loading[one.name]
            loading[one.name] = replace(pool, weights=_weights(one.weights, pool))
    if spec.storage is not None and not stated and ("pools",) not in found.document.failed:
        found.warn(("storage",), "no pool loads from it; one does with 'weights: {from: storage}'")
    restart = spec.power is not None and "restart" in spec.power.model_fields_set
    if restart and stated and all(one is not None and one.weights for one in spec.pools):
        found.warn(("power", "restart"), "means nothing: every pool states its 'weights'")
    return loading


def _weights(spec: WeightsSpec, pool: Pool) -> Weights:
    each = {
        gpu: rank_weight_bytes(
            pool.llm.llm,
            catalog.gpu(gpu),
            precision=pool.llm.precision,
            kv_precision=pool.llm.kv_precision,
            tensor_parallel=pool.tensor_parallel,
            pipeline_parallel=pool.pipeline_parallel,
            expert_parallel=pool.expert_parallel,
            data_parallel_attention=pool.data_parallel_attention,
        )
        for gpu in pool.models
    }
    return Weights(spec.source, spec.boot, spec.multicast, spec.start == "cold", each)


def _sources(found: Collector, spec: WeightsSpec, path: Path, fabric: FabricSource | None) -> bool:
    """Whether there is what a pool wants to load from; if not it is told."""
    document = found.document
    storage = document.spec.storage
    unsure = ("storage",) in document.failed or ("fabric",) in document.failed
    nodes = storage is not None and storage.nodes is not None
    here: Path = (*path, "from") if document.mark((*path, "from")).line else path
    fine = True
    if spec.multicast and spec.source != "peers":
        found.error(
            (*path, "multicast"),
            f"replicas serve each other with 'from: peers', not 'from: {spec.source}'",
        )
        fine = False
    if unsure:
        return False
    if spec.source == "storage" and not nodes:
        found.error(here, "no storage node is stated: write 'storage: {nodes: 2, read: 20 GB/s}'")
        fine = False
    elif spec.source == "local" and (storage is None or storage.local is None):
        found.error(
            here,
            "state what the disks of a server deliver to its GPUs: 'storage: {local: 10 GB/s}'",
        )
        fine = False
    elif spec.source == "peers":
        fine = _peers(found, spec, path, here, fabric, nodes=nodes) and fine
    return fine


def _peers(
    found: Collector,
    spec: WeightsSpec,
    path: Path,
    here: Path,
    fabric: FabricSource | None,
    *,
    nodes: bool,
) -> bool:
    """Whether replicas can reach each other, and somebody can be the first."""
    stated = found.document.spec.fabric is not None
    if (not stated and fabric is None) or (fabric is not None and fabric.kind == "none"):
        found.error(
            here,
            "replicas load from each other over a network: state one, such as "
            "'fabric: {kind: rail-optimised}'",
        )
        return False
    if nodes:
        return True
    if spec.start == "cold":
        found.error(
            (*path, "start"),
            "nobody is loaded to begin with: state storage nodes, 'storage: {nodes: 2}', or "
            "'start: loaded'",
        )
        return False
    found.warn(
        path,
        "without storage nodes a replica waits while no other of its pool is loaded, for ever if "
        "all are down at once; 'storage: {nodes: 2}' states some",
    )
    return True
