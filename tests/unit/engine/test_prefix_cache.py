"""The prefix cache by itself: hits, places in the order of eviction, blocks that come back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sim.engine.prefix import PrefixCache, prefix_key


class Blocks:
    """A plain block cache of ``capacity`` ids, one KV block each: every request is over at once."""

    def __init__(self, capacity: int) -> None:
        self.cache = PrefixCache()
        self.unused = capacity

    def serve(self, ids: Sequence[int], most: int | None = None) -> int:
        """Hits among the first ``most`` of ``ids``; all of them are in the cache afterwards."""
        hits = self.cache.longest(ids[:most])
        self.cache.acquire(ids[:hits])
        missing = len(ids) - hits
        self.unused += self.cache.evict(missing - self.unused) - missing
        self.unused += self.cache.share(ids, hits, 1)
        self.cache.release(ids)
        assert self.unused >= 0
        return hits


def cached(*chains: Sequence[int], blocks: int = 1) -> PrefixCache:
    """A cache that has these chains, released in this order."""
    cache = PrefixCache()
    for ids in chains:
        hits = cache.longest(ids)
        cache.acquire(ids[:hits])
        cache.share(ids, hits, blocks)
        cache.release(ids)
    return cache


def test_a_prefix_is_hit_up_to_the_first_id_that_is_missing() -> None:
    cache = cached([1, 2, 3])
    assert [cache.longest(ids) for ids in ([], [1], [1, 2, 9], [9, 2, 3], [1, 2, 3, 4])] == [
        0, 1, 2, 0, 3,
    ]  # fmt: skip


def test_a_lookup_moves_nothing() -> None:
    cache = cached([1], [2])
    assert cache.longest([1]) == 1
    assert cache.idle_among([1, 3]) == 1
    cache.evict(1)
    assert [cache.longest([1]), cache.longest([2])] == [0, 1]


def test_use_makes_an_entry_the_newest() -> None:
    cache = cached([1], [2], [1])
    cache.evict(1)
    assert [cache.longest([1]), cache.longest([2])] == [1, 0]


def test_a_chain_is_evicted_from_its_deep_end() -> None:
    cache = cached([1, 2, 3])
    left = []
    while cache.evict(1):
        left.append(cache.longest([1, 2, 3]))
    assert left == [2, 1, 0]


def test_a_prefix_shared_by_two_outlives_both_ends() -> None:
    cache = cached([1, 2, 3], [1, 2, 4])
    cache.evict(1)  # 3, the oldest; 1 and 2 were used again
    assert [cache.longest([1, 2, 3]), cache.longest([1, 2, 4])] == [2, 3]
    cache.evict(1)
    assert cache.longest([1, 2, 4]) == 2


def test_what_is_referenced_is_not_evicted() -> None:
    cache = cached([1, 2], [3])
    cache.acquire([1])
    assert cache.idle_blocks == 2
    assert cache.evict(99) == 2
    assert [cache.longest([1, 2]), cache.longest([3])] == [1, 0]
    cache.release([1])
    assert cache.evict(99) == 1
    assert len(cache) == 0


def test_eviction_stops_as_soon_as_it_suffices() -> None:
    cache = cached([1, 2, 3], blocks=4)
    assert cache.evict(0) == 0
    assert cache.evict(5) == 8  # entries go whole
    assert cache.longest([1, 2, 3]) == 1
    assert cache.idle_blocks == 4


def test_a_copy_that_came_second_gives_its_blocks_back() -> None:
    cache = PrefixCache()
    assert cache.share([1, 2], 0, 32) == 0
    assert cache.share([1, 2, 3], 0, 32) == 64  # two of its three blocks are there already
    assert cache.repeated_tokens == 2 * 32 * 16
    cache.release([1, 2])
    assert cache.repeated_tokens == 0
    assert cache.idle_blocks == 0
    cache.release([1, 2, 3])
    assert cache.idle_blocks == 3 * 32


def test_what_is_hit_is_not_shared_again() -> None:
    cache = cached([1, 2])
    cache.acquire([1, 2])
    assert cache.share([1, 2, 3], 2, 1) == 0
    assert cache.repeated_tokens == 0
    cache.release([1, 2, 3])
    assert cache.idle_blocks == 3


def test_ids_of_workloads_are_apart() -> None:
    keys = [prefix_key(workload, identity) for workload in (0, 1, 2) for identity in (0, 2**47 - 1)]
    assert len(set(keys)) == 6
    assert max(prefix_key(2**15 - 1, 2**47 - 1), *keys) < 2**63


# ---- the facts of a trace (data/README.md of the shared folder) ------------------------------


@pytest.fixture(scope="module")
def conversations(shared_data: Path) -> list[tuple[int, list[int]]]:
    """(input tokens, ids of 512 tokens) of each request of the Mooncake trace, in its order."""
    lines = (shared_data / "traces" / "mooncake_conversation.jsonl").read_text().splitlines()
    return [(row["input_length"], row["hash_ids"]) for row in map(json.loads, lines)]


@pytest.mark.parametrize(
    ("capacity", "percent"),
    [(1_000, 4.5), (10_000, 21.2), (30_000, 32.6), (50_000, 35.5), (100_000, 36.4)],
)
def test_mooncake_hits_by_capacity(
    conversations: list[tuple[int, list[int]]], capacity: int, percent: float
) -> None:
    blocks = Blocks(capacity)
    hits = sum(blocks.serve(ids) for _, ids in conversations)
    assert 100 * hits / 288_500 == pytest.approx(percent, abs=0.05)


def test_mooncake_hits_without_a_bound(conversations: list[tuple[int, list[int]]]) -> None:
    blocks = Blocks(200_000)
    assert sum(blocks.serve(ids) for _, ids in conversations) == 105_710
    assert sum(len(ids) for _, ids in conversations) == 288_500
    assert len(blocks.cache) == 200_000 - blocks.unused == 182_790


def test_mooncake_hits_that_leave_a_token_to_prefill(
    conversations: list[tuple[int, list[int]]],
) -> None:
    blocks = Blocks(200_000)
    hits = sum(blocks.serve(ids, (tokens - 1) // 512) for tokens, ids in conversations)
    assert hits / 288_500 == pytest.approx(0.3660, abs=5e-5)
