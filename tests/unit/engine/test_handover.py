"""Two pools by hand: every iteration takes a second, KV arrives when the test says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sim.check.scenario import Decode
from sim.engine.build import build
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.run import ENGINES
from tests.engine_world import Given, ListSink, constant_cost, model, pool, scenario, workload

#: Ten blocks each.
PROMPT = {"input_tokens": 160, "output_tokens": 1}
SECOND = constant_cost(1.0)


class Pair:
    """A pool that prefills (replica 0) and one that decodes (replica 1)."""

    def __init__(
        self,
        engine: str,
        rows: list[Mapping[str, Any]],
        *,
        blocks: tuple[int, int],
        sequences: int = 8,
        max_queue: int | None = None,
    ) -> None:
        first = pool(model(SECOND, blocks[0]), name="pre")
        second = pool(
            model(SECOND, blocks[1]), name="dec", max_sequences=sequences, max_queue=max_queue
        )
        pools = [replace(first, decode=Decode("dec")), second]
        world = build(scenario(pools, [workload(to="pre")]), 1)
        self.world = replace(world, sources=(Given(rows),))
        self.sink = ListSink()
        self.recorder = Recorder(self.world.scenario, self.sink)
        self.plane: ServingPlane = ENGINES[engine](self.world, self.recorder)
        self.plane.open_window(0.0)
        self.moves: list[tuple[str, float, int]] = []
        self.handles: dict[int, int] = {}

    def advance(self, until_s: float) -> None:
        """Up to a time; what may move meanwhile is noted."""
        while (stop := self.plane.advance(until_s)).code == "moves":
            for move in stop.moves:
                self.moves.append((move.kind, move.time_s, move.request_id))
                self.handles[move.request_id] = move.handle

    def arrive(self, request: int, time_s: float) -> None:
        """The KV of a request is there."""
        self.advance(time_s)
        self.plane.arrived(self.handles[request], time_s)

    def finish(self, time_s: float = 100.0) -> list[dict[str, Any]]:
        """The requests in order."""
        self.advance(time_s)
        self.plane.close_window(time_s)
        self.plane.finish(time_s)
        self.recorder.close()
        return sorted(self.sink.rows("requests"), key=lambda row: int(row["request_id"]))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_last_token_of_the_prompt_is_computed_where_it_is_decoded(engine: str) -> None:
    pair = Pair(engine, [{"arrival_s": 0.0, **PROMPT, "output_tokens": 3}], blocks=(20, 20))
    pair.arrive(0, 1.5)
    (row,) = pair.finish()
    assert pair.moves == [("reserved", 1.0, 0)]
    # Prefill to 1, KV there at 1.5, then three steps.
    assert (row["admitted_s"], row["first_token_s"], row["end_s"]) == (0.0, 2.5, 4.5)
    assert (row["replica"], row["pool"], row["outcome"]) == (1, "pre", "completed")
    replicas = pair.sink.rows("replicas")
    assert [one["prefill_tokens"] for one in replicas] == [160, 0]
    assert [one["decode_tokens"] for one in replicas] == [0, 3]
    # 160 tokens rest at the first from 1 to 1.5; one iteration starts with 159 at the second.
    assert [one["busy_s"] for one in replicas] == [1.0, 3.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_prompts_without_room_keep_their_blocks_and_block_the_prefill(engine: str) -> None:
    # Room for two prompts at the first replica, for one at the second.
    pair = Pair(engine, [{"arrival_s": 0.0, **PROMPT}] * 3, blocks=(20, 12))
    pair.arrive(0, 3.0)  # frees the first prompt's blocks: the third is admitted
    pair.arrive(1, 5.0)
    pair.arrive(2, 6.5)
    rows = pair.finish(10.0)
    assert [row["admitted_s"] for row in rows] == [0.0, 0.0, 3.0]
    assert pair.moves == [("reserved", 1.0, 0), ("reserved", 4.0, 1), ("reserved", 6.0, 2)]
    assert [row["first_token_s"] for row in rows] == [4.0, 6.0, 7.5]
    first, second = pair.sink.rows("replicas")
    assert first["blocked_blocks_s"] == 3.0  # the third prompt, from 0 to 3
    assert second["blocked_blocks_s"] == 5.0  # the second from 1 to 4, the third from 4 to 6
    assert second["waiting_s"] == 3.0 + 2.0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_place_is_reserved_with_the_blocks(engine: str) -> None:
    pair = Pair(engine, [{"arrival_s": 0.0, **PROMPT}] * 2, blocks=(30, 100), sequences=1)
    pair.arrive(0, 2.0)
    pair.arrive(1, 3.5)
    rows = pair.finish(10.0)
    assert pair.moves == [("reserved", 1.0, 0), ("reserved", 3.0, 1)]
    assert [row["first_token_s"] for row in rows] == [3.0, 4.5]
    assert pair.sink.rows("replicas")[1]["blocked_sequences_s"] == 2.0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_full_queue_of_the_second_pool_refuses_and_frees_the_blocks(engine: str) -> None:
    rows = [{"arrival_s": at_s, **PROMPT} for at_s in (0.0, 1.5, 3.0, 4.0)]
    pair = Pair(engine, rows, blocks=(30, 12), max_queue=1)
    # The first has its room, the second waits for it, the third finds a full queue at 4.
    pair.arrive(0, 20.0)
    pair.arrive(1, 22.0)
    first, second, third, fourth = pair.finish()
    assert (third["outcome"], third["end_s"], third["replica"]) == ("queue-full", 4.0, None)
    assert third["delivered_tokens"] == 0
    # Its ten blocks are what the fourth needs, beside twenty that are held.
    assert fourth["admitted_s"] == 4.0
    assert fourth["outcome"] == "queue-full"
    assert (first["outcome"], second["outcome"]) == ("completed", "completed")
    refused = [row for row in pair.sink.rows("decisions") if row["reason_code"] == "queue-full"]
    assert [row["t_s"] for row in refused] == [4.0, 5.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_without_output_stays_where_it_is(engine: str) -> None:
    rows = [{"arrival_s": 0.0, "input_tokens": 160, "output_tokens": 0}]
    pair = Pair(engine, rows, blocks=(20, 20))
    (row,) = pair.finish()
    assert (row["replica"], row["end_s"], row["outcome"]) == (0, 1.0, "completed")
    assert pair.moves == []


@pytest.mark.parametrize("engine", ENGINES)
def test_what_no_replica_of_the_second_pool_can_hold_is_refused_on_arrival(engine: str) -> None:
    rows = [{"arrival_s": 0.0, "input_tokens": 160, "output_tokens": 34}]
    pair = Pair(engine, rows, blocks=(20, 12))
    (row,) = pair.finish()
    assert row["outcome"] == "never-fits"  # 193 tokens in KV: 13 blocks
    (decision,) = pair.sink.rows("decisions")[-1:]
    assert "dec" in decision["reason"]


@pytest.mark.parametrize("engine", ENGINES)
def test_one_that_is_preempted_is_recomputed_by_the_second_pool(engine: str) -> None:
    # Blocks for two prompts of 15 tokens and a block more: the second to grow loses its own.
    rows = [{"arrival_s": 0.0, "input_tokens": 15, "output_tokens": 4}] * 2
    pair = Pair(engine, rows, blocks=(20, 3))
    pair.arrive(0, 2.0)
    pair.arrive(1, 2.0)
    rows_out = pair.finish()
    assert [row["preemptions"] for row in rows_out] == [0, 1]
    first, second = pair.sink.rows("replicas")
    assert first["prefill_tokens"] == 30
    assert second["prefill_tokens"] > 15  # what was delivered is computed again with the prompt
    assert [row["outcome"] for row in rows_out] == ["completed"] * 2
    assert [row["first_token_s"] for row in rows_out] == [3.0, 3.0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("replica", [0, 1])
def test_a_replica_that_fails_while_kv_moves_takes_the_request_with_it(
    engine: str, replica: int
) -> None:
    rows = [{"arrival_s": 0.0, **PROMPT}, {"arrival_s": 3.0, **PROMPT}]
    pair = Pair(engine, rows, blocks=(10, 10))
    pair.advance(2.0)
    pair.plane.fail(replica, 0, 2.0)
    pair.plane.restore(replica, 2.5)
    pair.advance(4.5)
    assert pair.moves == [("reserved", 1.0, 0), ("withdrawn", 2.0, 0), ("reserved", 4.0, 1)]
    pair.arrive(1, 5.0)
    lost, served = pair.finish()
    assert (lost["outcome"], lost["end_s"], lost["first_token_s"]) == ("failed", 2.0, None)
    # The other side had its ten blocks back: all that there are.
    assert (served["admitted_s"], served["first_token_s"]) == (3.0, 6.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_that_is_parked_as_its_last_blocks_are_freed_draws_nothing(engine: str) -> None:
    energy_j = []
    for end_s in (4.0, 40.0):
        pair = Pair(engine, [{"arrival_s": 0.0, **PROMPT}], blocks=(20, 20))
        pair.arrive(0, 1.5)  # which wakes the first replica, at 1.5
        pair.plane.drain(0, 0, 1.5)
        pair.finish(end_s)
        energy_j.append(pair.sink.rows("replicas")[0]["energy_j"])
    assert energy_j[0] == energy_j[1] > 0
