"""Small worlds for engine tests: hand-made costs, hand-made requests, no catalog and no files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from sim.catalog.types import Gpu, Llm, Loss, NodeType, RackType
from sim.check.scenario import LlmUse, Pool, Scenario
from sim.engine.build import build
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.reference import ReferencePlane
from sim.engine.run import ENGINE, run
from sim.engine.world import World
from sim.perf.step import ReplicaModel, StepCost, StepPower
from sim.policies.base import policies
from sim.site.types import PowerNode, PowerTree, Site
from sim.workload.plan import Objectives, Synthetic, Workload
from sim.workload.types import OPEN, RequestChunk

GPU = Gpu(
    name="h100-sxm", vendor="none", tdp_w=700.0, memory_bytes=80e9,
    memory_bandwidth_bytes_per_s=3e12, peak_flops={"bf16": 1e15}, link_bytes_per_s=4.5e11,
    link="nvlink", sms=132, max_clock_hz=2e9, min_clock_hz=1e9, parked_w=70.0, loaded_idle_w=120.0,
)  # fmt: skip
NODE = NodeType(
    name="test-node", gpu="h100-sxm", gpus=8, base_w=1500.0, fan_w=900.0, max_w=10_200.0,
    psu=Loss(rating_w=13_200.0, a=0.01, b=0.02, c=0.02), nics=8, nic_bytes_per_s=5e10, rack_units=8,
)  # fmt: skip
LLM = Llm(
    name="test-llm", layers=1, hidden=64, heads=1, kv_heads=1, head_dim=64, ffn=64, vocabulary=10,
    tied_embeddings=True, dense_layers=1, experts=0, experts_per_token=0, expert_ffn=0,
    shared_ffn=0, window=0, windowed_layers=0, mla=None, attention_bias=False, qk_norm=False,
    max_context=10**6, native_precision="bf16", published_parameters=1.0,
    published_active_parameters=1.0,
)  # fmt: skip

NO_OBJECTIVES = Objectives(None, None, None)

#: Dyadic costs, so that boundaries of different replicas meet exactly.
DYADIC = StepCost(
    fixed_s=2.0**-6, grid_tokens=(0, 1024), grid_s=(0.0, 2.0**-4), per_decode_s=2.0**-12,
    per_kv_token_s=2.0**-22, per_windowed_kv_token_s=0.0, per_prefill_pair_s=2.0**-32,
    per_windowed_prefill_pair_s=0.0, window=0,
)  # fmt: skip


def constant_cost(seconds: float) -> StepCost:
    """Every iteration takes ``seconds``, whatever it works on."""
    return StepCost(seconds, (0, 1), (0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0)


def power(sequences: int, share: float = 1.0) -> StepPower:
    """Draw that rises with the batch and differs between phases; ``share`` of it."""
    decode = tuple(round(share * (300_000 + 1_000 * min(n, 200))) for n in range(sequences + 1))
    prefill = tuple(round(share * draw_mw) for draw_mw in (400_000, 650_000, 690_000))
    return StepPower(round(share * 120_000), (decode,) * 4, (0, 512, 1024), prefill)


def half_clock(cost: StepCost) -> StepCost:
    """Everything takes twice as long."""
    return StepCost(
        2 * cost.fixed_s, cost.grid_tokens, tuple(2 * s for s in cost.grid_s),
        2 * cost.per_decode_s, 2 * cost.per_kv_token_s, 2 * cost.per_windowed_kv_token_s,
        2 * cost.per_prefill_pair_s, 2 * cost.per_windowed_prefill_pair_s, cost.window,
    )  # fmt: skip


def model(
    cost: StepCost = DYADIC, blocks: int = 1000, gpus: int = 1, sequences: int = 256
) -> ReplicaModel:
    """A replica of ``cost``, with a second clock level at half speed and 0.7 of the draw."""
    draws = (power(sequences), power(sequences, 0.7))
    return ReplicaModel("h100-sxm", gpus, (cost, half_clock(cost)), draws, (2e9, 1e9), blocks, ())


def site(nodes: int = 1) -> Site:
    """One rack of ``nodes`` nodes."""
    rack = RackType("test-rack", "test-node", nodes, 1e6, "node", 48, 0.0, 0.0)
    gpu_node = np.repeat(np.arange(nodes), NODE.gpus)
    return Site(
        ("hall",), ("row",), np.zeros(1, np.int64), ("rack",), np.zeros(1, np.int64), (rack,),
        tuple(f"node-{n + 1}" for n in range(nodes)), np.zeros(nodes, np.int64), (NODE,) * nodes,
        gpu_node, gpu_node, (GPU,) * nodes,
    )  # fmt: skip


def tree(nodes: int = 1, budget_w: float | None = None) -> PowerTree:
    """utility → two UPSs → two PDUs → one dual-fed rack → servers."""
    ups = Loss(100_000.0, 0.01, 0.01, 0.02)
    top = (
        PowerNode("utility", "utility", None, budget_w, None),
        PowerNode("ups-a", "ups", 100_000.0, None, ups),
        PowerNode("ups-b", "ups", 100_000.0, None, ups),
        PowerNode("row-pdu-a", "pdu", 60_000.0, None, None),
        PowerNode("row-pdu-b", "pdu", 60_000.0, None, None),
        PowerNode("rack", "rack", 50_000.0, None, None),
    )
    servers = tuple(
        PowerNode(f"node-{n + 1}", "server", NODE.max_w, None, NODE.psu) for n in range(nodes)
    )
    edges = ((1, 0, 256), (2, 0, 256), (3, 1, 256), (4, 2, 256), (5, 3, 128), (5, 4, 128))
    edges += tuple((6 + n, 5, 256) for n in range(nodes))
    index = np.arange(6, 6 + nodes)
    return PowerTree(top + servers, edges, index, budget_w, budget_w is not None)


def policy(role: str, kind: str, **parameters: Any) -> Any:
    """A policy object by kind."""
    return policies(role)[kind](**parameters)


def pool(
    replica_model: ReplicaModel, *, name: str = "pool", replicas: int = 1,
    routing: str = "round-robin", batching: str = "chunked-prefill", max_batch_tokens: int = 2048,
    max_sequences: int = 256, max_queue: int | None = None, shed: str = "reject",
    prefix_cache: bool = True,
) -> Pool:  # fmt: skip
    """A pool on the test GPU."""
    return Pool(
        name=name, llm=LlmUse("test-llm", LLM, "bf16", "bf16"),
        tensor_parallel=replica_model.gpus, pipeline_parallel=1, replicas=replicas, priority=1,
        gpu=None, max_queue=max_queue, shed=shed, models={"h100-sxm": replica_model},
        routing=policy("routing", routing),
        batching=policy(
            "batching", batching, max_batch_tokens=max_batch_tokens, max_sequences=max_sequences
        ),
        prefix_cache=prefix_cache,
    )  # fmt: skip


def workload(
    name: str = "load", to: str = "pool", *, timeout_s: float = math.inf,
    objectives: Objectives = NO_OBJECTIVES, clients: int | None = None,
) -> Workload:  # fmt: skip
    """A workload whose requests come from the test itself."""
    return Workload(
        name=name, kind="llm", pool=to, priority=0, objectives=objectives, timeout_s=timeout_s,
        cancel_after_s=math.inf, cancel_fraction=1.0, rate_per_s=1.0, clients=clients, think_s=0.0,
        trace=None, synthetic=Synthetic("fixed", 1, 1, {"kind": "poisson"}, ()),
    )  # fmt: skip


@dataclass(frozen=True)
class Given:
    """A request source of given rows: (arrival, input, output, …) with optional columns.

    ``prefix_ids`` of a row are a list, each id for ``prefix_block_tokens`` tokens.
    """

    rows: Sequence[Mapping[str, Any]]
    closed: bool = False
    notes: tuple[str, ...] = ()
    prefix_block_tokens: int = 16

    def chunks(self) -> Iterator[RequestChunk]:
        """One chunk."""

        def column(name: str, default: Any, kind: type) -> Any:
            return np.array([row.get(name, default) for row in self.rows], dtype=kind)

        yield RequestChunk(
            column("arrival_s", math.nan, float), column("input_tokens", 1, int),
            column("output_tokens", 1, int), column("priority", 0, int),
            column("after_request", OPEN, int), column("think_s", 0.0, float),
            column("cancel_after_s", math.inf, float), *self._prefixes(),
            column("session", -1, int) if any("session" in row for row in self.rows) else None,
        )  # fmt: skip

    def _prefixes(self) -> tuple[Any, Any, int]:
        lists = [row.get("prefix_ids", []) for row in self.rows]
        if not any(lists):
            return None, None, 0
        ptr = np.cumsum([0, *map(len, lists)])
        ids = np.array([identity for ids in lists for identity in ids], dtype=np.int64)
        return ptr, ids, self.prefix_block_tokens


class ListSink:
    """Keeps rows as lists of plain values."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[Any]]] = {}

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append."""
        mine = self.tables.setdefault(table, {name: [] for name in columns})
        for name, values in columns.items():
            mine[name].extend(values.to_pylist() if isinstance(values, pa.Array) else values)

    def abort(self, reason: str) -> None:
        """Nothing is written anywhere."""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table as dicts."""
        columns = self.tables.get(table, {})
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def scenario(
    pools: Sequence[Pool], workloads: Sequence[Workload], *, nodes: int = 1,
    duration_s: float = 1000.0, warm_up_s: float = 0.0, drain_s: float = 1000.0,
    budget_w: float | None = None, iterations: bool = False,
) -> Scenario:  # fmt: skip
    """A scenario around pools and workloads."""
    return Scenario(
        name="test", file="test.yaml", duration_s=duration_s, warm_up_s=warm_up_s,
        drain_s=drain_s, seed=1, record="full", record_iterations=iterations, sample_every=1,
        site=site(nodes), power=tree(nodes, budget_w), pools=tuple(pools),
        workloads=tuple(workloads), placement=policy("placement", "first-fit"),
        power_policy=policy("power", "none"), expectations=(), price_usd_per_j=None, warnings=(),
        resolved={}, sources=(),
    )  # fmt: skip


def world(a_scenario: Scenario, sources: Sequence[Given], seed: int = 1) -> World:
    """A world whose requests are given."""
    return replace(build(a_scenario, seed), sources=tuple(sources))


def serve(
    a_scenario: Scenario, sources: Sequence[Given], seed: int = 1, engine: str = ENGINE
) -> ListSink:
    """Run to the horizon; all rows."""
    sink = ListSink()
    run(world(a_scenario, sources, seed), sink, engine=engine)
    return sink


def plane(
    a_scenario: Scenario, sources: Sequence[Given]
) -> tuple[ServingPlane, Recorder, ListSink]:
    """A plane to be driven by hand."""
    sink = ListSink()
    recorder = Recorder(a_scenario, sink)
    return ReferencePlane(world(a_scenario, sources), recorder), recorder, sink
