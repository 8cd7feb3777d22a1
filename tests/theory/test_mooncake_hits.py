"""The Mooncake trace through the engine: what eight caches find of what one would find.

One cache that held everything would find 36.6 % of the trace's prefix blocks (a fact of the trace,
see ``tests/unit/engine/test_prefix_cache.py``). Of eight behind round-robin each sees an eighth of
the requests.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from sim.engine.build import build
from sim.engine.run import run
from sim.perf.step import StepCost
from sim.workload.plan import TraceSpec, Workload
from tests.engine_world import ListSink, model, policy, pool, scenario, workload

BLOCKS = 288_500
#: About 30,000 tokens a second, so that eight replicas are half busy with what they miss.
COST = StepCost(0.008, (0, 8192), (0.0, 0.27), 1e-4, 1e-8, 0.0, 0.0, 0.0, 0)


def hit_share(trace: Path, routing: str, kv_blocks: int) -> float:
    """Hit blocks over all blocks of the trace, answers left out: they are in no cache."""
    spec = TraceSpec(trace, "mooncake", 0.0, None, 1.0, False, 3.0)
    asked: Workload = replace(
        workload(), kind="embedding", rate_per_s=None, synthetic=None, trace=spec
    )
    eight = replace(
        pool(model(COST, kv_blocks), replicas=8, max_batch_tokens=8192),
        routing=policy("routing", routing),
    )
    sink = ListSink()
    run(build(scenario([eight], [asked], duration_s=3600.0), 1), sink)
    columns = sink.tables["requests"]
    assert set(columns["outcome"]) == {"completed"}
    assert len(columns["outcome"]) == 12_031
    assert all(tokens % 512 == 0 for tokens in columns["prefix_hit_tokens"])
    return math.fsum(columns["prefix_hit_tokens"]) / 512 / BLOCKS


def test_routing_decides_what_is_found(shared_data: Path) -> None:
    trace = shared_data / "traces" / "mooncake_conversation.jsonl"
    scattered = hit_share(trace, "round-robin", 10**7)
    together = hit_share(trace, "prefix-aware", 10**7)
    assert scattered == pytest.approx(0.132, abs=0.003)
    assert 0.30 < together < 0.366


def test_small_caches_find_less(shared_data: Path) -> None:
    """10,000 KV blocks of 16 tokens for each of eight: 2,500 of the trace's blocks in all."""
    trace = shared_data / "traces" / "mooncake_conversation.jsonl"
    assert hit_share(trace, "prefix-aware", 10_000) < 0.12
