"""Pools that decode for others: what is said of them, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sim.check import Scenario, check
from sim.errors import ScenarioError
from sim.spec import read_text

BASE = yaml.safe_load(
    """
    rackplan: 1
    name: apart
    duration: 10 min
    site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-4, count: 2}]}]}]}
    power: {utility: {budget: 90 kW}}
    fabric: {kind: rail-optimised}
    llms: [{name: llama-3.1-70b, precision: fp8}]
    """
)


def checked(
    *, load: dict[str, Any] | None = None, dec: dict[str, Any] | None = None, **pre: Any
) -> Scenario:
    """A scenario with two pools, their keys and the workload's changed."""
    pool = {"llm": "llama-3.1-70b", "tensor_parallel": 4, "replicas": 4}
    document = {
        **BASE,
        "pools": [
            {"name": "pre", **pool, "decode": "dec", **pre},
            {"name": "dec", **pool, **(dec or {})},
        ],
        "workload": [
            {
                "name": "chat", "pool": "pre", "rate": "8 /s",
                "source": {"input_tokens": 1000, "output_tokens": 10}, **(load or {}),
            }
        ],
    }  # fmt: skip
    return check(read_text(yaml.safe_dump(document), file="f.yaml"))


def test_a_pool_that_decodes_for_another_has_traffic() -> None:
    scenario = checked()
    assert scenario.warnings == ()
    assert scenario.moves
    pre, dec = scenario.pools
    assert pre.decode is not None
    assert pre.decode.pool == "dec"
    assert (pre.prefix_cache, dec.prefix_cache) == (True, False)


def test_a_decoding_pool_that_is_told_to_shed_sheds_nobody() -> None:
    (warning,) = checked(dec={"max_queue": 4, "shed": "oldest"}).warnings
    assert "pools[dec].shed: has no effect" in warning


def test_a_queue_of_either_pool_can_be_full() -> None:
    retry = {"retry": {"attempts": 2, "wait": "1 s", "outcomes": ["queue-full"]}}
    assert checked(load=retry, dec={"max_queue": 4}).warnings == ()
    assert checked(load=retry, max_queue=4).warnings == ()
    (warning,) = checked(load=retry).warnings
    assert "no request ends as 'queue-full'" in warning


def test_a_prompt_must_fit_the_one_pool_and_the_whole_request_the_other() -> None:
    # One GPU has room for 384 tokens beside the weights, two for some 200,000.
    lengths = {"source": {"input_tokens": 300, "output_tokens": 5000}}
    assert checked(load=lengths, tensor_parallel=1).warnings == ()
    with pytest.raises(ScenarioError) as caught:
        checked(load=lengths, dec={"tensor_parallel": 1})
    assert "300 + 5,000 = 5,300 tokens" in str(caught.value)
    assert "'dec'" in str(caught.value)
    with pytest.raises(ScenarioError) as caught:
        checked(load={"source": {"input_tokens": 5000, "output_tokens": 1}}, tensor_parallel=1)
    assert "5,000 tokens, more than the 384" in str(caught.value)
    assert "'pre'" in str(caught.value)


def test_routing_by_prefixes_where_none_are_kept_is_warned_of() -> None:
    aware = {"policies": {"routing": {"kind": "prefix-aware"}}}
    assert checked(**aware).warnings == ()
    (warning,) = checked(dec=aware).warnings
    assert warning == (
        "pools[pre].decode.pool: 'dec' keeps no prefixes, so 'prefix-aware' routing only loads "
        "some of its replicas more: give it another, such as 'policies: {routing: {kind: "
        "least-outstanding-tokens}}'"
    )
