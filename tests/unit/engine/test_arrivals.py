"""How the engine pulls the rows of a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sim.engine.run import run
from sim.workload.types import RequestChunk
from tests.engine_world import (
    Given,
    ListSink,
    constant_cost,
    model,
    pool,
    scenario,
    workload,
    world,
)


@dataclass(frozen=True)
class InPieces:
    """Given rows, a few in a chunk."""

    given: Given
    rows: int
    closed: bool = True
    notes: tuple[str, ...] = ()

    def chunks(self) -> Iterator[RequestChunk]:
        """Chunks of ``rows`` rows."""
        (whole,) = self.given.chunks()
        for start in range(0, len(whole), self.rows):
            part = slice(start, start + self.rows)
            yield RequestChunk(
                whole.arrival_s[part], whole.input_tokens[part], whole.output_tokens[part],
                whole.priority[part], whole.after_request[part], whole.think_s[part],
                whole.cancel_after_s[part],
            )  # fmt: skip


def test_more_clients_than_a_chunk_all_start() -> None:
    clients = 5
    rows = [{"arrival_s": 0.0}] * clients + [{"after_request": i} for i in range(20)]
    setup = scenario([pool(model(constant_cost(1.0)))], [workload()], duration_s=3.0)
    a_world = replace(world(setup, []), sources=(InPieces(Given(rows), rows=2),))
    sink = ListSink()
    run(a_world, sink)
    arrivals = [row["arrival_s"] for row in sink.rows("requests")]
    assert sorted(arrivals) == [0.0] * clients + [1.0] * clients + [2.0] * clients
