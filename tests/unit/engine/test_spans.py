"""Replicas whose stages are on several servers: what a slow or busy network costs a token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sim.engine.api import load_scenario
from sim.engine.build import build
from sim.engine.run import ENGINES, run
from sim.errors import BuildError
from tests.engine_world import Given, ListSink

SCENARIO = """\
rackplan: 1
name: two-servers
duration: 20 s
record: {iterations: true}
site:
  halls: [{name: hall, rows: [{name: row, racks: [{type: dgx-h100-2, count: 1}]}]}]
llms: [{name: llama-3.1-70b, precision: fp8}]
pools: [{name: chat, llm: llama-3.1-70b, tensor_parallel: 8, pipeline_parallel: 2, replicas: 1}]
workload: [{name: chat, pool: chat, source: {input_tokens: 1, output_tokens: 1}, rate: 1 /s}]
"""
#: Of a NIC of the server, and of one of a quarter, in bytes/s.
STATED, QUARTER = 5e10, 1.25e10
#: What one of eight ranks sends of a token: 8,192 elements of two bytes. Half of it is waited for.
TOKEN_BYTES = 8192 * 2 / 8
ROWS = [
    {"arrival_s": 0.0, "input_tokens": 5000, "output_tokens": 30},
    {"arrival_s": 0.1, "input_tokens": 3000, "output_tokens": 60},
    {"arrival_s": 6.0, "input_tokens": 5000, "output_tokens": 30},
]


def tables(folder: Path, engine: str, *sets: str, more: str = "") -> ListSink:
    """All rows of a run of ``ROWS``."""
    file = folder / "s.yaml"
    file.write_text(SCENARIO + more)
    scenario = load_scenario(file, sets=sets)
    sink = ListSink()
    run(replace(build(scenario, 1), sources=(Given(ROWS),)), sink, engine=engine)
    return sink


def lasted(sink: ListSink) -> list[tuple[int, float]]:
    """Tokens and seconds of each iteration."""
    return [
        (row["decodes"] + row["prefill_tokens"], row["end_s"] - row["start_s"])
        for row in sink.rows("iterations")
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_as_fast_as_the_stated_changes_nothing(engine: str, tmp_path: Path) -> None:
    without = tables(tmp_path, engine)
    fast = tables(tmp_path, engine, more="fabric: {kind: rail-optimised}\n")
    for name in ("requests", "iterations"):
        assert fast.rows(name) == without.rows(name)
        assert fast.rows(name)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_slower_nic_delays_every_token_from_the_second_iteration_on(
    engine: str, tmp_path: Path
) -> None:
    only = [ROWS[0]]
    found = []
    for more in ("", "fabric: {kind: rail-optimised, nic: 100 Gb/s}\n"):
        file = tmp_path / "s.yaml"
        file.write_text(SCENARIO + more)
        sink = ListSink()
        world = replace(build(load_scenario(file), 1), sources=(Given(only),))
        run(world, sink, engine=engine)
        found.append(lasted(sink))
    without, slow = found
    delay_s = TOKEN_BYTES / 2 * (1 / QUARTER - 1 / STATED)
    assert len(slow) == len(without) == 30
    assert slow[0] == without[0]
    for (tokens, expected_s), (same, took_s) in zip(without[1:], slow[1:], strict=True):
        assert tokens == same
        assert took_s - expected_s == pytest.approx(tokens * delay_s, rel=1e-3, abs=1e-13)


NEIGHBOUR = """\
fabric: {kind: rail-optimised}
neighbours: [{name: job, racks: [row-rack-1], size: 30 GB, every: 1 s, until: 3 s}]
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_neighbour_slows_it_and_it_recovers(engine: str, tmp_path: Path) -> None:
    """Beside a flow that takes all it can get, half of the NIC is its share."""
    free = tables(tmp_path, engine)
    beside = tables(tmp_path, engine, more=NEIGHBOUR)
    first, _, last = zip(free.rows("requests"), beside.rows("requests"), strict=True)

    def took_s(rows: dict[str, Any]) -> float:
        return float(rows["end_s"] - rows["arrival_s"])

    assert took_s(first[1]) > took_s(first[0])
    assert took_s(last[1]) == took_s(last[0])
    # The second chunk, before the pace of anything else can have changed.
    (tokens, alone_s), (same, slow_s) = lasted(free)[1], lasted(beside)[1]
    assert tokens == same
    delay_s = TOKEN_BYTES / 2 * (2 / STATED - 1 / STATED)
    assert slow_s - alone_s == pytest.approx(tokens * delay_s, rel=1e-3)


def test_both_engines_agree_beside_a_neighbour(tmp_path: Path) -> None:
    one, two = (tables(tmp_path, engine, more=NEIGHBOUR) for engine in ENGINES)
    for name in ("requests", "iterations", "links"):
        assert one.rows(name) == two.rows(name)


WIDE = ("pools[chat].tensor_parallel=16", "pools[chat].pipeline_parallel=1")
#: What a rank sends of a token to its peer: all-reduces of 80 layers, an eighth of each.
RING_BYTES = 2 * 80 * 8192 * 2 / 8


@pytest.mark.parametrize("engine", ENGINES)
def test_a_tensor_parallel_group_over_two_servers_asks_for_its_all_reduces(
    engine: str, tmp_path: Path
) -> None:
    """With the stated network it takes as long as without one; the bytes are those of the ring."""
    without = tables(tmp_path, engine, *WIDE)
    fast = tables(tmp_path, engine, *WIDE, more="fabric: {kind: rail-optimised}\n")
    assert lasted(fast) == lasted(without)
    tokens = sum(row["decodes"] + row["prefill_tokens"] for row in fast.rows("iterations"))
    carried = [row["bytes"] for row in fast.rows("links") if row["bytes"]]
    assert len(carried) == 4 * 16  # GPU to NIC to leaf, and back up, both ways
    assert carried == pytest.approx([tokens * RING_BYTES] * 64, rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_slower_nic_delays_the_all_reduces_of_every_token(engine: str, tmp_path: Path) -> None:
    fast = tables(tmp_path, engine, *WIDE, more="fabric: {kind: rail-optimised}\n")
    slow = tables(tmp_path, engine, *WIDE, more="fabric: {kind: rail-optimised, nic: 100 Gb/s}\n")
    across = load_scenario(tmp_path / "s.yaml", sets=WIDE).pools[0].models["h100-sxm"].across
    assert across is not None
    delay_s = RING_BYTES / across.efficiency * (1 / QUARTER - 1 / across.rank_bytes_per_s)
    assert lasted(slow)[0] == lasted(fast)[0]
    (tokens, expected_s), (same, took_s) = lasted(fast)[1], lasted(slow)[1]
    assert tokens == same
    assert took_s - expected_s == pytest.approx(tokens * delay_s, rel=1e-3)


@pytest.mark.parametrize("sets", [(), WIDE])
def test_a_replica_whose_servers_are_cut_apart_fails_and_returns(
    sets: tuple[str, ...], tmp_path: Path
) -> None:
    more = "fabric: {kind: single-switch}\npower: {restart: 4 s}\nevents:\n"
    more += "  - {at: 6.1 s, fail: leaf-1}\n  - {at: 9 s, restore: leaf-1}\n"
    one, two = (tables(tmp_path, engine, *sets, more=more) for engine in ENGINES)
    told = [
        (row["t_s"], row["kind"]) for row in one.rows("events") if row["kind"].startswith("replica")
    ]
    assert told == [(6.1, "replica-cut"), (13.0, "replica-returns")]
    assert "no path" in next(
        row["detail"] for row in one.rows("events") if row["kind"] == "replica-cut"
    )
    assert [row["outcome"] for row in one.rows("requests")] == ["completed", "completed", "failed"]
    for name in ("requests", "iterations", "links", "events"):
        assert one.rows(name) == two.rows(name)


def test_servers_that_nothing_joins_cannot_share_a_replica(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"joins no servers.*rail-optimised") as caught:
        tables(tmp_path, "reference", more="fabric: {kind: none}\n")
    assert "row-rack-1-node-1 and row-rack-1-node-2" in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_that_is_parked_says_that_it_rests_before_its_flows_end(
    engine: str, tmp_path: Path
) -> None:
    """Taken away while it works: its last pace comes while it still has flows."""
    more = (
        "fabric: {kind: rail-optimised, nic: 100 Gb/s}\n"
        "scaling: [{pool: chat, schedule: [{at: 0.5 s, replicas: 0}, {at: 8 s, replicas: 1}]}]\n"
        "power: {utility: {budget: 1 MW}, restart: 1 s}\n"
    )
    sink = tables(tmp_path, engine, more=more)
    told = [row["kind"] for row in sink.rows("events") if row["kind"].startswith("replica")]
    assert told == ["replica-removed", "replica-parked", "replica-added", "replica-returns"]
    outcomes = [row["outcome"] for row in sink.rows("requests")]
    assert outcomes == ["completed", "completed", "failed"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("part", "lost"), [("row-rack-1-node-2", "replica-fails"), ("leaf-1", "replica-cut")]
)
def test_one_taken_away_that_fails_while_it_works_gives_its_gpus_up(
    engine: str, part: str, lost: str, tmp_path: Path
) -> None:
    more = (
        "fabric: {kind: single-switch}\n"
        "scaling: [{pool: chat, schedule: [{at: 0.2 s, replicas: 0}, {at: 8 s, replicas: 1}]}]\n"
        f"events: [{{at: 0.25 s, fail: {part}}}, {{at: 1 s, restore: {part}}}]\n"
        "power: {utility: {budget: 1 MW}, restart: 1 s}\n"
    )
    sink = tables(tmp_path, engine, more=more)
    told = [row["kind"] for row in sink.rows("events") if row["kind"].startswith("replica")]
    assert told == ["replica-removed", lost, "replica-added", "replica-returns"]
    assert [row["outcome"] for row in sink.rows("requests")] == ["failed"] * 3
