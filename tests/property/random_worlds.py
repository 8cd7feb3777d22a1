"""Random worlds for the comparison of two serving planes: a seed gives a world and how it is run.

Everything is drawn from a ``random.Random``, so a failure is one integer; ``cases`` draws the same
structure through hypothesis, which shrinks it. Ties are made, not hoped for: exact costs, arrivals
on a grid, bursts of one instant, and (``sim``'s reference is run for it) requests and control acts
at the very times at which boundaries fall, or one float beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from sim.catalog.types import RackType
from sim.check.scenario import LlmUse, Pool, Scenario
from sim.engine.build import build
from sim.engine.world import World
from sim.policies.base import policies
from sim.site.types import PowerTree, Site
from sim.workload.columns import Columns
from sim.workload.plan import Objectives, Workload
from sim.workload.source import ClosedSource
from sim.workload.types import RequestSource
from tests.engine_world import GPU, LLM, NODE, Given, tree, workload
from tests.property import foreign_policies as foreign
from tests.property.hand_models import random_model
from tests.property.random_requests import (
    PRIORITIES,
    PROFILES,
    Beats,
    CycledLengths,
    InPieces,
    closed_rows,
    in_pieces,
    open_rows,
    random_beats,
    random_impatience,
)

#: With this horizon everything ends.
LONG_S = 10_000.0
#: When the last requests come, long after all others have ended: each fills a replica.
EPILOGUE_S = 5_000.0
GPU_TYPES = (GPU, replace(GPU, name="h200-sxm"))
ROLES = {role: policies(role) for role in ("routing", "batching", "placement", "power")}
ROUTING = (
    "round-robin", "random", "least-outstanding-requests", "least-outstanding-tokens",
    "power-of-two",
)  # fmt: skip


# ---- pools ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Style:
    """What all pools of a world share: exact costs or not, clocks, and replicas in lockstep."""

    exact: bool
    in_step: bool  # constant costs and requests alike, so that replicas end theirs together
    levels: int


def random_style(rng: Random) -> Style:
    """Exact costs in half of the worlds, lockstep in half of these."""
    exact = rng.randrange(2) == 0
    return Style(exact, exact and rng.randrange(2) == 0, rng.choice([2, 3]))


@dataclass(frozen=True)
class PoolPlan:
    """A pool and what its requests look like."""

    pool: Pool
    profile: str
    in_step: bool


def random_pool(rng: Random, name: str, style: Style) -> PoolPlan:
    """A pool from roomy to very tight in blocks, tokens, sequences and queue."""
    profile = "alike" if style.in_step else rng.choice(tuple(PROFILES))
    inputs, outputs = PROFILES[profile]
    longest = math.ceil((max(inputs) + max(outputs)) / 16)
    replicas = rng.choice([2, 3] if style.in_step else [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 6, 10])
    sequences = rng.choice([1, 2, 3, 4, 4, 8, 8, 8] if replicas < 10 else [1])
    gpus = rng.choice([1, 1, 2, 4])
    kinds = rng.choice([GPU_TYPES[:1], GPU_TYPES[1:], GPU_TYPES])
    models = {
        kind.name: random_model(
            rng, gpu=kind.name, gpus=gpus, sequences=sequences, levels=style.levels,
            exact=style.exact, constant=style.in_step,
            blocks=rng.choice(
                [longest // 2 + 1, longest, longest, longest + 2, longest + 2, 2 * longest, 1000]
            ),
        )
        for kind in kinds
    }  # fmt: skip
    context = rng.choice([10**6] * 6 + [max(inputs)])
    tokens = sequences + rng.choice([0, 1, 5, 12, 40, 2048])
    batching = ROLES["batching"][rng.choice(["chunked-prefill"] * 3 + ["prefill-first", "static"])]
    # With as many as ten, a crowd that is turned away by all of them.
    max_queue = rng.choice([None, None, None, 1, 2, 5] if replicas < 10 else [1])
    pool = Pool(
        name=name, llm=LlmUse("test-llm", replace(LLM, max_context=context), "bf16", "bf16"),
        tensor_parallel=gpus, pipeline_parallel=1, replicas=replicas, priority=1, gpu=None,
        max_queue=max_queue, shed=rng.choice(["reject", "oldest"]), models=models,
        routing=random_routing(rng),
        batching=batching(max_batch_tokens=tokens, max_sequences=sequences),
    )  # fmt: skip
    return PoolPlan(pool, profile, style.in_step)


def random_routing(rng: Random) -> Any:
    """A built-in policy, or one that no engine has heard of."""
    if rng.randrange(5):
        return ROLES["routing"][rng.choice(ROUTING)]()
    return rng.choice(
        [
            foreign.Scrambled(), foreign.Scrambled(most=1), foreign.MostOutstanding(),
            foreign.Remembering(), foreign.Remembering(good=rng.choice([0, 3, 10])),
        ]
    )  # fmt: skip


# ---- workloads --------------------------------------------------------------------------------


def random_workload(rng: Random, name: str, pool: str) -> Workload:
    """A workload whose requests are drawn apart; objectives lie among what happens."""
    limits = [rng.choice([None, None, 0.0625, 0.25, 0.5, 2.0]) for _ in range(3)]
    timeout_s = rng.choice([math.inf] * 10 + [1e-18, 0.0625, 0.25, 0.4, 1.0, 3.0])
    return workload(name, pool, timeout_s=timeout_s, objectives=Objectives(*limits))


def random_source(rng: Random, plan: PoolPlan, load: Workload, beats: Beats) -> RequestSource:
    """Open rows, a closed loop of given rows, or the product's closed loop without end."""
    impatience = random_impatience(rng, load.timeout_s)
    priorities = rng.choice(PRIORITIES)
    kind = rng.randrange(8)
    if kind == 0:
        return endless_source(rng, plan, load)
    if kind < (6 if plan.in_step else 3):
        rows, one_each = closed_rows(rng, plan.profile, impatience, priorities)
        return in_pieces(rng, Given(rows, closed=True), one_each)
    return in_pieces(rng, Given(open_rows(rng, beats, plan.profile, impatience, priorities)))


def endless_source(rng: Random, plan: PoolPlan, load: Workload) -> RequestSource:
    """A closed loop; without a pause only where nobody is turned away or gives up at once."""
    inputs, outputs = PROFILES[plan.profile]
    lengths = CycledLengths(tuple((rng.choice(inputs), rng.choice(outputs)) for _ in range(5)))
    fits = all(
        plan.pool.llm.llm.max_context >= prompt + output
        and min(m.kv_blocks for m in plan.pool.models.values()) * 16 >= prompt + output
        for prompt, output in lengths.pairs
    )
    patient = plan.pool.max_queue is None and load.timeout_s >= 0.25
    think_s = rng.choice([0.0, 0.25, 0.3]) if fits and patient else rng.choice([0.25, 0.3])
    leaving = replace(
        load,
        cancel_after_s=rng.choice([math.inf, 0.25, 0.7]),
        cancel_fraction=rng.choice([1.0, 0.3]),
        priority=rng.randrange(3),
    )
    columns = Columns(leaving, rng.randrange(1 << 20), load.name)
    return InPieces(ClosedSource(columns, lengths, rng.randint(1, 6), think_s), 16)


# ---- the site ---------------------------------------------------------------------------------


def random_site(rng: Random, pools: Sequence[Pool]) -> Site:
    """Nodes in one rack, of one GPU type or of two in turn, so that small nodes mix in a pool."""
    widest = max(pool.tensor_parallel for pool in pools)
    size = rng.choice([widest, 4, 8])
    kinds = [gpu for gpu in GPU_TYPES if any(gpu.name in pool.models for pool in pools)]
    # Whatever is placed before, a node that a replica cannot use has no room for it.
    servers = sum(math.ceil(pool.replicas * pool.tensor_parallel / size) for pool in pools)
    servers += len(pools)
    gpu_types = tuple(kinds[n % len(kinds)] for n in range(servers * len(kinds)))
    nodes = len(gpu_types)
    node_types = tuple(replace(NODE, gpu=gpu.name, gpus=size) for gpu in gpu_types)
    rack = RackType("test-rack", "test-node", nodes, 1e6, "node", 48, 0.0, 0.0)
    gpu_node = np.repeat(np.arange(nodes), size)
    return Site(
        ("hall",), ("row",), np.zeros(1, np.int64), ("rack",), np.zeros(1, np.int64), (rack,),
        tuple(f"node-{n + 1}" for n in range(nodes)), np.zeros(nodes, np.int64), node_types,
        gpu_node, gpu_node, gpu_types,
    )  # fmt: skip


def random_tree(rng: Random, nodes: int) -> PowerTree:
    """Ratings and a budget about what the site draws, so that some are exceeded now and then."""
    base = tree(nodes, rng.choice([None, 2_600.0 * nodes, 3_300.0 * nodes]))
    low = rng.randrange(3) == 0
    limited = tuple(
        replace(node, rating_w=rng.choice([2_300.0, 2_700.0, 3_200.0]))
        if low and node.kind == "server"
        else node
        for node in base.nodes
    )
    return replace(base, nodes=limited)


# ---- the whole --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A world, and what its control acts are drawn from."""

    world: World
    beats: Beats
    levels: int
    plans: tuple[PoolPlan, ...]


def random_world(rng: Random) -> Drawn:
    """One to four pools with their workloads, on a site, under an electrical graph."""
    span_s = rng.choice([4.0, 8.0, 16.0])
    beats = random_beats(rng, span_s)
    style = random_style(rng)
    names = ("one", "two", "three", "four")[: rng.choice([1, 1, 1, 2, 2, 3, 4])]
    plans = [random_pool(rng, name, style) for name in names]
    loads: list[Workload] = []
    sources: list[RequestSource] = []
    for plan in plans:
        for number in range(rng.choice([1, 1, 2, 3])):
            load = random_workload(rng, f"{plan.pool.name}-{number}", plan.pool.name)
            loads.append(load)
            sources.append(random_source(rng, plan, load, beats))
    duration_s = span_s
    if rng.randrange(2) == 0 and all(map(ends, sources)):
        duration_s = EPILOGUE_S + 1.0
        for plan in plans:
            loads.append(workload(f"{plan.pool.name}-last", plan.pool.name))
            sources.append(Given(epilogue(plan.pool)))
    setup = random_scenario(rng, [plan.pool for plan in plans], loads, duration_s)
    world = replace(build(setup, rng.randrange(1 << 20)), sources=tuple(sources))
    return Drawn(world, beats, style.levels, tuple(plans))


def ends(source: RequestSource) -> bool:
    """Whether a source has a last row."""
    return not (isinstance(source, InPieces) and isinstance(source.source, ClosedSource))


def epilogue(pool: Pool) -> list[dict[str, Any]]:
    """A request for each replica that needs all blocks of the smallest; none if that takes long."""
    blocks = min(model.kv_blocks for model in pool.models.values())
    if blocks * 16 > 100 * pool.batching.max_batch_tokens:
        return []
    row = {"arrival_s": EPILOGUE_S, "input_tokens": 16 * blocks - 1, "output_tokens": 2}
    return [row] * pool.replicas


def random_scenario(
    rng: Random, pools: Sequence[Pool], loads: Sequence[Workload], duration_s: float
) -> Scenario:
    """Site, electrical graph and times around pools and workloads."""
    site = random_site(rng, pools)
    return Scenario(
        name="random", file="random.yaml", duration_s=duration_s,
        warm_up_s=rng.choice([0.0, 1.0, 2.3]), drain_s=rng.choice([0.0, 2.0, LONG_S]), seed=1,
        record="full", record_iterations=rng.randrange(3) == 0, sample_every=1, site=site,
        power=random_tree(rng, len(site.node_names)), pools=tuple(pools), workloads=tuple(loads),
        placement=ROLES["placement"]["first-fit"](), power_policy=ROLES["power"]["none"](),
        expectations=(), price_usd_per_j=None, warnings=(), resolved={}, sources=(),
    )  # fmt: skip
