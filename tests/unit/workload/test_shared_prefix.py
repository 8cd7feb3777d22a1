"""System prompts of synthetic workloads: who shares them, their ids, what they lengthen."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from sim.workload import build_source
from sim.workload.plan import SharedPrefix
from sim.workload.shared_prefix import id_blocks


@pytest.mark.parametrize(
    ("tokens", "ids", "block_tokens"),
    [
        (16, 1, 16), (31, 1, 16), (100, 1, 96), (256, 1, 256), (257, 1, 256), (272, 2, 128),
        (1000, 4, 240), (2000, 8, 240), (2048, 8, 256), (2064, 9, 224), (100_000, 391, 240),
    ],
)  # fmt: skip
def test_ids_of_a_prompt(tokens: int, ids: int, block_tokens: int) -> None:
    assert id_blocks(tokens) == (ids, block_tokens)


def test_little_of_any_prompt_is_left_over() -> None:
    for tokens in range(16, 6000):
        ids, block_tokens = id_blocks(tokens)
        assert block_tokens % 16 == 0
        assert 16 <= block_tokens <= 256
        assert 0 <= tokens - ids * block_tokens < 16 * ids + 15


def test_inputs_grow_by_the_prompt_and_nothing_else_changes(workload, synthetic, requests) -> None:
    plain = requests(workload(synthetic=synthetic("synthetic-chat")), duration_s=600.0)
    shared = SharedPrefix(prompts=8, tokens=2048, skew=1.0)
    got = requests(
        workload(synthetic=synthetic("synthetic-chat", shared_prefix=shared)), duration_s=600.0
    )
    np.testing.assert_array_equal(got.arrival_s, plain.arrival_s)
    np.testing.assert_array_equal(got.input_tokens, plain.input_tokens + 2048)
    np.testing.assert_array_equal(got.output_tokens, plain.output_tokens)
    assert plain.prefixes == []
    for ids in got.prefixes:
        assert list(ids) == list(range(ids[0], ids[0] + 8))
        assert ids[0] % 8 == 0
    assert {ids[0] // 8 for ids in got.prefixes} == set(range(8))


@pytest.mark.parametrize("skew", [0.0, 1.0, 2.0])
def test_prompts_are_used_as_zipf_says(workload, synthetic, requests, skew) -> None:
    shared = SharedPrefix(prompts=5, tokens=64, skew=skew)
    got = requests(workload(synthetic=synthetic(shared_prefix=shared), rate_per_s=20.0))
    counts = np.bincount([ids[0] for ids in got.prefixes], minlength=5)
    weights = np.arange(1, 6) ** -skew
    expected = len(got) * weights / weights.sum()
    assert len(got) > 70_000
    np.testing.assert_allclose(counts, expected, atol=5 * np.sqrt(expected.max()))


def test_a_prompt_belongs_to_its_row(workload, synthetic, requests) -> None:
    shared = SharedPrefix(prompts=100, tokens=512, skew=0.5)
    source = synthetic("synthetic-code", shared_prefix=shared)
    slow = requests(workload(synthetic=source, rate_per_s=2.0))
    fast = requests(workload(synthetic=source, rate_per_s=30.0))
    assert len(slow) > 5000
    assert fast.prefixes[: len(slow)] == slow.prefixes
    other = requests(workload(synthetic=source, rate_per_s=2.0), seed=8)
    assert other.prefixes[:100] != slow.prefixes[:100]


def test_clients_share_prompts_too(workload, synthetic) -> None:
    shared = SharedPrefix(prompts=3, tokens=512, skew=0.0)
    made = workload(synthetic=synthetic(shared_prefix=shared), clients=4)
    source = build_source(made, index=0, seed=7, duration_s=60.0)
    assert source.closed
    first, second = islice(source.chunks(), 2)
    assert first.prefix_block_tokens == 256
    assert first.prefix_ids is not None
    assert second.prefix_ids is not None
    assert len(first.prefix_ids) == 2 * len(first)
    assert (first.input_tokens == 100 + 512).all()
    assert first.prefix_ids[:400].tolist() != second.prefix_ids[:400].tolist()
