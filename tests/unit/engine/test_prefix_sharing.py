"""Prompts that begin alike on one replica: what is hit, shared, counted, given back."""

from __future__ import annotations

from typing import Any

from sim.engine.batcher import Batcher
from sim.engine.reference import ReferencePlane
from tests.engine_world import (
    Given,
    ListSink,
    constant_cost,
    model,
    plane,
    pool,
    scenario,
    serve,
    workload,
)

#: Ids of 16 tokens each.
A, B, C, D = [1, 2, 3, 4], [1, 2, 5, 6], [7, 8, 9, 10], [11, 12, 13, 14]


def row(at: float, prompt: int, output: int, ids: list[int], **more: Any) -> dict[str, Any]:
    """One request."""
    return {
        "arrival_s": at, "input_tokens": prompt, "output_tokens": output, "prefix_ids": ids, **more,
    }  # fmt: skip


def setup(blocks: int = 1000, **options: Any) -> Any:
    """One replica of one-second iterations."""
    return scenario([pool(model(constant_cost(1.0), blocks), **options)], [workload()])


def served(rows: list[dict[str, Any]], blocks: int = 1000, **options: Any) -> dict[int, Any]:
    """Requests by id."""
    run = serve(setup(blocks, **options), [Given(rows)])
    return {row["request_id"]: row for row in run.rows("requests")}


def hits(rows: list[dict[str, Any]], blocks: int = 1000, **options: Any) -> list[int]:
    """Hit tokens in the order of the rows."""
    found = served(rows, blocks, **options)
    return [found[i]["prefix_hit_tokens"] for i in range(len(rows))]


def paused(rows: list[dict[str, Any]], until_s: float, blocks: int) -> tuple[Any, Batcher]:
    """A plane that has handled everything before ``until_s``, and its replica's batcher."""
    a_plane, _, _ = plane(setup(blocks), [Given(rows)])
    assert isinstance(a_plane, ReferencePlane)
    a_plane.advance(until_s)
    return a_plane, a_plane.replicas[0].batcher


class TestHits:
    """What an admission finds."""

    def test_a_later_prompt_prefills_what_is_new(self) -> None:
        assert hits([row(0.0, 64, 1, A), row(5.0, 70, 1, B)]) == [0, 32]

    def test_a_token_is_always_left_to_prefill(self) -> None:
        rows = [row(0.0, 64, 1, A), row(5.0, 64, 1, A), row(9.0, 65, 1, A)]
        assert hits(rows) == [0, 48, 64]

    def test_incomplete_blocks_are_not_shared(self) -> None:
        assert hits([row(0.0, 63, 1, A), row(5.0, 80, 1, A)]) == [0, 48]

    def test_ids_of_a_part_of_the_prompt_share_that_part(self) -> None:
        assert hits([row(0.0, 64, 1, A[:2]), row(5.0, 64, 1, A)]) == [0, 32]

    def test_nothing_is_hit_before_it_is_computed(self) -> None:
        together = [row(0.0, 64, 1, A), row(0.0, 64, 1, A), row(1.0, 64, 1, A)]
        assert hits(together) == [0, 0, 48]
        in_chunks = [row(0.0, 64, 1, A), row(1.0, 64, 1, A), row(2.0, 64, 1, A)]
        assert hits(in_chunks, max_batch_tokens=40, max_sequences=40) == [0, 0, 48]

    def test_a_hit_shortens_the_prefill(self) -> None:
        rows = [row(0.0, 64, 1, A), row(10.0, 64, 1, A), row(20.0, 64, 1, C)]
        found = served(rows, max_batch_tokens=16, max_sequences=16)
        waits = [found[i]["first_token_s"] - found[i]["arrival_s"] for i in range(3)]
        assert waits == [4.0, 1.0, 4.0]

    def test_a_pool_without_cache_hits_nothing(self) -> None:
        assert hits([row(0.0, 64, 1, A), row(5.0, 64, 1, A)], prefix_cache=False) == [0, 0]

    def test_ids_of_two_workloads_do_not_meet(self) -> None:
        loads = [workload("first"), workload("second")]
        world = scenario([pool(model(constant_cost(1.0)))], loads)
        run = serve(world, [Given([row(0.0, 64, 1, A)]), Given([row(5.0, 64, 1, A)] * 2)])
        assert [r["prefix_hit_tokens"] for r in run.rows("requests")] == [0, 0, 0]

    def test_an_id_stands_for_as_many_tokens_as_its_source_says(self) -> None:
        rows = [row(0.0, 100, 1, [1, 2]), row(5.0, 100, 1, [1, 2])]
        run = serve(setup(), [Given(rows, prefix_block_tokens=48)])
        assert [r["prefix_hit_tokens"] for r in run.rows("requests")] == [0, 96]

    def test_an_embedding_shares_and_hits(self) -> None:
        assert hits([row(0.0, 64, 0, A), row(5.0, 64, 0, A)]) == [0, 48]


class TestBlocks:
    """KV blocks: taken, shared, evicted, given back."""

    def test_a_second_copy_is_given_back_at_the_end_of_its_prefill(self) -> None:
        rows = [row(0.0, 64, 9, A), row(0.0, 64, 9, A)]
        _, batcher = paused(rows, 1.0, 20)
        assert (batcher.unused_blocks, batcher.free_blocks) == (12, 12)
        _, batcher = paused(rows, 1.5, 20)
        assert len(batcher.cache) == 4
        assert batcher.unused_blocks == 20 - 4 - 2  # one chain, a decode's block each

    def test_idle_blocks_are_free(self) -> None:
        """A prompt as large as the replica waits for nobody's cached blocks."""
        found = served([row(0.0, 64, 1, A), row(5.0, 80, 1, [*C, 20])], blocks=5)
        assert found[1]["admitted_s"] == 5.0

    def test_the_oldest_chain_makes_room_from_its_deep_end(self) -> None:
        rows = [
            row(0.0, 64, 1, A), row(2.0, 64, 1, C),  # eight idle blocks of ten
            row(4.0, 64, 1, D),  # two blocks are unused, two of A have to go
            row(6.0, 65, 1, A),
        ]  # fmt: skip
        assert hits(rows, blocks=10) == [0, 0, 0, 32]

    def test_hits_are_not_evicted_for_the_rest_of_the_same_prompt(self) -> None:
        """The oldest entries are its own hits: the others must go."""
        rows = [row(0.0, 32, 1, A[:2]), row(2.0, 32, 1, C[:2]), row(4.0, 64, 1, A)]
        assert hits(rows, blocks=4) == [0, 0, 32]

    def test_idle_hits_do_not_count_as_room_beside_themselves(self) -> None:
        """Six blocks: two hits idle, four taken; a prompt of seven waits, and moves nothing."""
        rows = [
            row(0.0, 32, 1, A[:2]),
            row(2.0, 60, 5, []),  # four blocks till 7, when nothing else is cached
            row(3.0, 96, 1, [*A, 20, 21]),
        ]
        found = served(rows, blocks=6)
        assert found[2]["admitted_s"] == 7.0
        assert found[2]["prefix_hit_tokens"] == 32

    def test_a_lookup_that_does_not_fit_leaves_the_order_of_eviction(self) -> None:
        rows = [
            row(0.0, 16, 1, [1]), row(1.0, 16, 1, [2]),  # idle, 1 the oldest
            row(2.0, 40, 8, []),  # the other three of five blocks
            row(3.5, 64, 1, [1, 30, 31]),  # hits 1 but waits: three more blocks are not there
        ]  # fmt: skip
        _, batcher = paused(rows, 4.5, 5)
        assert len(batcher.waiting) == 1
        assert batcher.unused_blocks == 0
        batcher._take(1)
        assert (batcher.cache.longest([1]), batcher.cache.longest([2])) == (0, 1)

    def test_everything_comes_back(self) -> None:
        rows = [row(0.0, 64, 9, A), row(0.0, 64, 9, B), row(3.0, 70, 20, A, cancel_after_s=4.0)]
        a_plane, batcher = paused(rows, 500.0, 20)
        assert a_plane.in_flight() == 0
        assert batcher.free_blocks == 20
        assert batcher.cache.idle_blocks == len(batcher.cache) == 6
        assert batcher.cache.repeated_tokens == 0


class TestPreemption:
    """Who is preempted gives its references back, and looks again."""

    def test_a_recomputed_prompt_hits_its_own_blocks(self) -> None:
        """Of five blocks the first takes a third one at 17 s, so the second loses its own."""
        rows = [row(0.0, 16, 30, []), row(0.5, 33, 20, [2, 3])]
        found, run = served(rows, blocks=5), serve(steps(blocks=5), [Given(rows)])
        assert found[1]["preemptions"] == 1
        assert found[1]["prefix_hit_tokens"] == 0  # of its first admission
        prefilled = [s["prefill_tokens"] for s in run.rows("iterations") if s["prefill_tokens"]]
        # Its prompt and the 16 tokens it had, less the two blocks that stayed in the cache.
        assert prefilled == [16, 33, 33 + 16 - 32]

    def test_one_that_is_prefilling_gives_its_hits_back(self) -> None:
        rows = [
            row(0.0, 32, 1, [1, 2]),
            row(2.0, 15, 60, []),
            row(2.0, 15, 60, []),
            row(3.0, 32 + 48, 1, [1, 2]),  # hits two, three blocks of its own, in chunks of two
        ]
        a_plane, recorder, sink = plane(
            setup(blocks=9, max_batch_tokens=4, max_sequences=3), [Given(rows)]
        )
        assert isinstance(a_plane, ReferencePlane)
        batcher = a_plane.replicas[0].batcher
        while not batcher.preemptions:
            a_plane.advance(a_plane.peek() + 1e-9)
        victim = batcher.waiting.head()
        assert (victim.row, victim.blocks, victim.shared, victim.context) == (3, 0, 0, 0)
        assert victim.hit_tokens == 32
        assert batcher.cache.repeated_tokens == 0
        a_plane.finish(99.0)
        recorder.close()
        rows_written = {r["request_id"]: r for r in sink.rows("requests")}
        assert rows_written[3]["prefix_hit_tokens"] == 32


class TestMeters:
    """Tokens in KV."""

    def test_a_shared_prefix_counts_once(self) -> None:
        rows = [row(0.0, 64, 9, A), row(2.0, 64, 9, A)]
        run = serve(steps(), [Given(rows)])
        by_start = {step["start_s"]: step["kv_tokens"] for step in run.rows("iterations")}
        # At 2 s: 65 tokens of the first, and 48 that the second has hit in it.
        assert by_start[2.0] == 65
        # From 3 s: the second has 64, its last block a copy that went at the end of its prefill.
        assert by_start[3.0] == 66 + 64 - 64

    def test_what_is_only_cached_is_not_in_use(self) -> None:
        run = serve(setup(), [Given([row(0.0, 64, 1, A)])])
        assert run.rows("replicas")[0]["kv_token_s"] == 0.0


def steps(blocks: int = 1000) -> Any:
    """The same replica, every iteration written down."""
    return scenario([pool(model(constant_cost(1.0), blocks))], [workload()], iterations=True)


def test_rows_without_ids_are_served_as_without_a_cache() -> None:
    rows = [row(0.3 * i, 20 + 7 * i % 40, 1 + 5 * i % 17, []) for i in range(40)]
    runs: list[ListSink] = [
        serve(setup(blocks=12, prefix_cache=switch), [Given(rows)]) for switch in (True, False)
    ]
    assert runs[0].tables == runs[1].tables
