"""``replica_model``: an LLM on a group of GPUs, reduced to the tables that the engine needs.

Pipeline parallelism is its steady state: ``pp`` micro-batches are under way, each 1/pp of the
batch, so an iteration (every sequence advances by one token) takes pp times what the slowest
stage needs for one of them, plus the boundary transfers that one micro-batch waits for. Filling
and draining the pipe is not modelled, so what has no others to share it with (a lone prompt's
prefill, the context of a lone sequence) comes out up to pp times too fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sim.catalog.types import PRECISION_BYTES, Gpu, Llm
from sim.errors import RackplanError, UnknownName
from sim.perf.across import across
from sim.perf.calibration import clock_curve
from sim.perf.collectives.timing import Between
from sim.perf.experts import ROUTINGS
from sim.perf.gemm import FULL_CLOCK, Clock
from sim.perf.memory import DoesNotFit, Memory, does_not_fit, held_weight_bytes, stage_memory
from sim.perf.operators import (
    Shard,
    UnsupportedPlan,
    check_one_domain,
    check_parallel,
    shard,
)
from sim.perf.own import OwnConstants
from sim.perf.power import Draw
from sim.perf.reduce import step_costs
from sim.perf.stacks import Parts, Stack, take_apart
from sim.perf.step import ReplicaModel, StepCost
from sim.perf.timing import Stage

__all__ = ["DoesNotFit", "UnsupportedPlan", "replica_model"]


def replica_model(
    llm: Llm,
    gpu: Gpu,
    *,
    precision: str,
    kv_precision: str,
    tensor_parallel: int,
    pipeline_parallel: int,
    max_sequences: int,
    max_batch_tokens: int,
    memory_utilisation: float,
    stage_bytes_per_s: float,
    domains: int = 1,
    between: Between | None = None,
    expert_parallel: int = 1,
    data_parallel_attention: int = 1,
    expert_routing: str = "uniform",
    stack: Stack | None = None,
    own: OwnConstants | None = None,
) -> ReplicaModel:
    """What the engine needs to know about a replica of ``llm`` on this GPU type.

    ``stage_bytes_per_s`` is the rate at which a whole stage sends to the next (unused with one
    stage). A tensor-parallel group has equally many GPUs in each of ``domains`` NVLink domains,
    which ``between`` joins. ``expert_parallel`` parts of it hold whole experts, chosen as
    ``expert_routing`` says; it is ``data_parallel_attention`` groups with sequences of their own.
    ``stack``: the serving stack; None has the pooled overheads. ``own``: constants of products on
    this GPU; None has the shipped ones.

    Raises:
        DoesNotFit: weights and reserves leave no KV block; the message has the arithmetic.
        UnsupportedPlan: a precision the GPU lacks, or a degree that divides nothing.
        UnknownName: a precision that is not canonical, a routing that is none.
        RackplanError: more sequences than tokens in a batch; domains that do not come out even, or
            a GPU on which no collective can be timed.
    """
    groups = data_parallel_attention
    check_parallel(llm, tensor_parallel, pipeline_parallel, expert_parallel, groups)
    check_one_domain(groups, domains)
    _check(kv_precision, expert_routing, max_sequences, max_batch_tokens)
    stages = [
        shard(llm, gpu, precision, kv_precision, tensor_parallel, layers,
              expert_parallel=expert_parallel, data_parallel_attention=groups,
              expert_routing=expert_routing)
        for layers in stage_layers(llm.layers, pipeline_parallel)
    ]  # fmt: skip
    memory = tightest_memory(stages, llm, gpu, max_sequences, max_batch_tokens, memory_utilisation)
    gpus = tensor_parallel * pipeline_parallel
    if memory.blocks < 1:
        raise does_not_fit(llm, precision, gpu, gpus, memory)
    draw = Draw(stages[0], gpu, gpus, pipeline_parallel, max_sequences, max_batch_tokens,
                llm.max_context, llm.window)  # fmt: skip
    slowest = Stage(stages[0], gpu, tensor_parallel, FULL_CLOCK, domains, between, kv_precision,
                    -(-max_sequences // (pipeline_parallel * groups)), llm.max_context,
                    own)  # fmt: skip
    shares = clock_shares(gpu)
    costs = _costs(slowest, llm, shares, stack, pipeline_parallel, max_sequences, max_batch_tokens,
                   stage_bytes_per_s)  # fmt: skip
    return ReplicaModel(
        gpu.name, gpus, costs,
        power=tuple(draw.table(costs[0], share) for share in shares),
        clocks_hz=tuple(share * gpu.max_clock_hz for share in shares),
        kv_blocks=memory.blocks,
        memory=memory.parts(),
        stage_bytes_per_s=stage_bytes_per_s,
        across=None if between is None else across(gpu.name, tensor_parallel, domains, between),
    )  # fmt: skip


def _costs(
    stage: Stage,
    llm: Llm,
    shares: Sequence[float],
    stack: Stack | None,
    pipeline_parallel: int,
    max_sequences: int,
    max_batch_tokens: int,
    stage_bytes_per_s: float,
) -> tuple[StepCost, ...]:
    """The costs at each clock; with a stack, its parameters in place of the pooled overheads."""
    stages = [replace(stage, clock=clock_factors(share)) for share in shares]
    costs = step_costs(
        stages, sum(share > clock_curve().brake for share in shares), pipeline_parallel,
        llm.window if llm.windowed_layers else 0, max_sequences, max_batch_tokens,
        stage_bytes_per_s,
    )  # fmt: skip
    if stack is None:
        return costs
    return tuple(
        take_apart(cost, at_clock, pipeline_parallel, max_sequences).with_stack(stack.parameters)
        for cost, at_clock in zip(costs, stages, strict=True)
    )


def cost_parts(
    llm: Llm,
    gpu: Gpu,
    cost: StepCost,
    *,
    precision: str,
    kv_precision: str,
    tensor_parallel: int,
    max_sequences: int,
    expert_parallel: int = 1,
    data_parallel_attention: int = 1,
) -> Parts:
    """The parts of a cost without a stack and with one stage, for fits of serving stacks."""
    whole = shard(
        llm, gpu, precision, kv_precision, tensor_parallel, llm.layers,
        expert_parallel=expert_parallel, data_parallel_attention=data_parallel_attention,
    )  # fmt: skip
    stage = Stage(
        whole, gpu, tensor_parallel, FULL_CLOCK, kv_precision=kv_precision,
        most_sequences=-(-max_sequences // data_parallel_attention), most_context=llm.max_context,
    )  # fmt: skip
    return take_apart(cost, stage, 1, max_sequences)


def _check(kv_precision: str, routing: str, max_sequences: int, max_batch_tokens: int) -> None:
    """Raises ``UnknownName`` or ``RackplanError`` unless names are known and a batch is one."""
    if routing not in ROUTINGS:
        raise UnknownName("routing of experts", routing, ROUTINGS)
    if kv_precision not in PRECISION_BYTES:
        raise UnknownName("KV precision", kv_precision, PRECISION_BYTES)
    if not 1 <= max_sequences <= max_batch_tokens:
        raise RackplanError(
            f"max_sequences {max_sequences} must be between 1 and max_batch_tokens "
            f"{max_batch_tokens}: each decoding sequence needs a token of the batch"
        )


def tightest_memory(
    stages: Sequence[Shard],
    llm: Llm,
    gpu: Gpu,
    max_sequences: int,
    max_batch_tokens: int,
    memory_utilisation: float,
) -> Memory:
    """The memory of the stage that holds the fewest KV blocks (of those, the least left)."""
    memories = [
        stage_memory(
            stage,
            llm,
            gpu,
            first=i == 0,
            last=i == len(stages) - 1,
            max_sequences=max_sequences,
            max_batch_tokens=max_batch_tokens,
            memory_utilisation=memory_utilisation,
        )
        for i, stage in enumerate(stages)
    ]
    return min(memories, key=lambda memory: (memory.blocks, memory.left_bytes))


def rank_weight_bytes(
    llm: Llm,
    gpu: Gpu,
    *,
    precision: str,
    kv_precision: str,
    tensor_parallel: int,
    pipeline_parallel: int,
    expert_parallel: int = 1,
    data_parallel_attention: int = 1,
) -> tuple[float, ...]:
    """Bytes of weights that one GPU of each stage holds, the first stage first.

    What every rank repeats (norms, routers, KV heads beyond one each) counts for each.
    """
    stages = stage_layers(llm.layers, pipeline_parallel)
    return tuple(
        held_weight_bytes(
            shard(
                llm,
                gpu,
                precision,
                kv_precision,
                tensor_parallel,
                layers,
                expert_parallel=expert_parallel,
                data_parallel_attention=data_parallel_attention,
            ),
            llm,
            first=i == 0,
            last=i == len(stages) - 1,
        )
        for i, layers in enumerate(stages)
    )


def stage_layers(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each stage, as even as can be; the first stages take what is over."""
    base, over = divmod(layers, stages)
    return tuple(base + (stage < over) for stage in range(stages))


def clock_shares(gpu: Gpu) -> tuple[float, ...]:
    """Clock levels of this GPU as shares of its maximum, from 1 down to the brake's.

    Levels below what it supports are left out.
    """
    lowest = gpu.min_clock_hz / gpu.max_clock_hz
    curve = clock_curve()
    return tuple(share for share in (*curve.levels, curve.brake) if share >= lowest)


def clock_factors(share: float) -> Clock:
    """How compute and memory terms stretch at ``share`` of the maximum clock."""
    return Clock(compute=1 / share, memory=max(1.0, clock_curve().memory_knee / share))
