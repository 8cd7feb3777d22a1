"""What moves when a prompt changes pools: which ranks, how many bytes, how long. By hand."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sim import catalog
from sim.catalog.types import Llm
from sim.check.scenario import LlmUse
from sim.engine.api import load_scenario
from sim.engine.build import build
from sim.engine.run import ENGINES, run
from sim.engine.transfers import Part, layer_bytes, parts
from sim.engine.world import PlacedReplica, World
from tests.engine_world import Given, ListSink, model

LLAMA, GPT, DEEPSEEK = (
    catalog.llm(name) for name in ("llama-3.1-70b", "gpt-oss-20b", "deepseek-v3")
)


def replica(first: int, gpus: int) -> PlacedReplica:
    """GPUs in a row, in rank order."""
    return PlacedReplica(0, model(gpus=gpus), tuple(range(first, first + gpus)), ())


def moved(llm: Llm, have: tuple[int, int], want: tuple[int, int]) -> list[Part]:
    """From a replica on GPUs 0, 1, …; to one on 100, 101, …; each (tensor, pipeline)."""
    ends = replica(0, have[0] * have[1]), replica(100, want[0] * want[1])
    return parts(llm, *ends, (have[0], want[0]))


# ---- who sends what to whom -------------------------------------------------------------------


def test_equal_ranks_send_to_each_other() -> None:
    assert moved(LLAMA, (4, 1), (4, 1)) == [Part(k, 100 + k, 80.0) for k in range(4)]


def test_a_rank_serves_two_where_the_target_has_twice_as_many() -> None:
    assert moved(LLAMA, (4, 1), (8, 1)) == [Part(k // 2, 100 + k, 80.0) for k in range(8)]


def test_two_ranks_serve_one_where_the_target_has_half_as_many() -> None:
    found = moved(LLAMA, (8, 1), (4, 1))
    assert found == [Part(k, 100 + k // 2, 80.0, 0.5) for k in range(8)]


def test_a_stage_sends_its_layers_to_those_that_have_them() -> None:
    assert moved(LLAMA, (2, 2), (4, 1)) == [
        Part(0, 100, 40.0), Part(0, 101, 40.0), Part(1, 102, 40.0), Part(1, 103, 40.0),
        Part(2, 100, 40.0), Part(2, 101, 40.0), Part(3, 102, 40.0), Part(3, 103, 40.0),
    ]  # fmt: skip


def test_stages_that_do_not_meet_share_out_the_layers_between_them() -> None:
    # gpt-oss-20b has 24 layers: halves to thirds.
    found = moved(GPT, (1, 2), (1, 3))
    assert [(part.source, part.target, part.layers) for part in found] == [
        (0, 100, 8.0), (0, 101, 4.0), (1, 101, 4.0), (1, 102, 8.0),
    ]  # fmt: skip


def test_a_latent_comes_whole_from_one_rank_to_each() -> None:
    assert moved(DEEPSEEK, (8, 1), (4, 1)) == [Part(2 * k, 100 + k, 61.0) for k in range(4)]
    assert Counter(part.source for part in moved(DEEPSEEK, (4, 1), (8, 1))) == dict.fromkeys(
        range(4), 2
    )


@pytest.mark.parametrize("have", [(1, 1), (2, 3), (4, 2), (8, 1)])
@pytest.mark.parametrize("want", [(1, 1), (2, 2), (4, 3), (8, 1)])
@pytest.mark.parametrize("llm", [LLAMA, GPT, DEEPSEEK], ids=lambda llm: llm.name)
def test_every_rank_of_the_target_gets_all_of_its_layers(
    llm: Llm, have: tuple[int, int], want: tuple[int, int]
) -> None:
    got: Counter[int] = Counter()
    for part in moved(llm, have, want):
        got[part.target] += part.layers * part.share
    ranks, stages = want
    assert got == {
        100 + rank: pytest.approx(llm.layers / stages, rel=0.2) for rank in range(ranks * stages)
    }
    assert sum(got.values()) == pytest.approx(ranks * llm.layers)


# ---- how much ---------------------------------------------------------------------------------


def use(llm: Llm, kv_precision: str = "fp8") -> LlmUse:
    return LlmUse(llm.name, llm, "fp8", kv_precision)


def test_bytes_of_grouped_heads() -> None:
    # Keys and values of 8 heads of 128 elements, over 4 ranks.
    assert layer_bytes(use(LLAMA), 1000, 4) == 1000 * 2 * 2 * 128
    assert layer_bytes(use(LLAMA, "bf16"), 1000, 8) == 1000 * 2 * 1 * 128 * 2
    assert layer_bytes(use(LLAMA), 1000, 16) == 1000 * 2 * 1 * 128  # each head on two ranks


def test_bytes_of_a_latent_do_not_depend_on_the_ranks() -> None:
    assert layer_bytes(use(DEEPSEEK), 10, 1) == layer_bytes(use(DEEPSEEK), 10, 8) == 10 * (512 + 64)


def test_bytes_of_layers_with_a_window_end_with_it() -> None:
    # Every other layer keeps 128 tokens; 8 heads of 64 elements.
    assert (GPT.layers, GPT.windowed_layers, GPT.window) == (24, 12, 128)
    token = 2 * 8 * 64
    assert layer_bytes(use(GPT), 100, 1) == 100 * token
    assert layer_bytes(use(GPT), 1128, 1) == (1128 + 128) / 2 * token


# ---- how long ---------------------------------------------------------------------------------

SITE = """\
rackplan: 1
name: two-servers
duration: 10 s
site:
  halls: [{name: hall, rows: [{name: row, racks: [{type: dgx-h100-2, count: 1}]}]}]
fabric: {kind: rail-optimised, nic: 10 Gb/s}
llms: [{name: llama-3.1-70b, precision: fp8, kv_precision: fp8}]
pools:
  - {name: pre, llm: llama-3.1-70b, tensor_parallel: 8, replicas: 1, decode: dec}
  - {name: dec, llm: llama-3.1-70b, tensor_parallel: 8, replicas: 1}
workload: [{name: chat, pool: pre, source: {input_tokens: 1, output_tokens: 1}, rate: 1 /s}]
"""
#: Of a NIC, in bytes/s, and KV of a token on one of the eight ranks.
NIC, TOKEN = 1.25e9, 2 * 128 * 80
#: A hundredth of that.
SLOW = {"fabric.nic": "0.1 Gb/s", "fabric.kind": "single-switch"}


def world(folder: Path, rows: list[dict[str, Any]], **changes: str) -> World:
    file = folder / "s.yaml"
    file.write_text(SITE)
    scenario = load_scenario(file, sets=[f"{key}={value}" for key, value in changes.items()])
    return replace(build(scenario, 1), sources=(Given(rows),))


def transfers(world: World, engine: str) -> list[dict[str, Any]]:
    sink = ListSink()
    run(world, sink, engine=engine)
    return sink.rows("transfers")


def latency_s(world: World) -> float:
    """From a GPU over its rail's leaf to the other server's."""
    fabric = world.fabric
    assert fabric is not None
    node = "row-rack-1-node-{}".format
    way = [f"{node(1)}-gpu-1", f"{node(1)}-nic-1", "leaf-1", f"{node(2)}-nic-1", f"{node(2)}-gpu-1"]
    names = {fabric.link_name(link): link for link in range(fabric.links)}
    return math.fsum(
        float(fabric.latency_s[names[f"{one} → {other}"]]) for one, other in pairwise(way)
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_lone_prompt_takes_its_bytes_over_the_rate_and_the_latencies(
    engine: str, tmp_path: Path
) -> None:
    site = world(tmp_path, [{"arrival_s": 0.0, "input_tokens": 4000, "output_tokens": 5}])
    (row,) = transfers(site, engine)
    expected_s = 4000 * TOKEN / NIC + latency_s(site)
    assert row["size_bytes"] == 8 * 4000 * TOKEN
    assert row["end_s"] - row["start_s"] == pytest.approx(expected_s, abs=1e-9)
    assert row["alone_s"] == pytest.approx(expected_s, abs=1e-12)
    assert row["start_s"] == row["ready_s"]
    assert row["outcome"] == "arrived"


@pytest.mark.parametrize("engine", ENGINES)
def test_two_prompts_that_share_their_nics_take_twice_as_long(engine: str, tmp_path: Path) -> None:
    # Both are prefilled in one iteration.
    site = world(tmp_path, [{"arrival_s": 0.0, "input_tokens": 3000, "output_tokens": 5}] * 2)
    rows = transfers(site, engine)
    expected_s = 2 * 3000 * TOKEN / NIC + latency_s(site)
    assert len(rows) == 2
    for row in rows:
        assert row["end_s"] - row["start_s"] == pytest.approx(expected_s, abs=1e-9)
        assert row["alone_s"] == pytest.approx(3000 * TOKEN / NIC + latency_s(site), abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_prompt_that_is_under_way_at_the_end_of_the_run_has_no_end(
    engine: str, tmp_path: Path
) -> None:
    rows = [{"arrival_s": 9.0, "input_tokens": 4000, "output_tokens": 5}]
    site = world(tmp_path, rows, drain="100 ms", **SLOW)
    (row,) = transfers(site, engine)
    assert (row["end_s"], row["outcome"]) == (None, "unfinished")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_client_that_gives_up_stops_the_bytes(engine: str, tmp_path: Path) -> None:
    row = {"input_tokens": 4000, "output_tokens": 5}
    rows = [{"arrival_s": 0.0, "cancel_after_s": 2.0, **row}, {"arrival_s": 0.0, **row}]
    gone, stays = transfers(world(tmp_path, rows, **SLOW), engine)
    assert (gone["request_id"], gone["outcome"], gone["end_s"]) == (0, "withdrawn", 2.0)
    # Half of the rate up to then, all of it afterwards.
    rate = NIC / 100
    left_bytes = 4000 * TOKEN - (2.0 - stays["start_s"]) * rate / 2
    assert stays["end_s"] == pytest.approx(2.0 + left_bytes / rate, abs=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("have", "want"), [(2, 8), (8, 2)])
def test_flows_of_one_prompt_that_share_a_nic_wait_for_each_other_also_alone(
    have: int, want: int, engine: str, tmp_path: Path
) -> None:
    # Four flows leave, or enter, each NIC of the narrow side.
    tensor = {"pools[pre].tensor_parallel": str(have), "pools[dec].tensor_parallel": str(want)}
    rows = [{"arrival_s": 0.0, "input_tokens": 4000, "output_tokens": 5}]
    kinds = {"policies.paths": "{kind: shortest}", "fabric.kind": "single-switch"}
    (row,) = transfers(world(tmp_path, rows, **tensor, **kinds), engine)
    assert row["size_bytes"] == 8 * 4000 * TOKEN
    took_s = row["end_s"] - row["start_s"]
    assert took_s == pytest.approx(4 * 4000 * TOKEN / NIC, rel=1e-3)
    assert row["alone_s"] == pytest.approx(took_s, abs=1e-9)
