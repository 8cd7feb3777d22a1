"""Runs filled by hand: rows with known latencies, outcomes and draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.results.freeze import freeze
from sim.results.memory import MemorySink
from sim.results.result import RunResult
from sim.results.sink import Sink
from sim.results.summarise import Summariser
from sim.results.tables import TABLES
from sim.site.facility import Facility


@dataclass(frozen=True)
class Goals:
    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None


@dataclass(frozen=True)
class Wish:
    text: str
    metric: str
    operator: str
    threshold: float


def requests(n: int, seed: int = 1, duration_s: float = 600.0) -> dict[str, Any]:
    """n completed requests with drawn latencies; objectives of 1 s and 50 ms decide ``met``."""
    rng = np.random.default_rng(seed)
    arrival = np.sort(rng.uniform(0.0, duration_s, n))
    queue = rng.exponential(0.2, n) * (rng.uniform(size=n) < 0.5)
    prefill = rng.lognormal(-1.5, 0.5, n)
    output = rng.integers(1, 400, n)
    tpot = rng.lognormal(-3.3, 0.2, n)
    first = arrival + queue + prefill
    end = first + tpot * (output - 1)
    met = (first - arrival <= 1.0) & (((end - first) / np.maximum(output - 1, 1)) <= 0.05)
    return {
        "request_id": np.arange(n),
        "workload": ["chat"] * n,
        "pool": ["chat"] * n,
        "replica": np.zeros(n, np.int64),
        "priority": np.zeros(n, np.int64),
        "arrival_s": arrival,
        "ingress_s": np.zeros(n),
        "admitted_s": arrival + queue,
        "first_token_s": first,
        "end_s": end,
        "egress_s": np.zeros(n),
        "input_tokens": rng.integers(1, 4000, n),
        "output_tokens": output,
        "delivered_tokens": output,
        "preemptions": rng.integers(0, 2, n),
        "prefix_hit_tokens": np.zeros(n, np.int64),
        "attempts": np.ones(n, np.int64),
        "outcome": ["completed"] * n,
        "met": met,
    }


def part(columns: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {name: values[start:stop] for name, values in columns.items()}


def power_nodes() -> dict[str, Any]:
    """A utility over its budget for 12 s, a UPS far from its rating, a server without a limit."""
    return {
        "node": [0, 1, 2],
        "name": ["utility", "ups-a", "row-1-rack-1-node-1"],
        "kind": ["utility", "ups", "server"],
        "rating_w": [None, 200e3, None],
        "budget_w": [100e3, None, None],
        "limit_w": [100e3, 200e3, None],
        "loss_rating_w": [None, None, None],
        "loss_a": [None, None, None],
        "loss_b": [None, None, None],
        "loss_c": [None, None, None],
        "energy_j": [90e3 * 540, 88e3 * 540, 80e3 * 540],
        "mean_w": [90e3, 88e3, 80e3],
        "peak_w": [104e3, 101e3, 95e3],
        "nearest_w": [104e3, 101e3, 95e3],
        "over_limit_s": [12.0, 0.0, None],
        "energy_total_j": [90e3 * 700, 88e3 * 700, 80e3 * 700],
    }


def power_edges() -> dict[str, Any]:
    return {"child": [1, 2], "parent": [0, 1], "share": [1.0, 1.0]}


def replicas(**changes: Any) -> dict[str, Any]:
    columns = {
        "replica": [0, 1],
        "pool": ["chat", "chat"],
        "gpu": ["h100-sxm"] * 2,
        "gpus": ["0 1 2 3", "4 5 6 7"],
        "node": ["row-1-rack-1-node-1"] * 2,
        "kv_blocks": [1000, 1000],
        "busy_s": [270.0, 540.0],
        "iterations": [100, 200],
        "prefill_tokens": [1000, 2000],
        "decode_tokens": [100, 200],
        "preemptions": [0, 3],
        "energy_j": [1e6, 2e6],
        "kv_token_s": [8000.0 * 540, 8000.0 * 540],
        "waiting_s": [540.0, 0.0],
        "running_s": [5400.0, 5400.0],
        "blocked_blocks_s": [54.0, 0.0],
        "blocked_sequences_s": [0.0, 0.0],
        "blocked_tokens_s": [0.0, 0.0],
        "blocked_held_s": [0.0, 0.0],
        "cap_bound_s": [0.0, 0.0],
    }
    return {**columns, **changes}


def parts(**changes: Any) -> dict[str, Any]:
    content = {
        "scenario": "by-hand",
        "seed": 7,
        "engine": "reference",
        "simulated_s": 700.0,
        "warm_up_s": 60.0,
        "duration_s": 600.0,
        "drain_s": 300.0,
        "record": "full",
        "sample_every": 10,
        "workloads": [
            {
                "name": "chat",
                "pool": "chat",
                "kind": "llm",
                "objectives": {"ttft": 1.0, "tpot": 0.05},
            }
        ],
        "pools": [
            {
                "name": "chat",
                "llm": "llama-3.1-70b",
                "precision": "fp8",
                "tensor_parallel": 4,
                "gpus_per_replica": 4,
                "pipeline_parallel": 1,
                "replicas": 2,
                "max_queue": None,
                "max_sequences": 256,
                "max_batch_tokens": 8192,
            }
        ],
        "site": {"gpus": 32, "free_gpus": 24},
        "power": {"stated": True, "provisioned_w": 100e3},
        "network": None,
        "costs": None,
        "price_usd_per_j": None,
        "calibration": {"constants": {}, "own": None, "sample": 0},
        "facility": Facility().plain(),
        "expectations": (),
        "warnings": [],
        "sources": ["a-source"],
        "inputs": {},
        "resolved": {"rackplan": 1, "name": "by-hand"},
        "written": {"rackplan": 1, "name": "by-hand"},
    }
    return {**content, **changes}


def summariser(inner: Sink, **changes: Any) -> Summariser:
    options: dict[str, Any] = {
        "record": "full",
        "sample_every": 10,
        "warm_up_s": 60.0,
        "duration_s": 600.0,
        "objectives": {"chat": Goals(ttft_s=1.0, tpot_s=0.05)},
        "power_kinds": ["utility", "ups", "server"],
    }
    return Summariser(inner, **{**options, **changes})


def fill(sink: Sink, rows: Mapping[str, Any] | None = None, **tables: Any) -> None:
    """Everything that an engine writes in a run."""
    content = {
        "power_nodes": power_nodes(),
        "power_edges": power_edges(),
        "replicas": replicas(),
        "workloads": {
            "workload": ["chat"],
            "pool": ["chat"],
            "energy_j": [2.4e6],
            "delivered_tokens": [54_000],
        },
        "power": {
            "node": [0, 1, 2],
            "t_s": [0.0, 0.0, 0.0],
            "out_mw": [85_000_000, 88_000_000, 80_000_000],
            "in_mw": [90_000_000, 89_000_000, 84_000_000],
        },
        "requests": requests(2000) if rows is None else rows,
        **tables,
    }
    for table, columns in content.items():
        sink.write(table, columns)


def run(inner: Sink | None = None, rows: Any = None, **changes: Any) -> RunResult:
    """A finished run; ``changes`` go into the manifest's parts."""
    content = parts(**changes)
    sink = summariser(
        MemorySink() if inner is None else inner,
        record=content["record"],
        sample_every=content["sample_every"],
    )
    fill(sink, rows)
    return freeze(sink, content)


def empty(table: str) -> dict[str, list[Any]]:
    return {column.name: [] for column in TABLES[table]}
