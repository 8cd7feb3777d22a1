"""The prefix cache of the reference engine against a plain loop that searches lists."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.batcher import Batcher
from sim.engine.reference import ReferencePlane
from tests.engine_world import Given, ListSink, model, plane, pool, scenario, workload
from tests.property.cached_replica import CachedReplica
from tests.property.test_reference import DURATION_S, DYADIC, FIELDS, IRRATIONAL, WINDOWED


def chain(digits: list[int]) -> list[int]:
    """Chained ids: one for each path of digits 0 and 1 from the root of a tree."""
    return [int("1" + "".join(map(str, digits[: n + 1])), 3) for n in range(len(digits))]


@st.composite
def cached_replicas(draw: st.DrawFn) -> CachedReplica:
    """Prompts that share beginnings, more than the blocks hold, with ties, ends and preemptions."""
    max_sequences = draw(st.integers(1, 8))
    block_tokens = draw(st.sampled_from([16, 16, 32]))
    count = draw(st.sampled_from([2, 6, 12, 24]))
    times = sorted(draw(st.integers(0, draw(st.sampled_from([0, 3, 31])))) for _ in range(count))
    impatient = draw(st.sampled_from([[math.inf], [math.inf, math.inf, 0.25, 0.37]]))
    rows: list[dict[str, Any]] = []
    for number, quarter in enumerate(times):
        row: dict[str, Any] = {
            "input_tokens": draw(st.sampled_from([1, 15, 16, 17, 32, 33, 47, 48, 64, 65, 100])),
            "output_tokens": draw(st.sampled_from([0, 1, 2, 17, 33, 60])),
            "priority": draw(st.integers(0, 1)),
            "cancel_after_s": draw(st.sampled_from(impatient)),
            "prefix_ids": chain(draw(st.lists(st.integers(0, 1), max_size=7))),
        }
        if number and draw(st.integers(0, 3)) == 0:
            row |= {
                "after_request": draw(st.integers(0, number - 1)),
                "think_s": draw(st.sampled_from([0.0, 0.25])),
            }
        else:
            row["arrival_s"] = quarter / 4.0
        rows.append(row)
    clocks = sorted(draw(st.lists(st.integers(1, 63), max_size=6)))
    return CachedReplica(
        model(
            draw(st.sampled_from([DYADIC, IRRATIONAL, WINDOWED])),
            blocks=draw(st.integers(6, 14)),
            sequences=max_sequences,
        ),
        rows,
        [(time / 8.0, draw(st.integers(0, 1))) for time in clocks],
        timeout_s=draw(st.sampled_from([math.inf, 0.25, 0.4])),
        duration_s=DURATION_S,
        max_sequences=max_sequences,
        max_batch_tokens=draw(st.integers(max_sequences, 120)),
        block_tokens=block_tokens,
    )


def by_engine(case: CachedReplica, horizon_s: float) -> ListSink:
    """The same requests through the engine, which is looked at all along."""
    a_pool = pool(
        case.model, max_sequences=case.max_sequences, max_batch_tokens=case.max_batch_tokens
    )
    setup = scenario([a_pool], [workload(timeout_s=case.timeout_s)], duration_s=DURATION_S)
    source = Given(case.rows, prefix_block_tokens=case.block_tokens)
    a_plane, recorder, sink = plane(setup, [source])
    assert isinstance(a_plane, ReferencePlane)
    batcher = a_plane.replicas[0].batcher
    a_plane.open_window(0.0)
    for time_s, level in case.clocks:
        a_plane.advance(time_s)
        check_blocks(batcher, case.model.kv_blocks)
        a_plane.set_clocks([0], level, time_s)
    a_plane.advance(horizon_s)
    check_blocks(batcher, case.model.kv_blocks)
    a_plane.close_window(horizon_s)
    if not a_plane.in_flight():
        assert batcher.free_blocks == case.model.kv_blocks
        assert batcher.cache.repeated_tokens == 0
        assert not any(entry.references for entry in batcher.cache._entries.values())
    a_plane.finish(horizon_s)
    recorder.close()
    return sink


def check_blocks(batcher: Batcher, kv_blocks: int) -> None:
    """Every block is in one place, every reference is somebody's, chains are whole."""
    cache, running = batcher.cache, [*batcher.decoding, *batcher.prefilling]
    held = [request.prefix_ids[: request.shared] for request in running]
    own = sum(request.blocks for request in running)
    used = sum(entry.blocks for entry in cache._entries.values() if entry.references)
    assert batcher.unused_blocks >= 0
    assert batcher.unused_blocks + cache.idle_blocks + used + own == kv_blocks
    for identity, entry in cache._entries.items():
        assert entry.references == sum(identity in ids for ids in held)
        assert (identity in cache._idle) == (entry.references == 0)
    assert cache.idle_blocks == sum(entry.blocks for entry in cache._idle.values())
    order = list(cache._idle)
    parents = {child: ids[:n] for ids in map(path, cache._entries) for n, child in enumerate(ids)}
    for identity in cache._entries:
        for parent in parents[identity]:
            assert parent in cache._entries
            if parent in cache._idle:
                assert order.index(parent) > order.index(identity)
    apart = sum(r.context - r.shared * r.prefix_block_tokens for r in running)
    assert batcher.kv_tokens() == apart + 16 * used


def path(identity: int) -> list[int]:
    """The chain that leads to an id of ``chain``: its leading digits in base 3."""
    ids = [identity]
    while ids[0] > 5:
        ids.insert(0, ids[0] // 3)
    return ids


@settings(max_examples=200, deadline=None)
@given(cached_replicas(), st.sampled_from([DURATION_S, 1000.0]))
def test_equals_a_plain_loop(case: CachedReplica, horizon_s: float) -> None:
    check_equal(case, horizon_s)


@pytest.mark.deep
@settings(max_examples=4000, deadline=None)
@given(cached_replicas(), st.sampled_from([DURATION_S, 1000.0]))
def test_equals_a_plain_loop_thousands_of_times(case: CachedReplica, horizon_s: float) -> None:
    check_equal(case, horizon_s)


def check_equal(case: CachedReplica, horizon_s: float) -> None:
    """Rows and their order, with their hits, and energy."""
    case.serve(horizon_s)
    sink = by_engine(case, horizon_s)
    found = [{name: row[name] for name in FIELDS} for row in sink.rows("requests")]
    assert found == case.served
    hits = {row["request_id"]: row["prefix_hit_tokens"] for row in sink.rows("requests")}
    assert hits == {number: case.hits.get(number, 0) for number in hits}
    energy_j = sink.rows("replicas")[0]["energy_j"]
    assert math.isclose(energy_j, case.energy_mj / 1000.0, rel_tol=1e-9)
