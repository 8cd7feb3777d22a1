"""A pool's ``silicon``: step times from aiconfigurator-core, and what they cannot be asked for."""

from __future__ import annotations

from typing import Any

from sim.check.collector import Collector
from sim.check.scenario import LlmUse
from sim.check.stock import GpuStock
from sim.errors import RackplanError
from sim.perf.silicon import Plan, Silicon, silicon_named, with_silicon
from sim.perf.step import ReplicaModel
from sim.spec.nodes import Path
from sim.spec.pools import PoolSpec


def known_silicon(spec: PoolSpec, path: Path, found: Collector) -> Silicon | None:
    """The kernels that are named, or None (and a problem)."""
    assert spec.silicon is not None
    here = (*path, "silicon")
    for other, why in (
        ("measured", "measured steps are step times of their own"),
        ("stack", "a stack's overheads were fitted beside other kernels"),
    ):
        if getattr(spec, other) is not None:
            found.error(here, f"{why}: drop one of silicon and {other}")
            return None
    if spec.expert_routing == "uniform" and "expert_routing" in spec.model_fields_set:
        found.error(
            (*path, "expert_routing"),
            "the step times of silicon have experts chosen as aiconfigurator-core measured them: "
            "leave it out",
        )
        return None
    try:
        return silicon_named(spec.silicon.backend, spec.silicon.version)
    except RackplanError as error:
        found.caught(here, error)
        return None


def silicon_model(
    model: ReplicaModel,
    spec: PoolSpec,
    use: LlmUse,
    kind: GpuStock,
    batching: Any,
    silicon: Silicon,
) -> ReplicaModel:
    """The pool's replica with these step times.

    Raises:
        SiliconError: as ``with_silicon``.
    """
    plan = Plan(
        precision=use.precision,
        kv_precision=use.kv_precision,
        tensor_parallel=spec.tensor_parallel,
        max_sequences=batching.max_sequences,
        max_batch_tokens=batching.max_batch_tokens,
        pipeline_parallel=spec.pipeline_parallel,
        expert_parallel=spec.expert_parallel,
        data_parallel_attention=spec.data_parallel_attention,
        domains=kind.split(spec.tensor_parallel),
    )
    return with_silicon(model, use.llm, kind.gpu, plan, silicon)


def warn_reduced(model: ReplicaModel, path: Path, found: Collector) -> None:
    """Says whose step times a replica has, and what their reduction loses."""
    reduction = model.reduction
    if reduction is not None:
        found.warn(
            (*path, "silicon"),
            f"step times on {model.gpu} are from {reduction.estimator}, reduced to the engine's "
            f"form within {100 * reduction.median:.1f} % (median; P90 {100 * reduction.p90:.0f} %) "
            f"on {reduction.batches} batches that the reduction had not seen; memory, draw and "
            "lower clocks are of our own model",
        )
