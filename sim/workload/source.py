"""From a checked workload to its requests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import BuildError
from sim.workload.columns import Columns
from sim.workload.lengths import LengthSource
from sim.workload.notes import trace_notes
from sim.workload.plan import Synthetic, TraceSpec, Workload
from sim.workload.prefixes import block_tokens
from sim.workload.replay import Replay, prefixes, sessions
from sim.workload.shared_prefix import PrefixedSource
from sim.workload.synthetic import SyntheticSource, check_process, copies_of, length_source, rate_of
from sim.workload.table import TraceTable
from sim.workload.traces import prepare, read_trace
from sim.workload.types import OPEN, RequestChunk, RequestSource

#: The most requests in a chunk.
CHUNK_ROWS = 65_536


def build_source(workload: Workload, *, index: int, seed: int, duration_s: float) -> RequestSource:
    """The requests of a workload over [0, ``duration_s``), from the run's seed alone.

    An open workload has the arrivals of its trace or of a synthetic process. ``rate_per_s`` scales:

    * a trace, and a fitted source's own process (``arrivals: {kind: source}``), by superposing
      independent copies and thinning the last one, so that more of the same traffic is smoother;
    * every other process by running it at that rate: a gamma process keeps its CV, an on/off
      process its sojourns.

    A profile multiplies the rate over the day, whose clock starts at midnight (time 0). For a gamma
    process it stretches operational time; every other process is Poisson given its rate, and the
    profile multiplies that rate. Without ``rate_per_s`` the source's own rate holds.

    A closed workload (``clients``) has one row after another without end: the first ``clients``
    rows arrive at 0, all at once, and row r is sent ``think_s`` after row r - clients has ended.
    Each client is a session; of a trace, what its column ``session`` says, else each conversation.

    Of a ``shared_prefix``, requests begin with a prompt that many share. Lengths, these prompts and
    cancellations are keyed by row, so row k of a synthetic workload is the same request at any
    rate. A longer run starts with exactly the requests of a shorter one.

    Args:
        index: place in the scenario's list of workloads, for messages.

    Raises:
        BuildError: the workload says too little or too much; names the YAML path.
        DataError: its trace cannot be used.
        UnknownName: no fitted source has that name.
    """
    path = f"workload[{index}]"
    stream = f"workload/{workload.name}"
    if (workload.trace is None) == (workload.synthetic is None):
        raise BuildError(path, "needs either a trace or a synthetic source, and not both")
    if workload.trace is not None and workload.clients is not None:
        raise BuildError(path, "a trace has its own arrivals; clients need a source")
    columns = Columns(workload, seed, stream)
    if workload.trace is not None:
        generative = workload.kind != "embedding"
        table = read_trace(workload.trace.file, workload.trace.format, generative=generative)
        table = prepare(table, workload.trace, seed, stream)
        return _trace_source(columns, table, workload, workload.trace, path, seed, duration_s)
    assert workload.synthetic is not None  # one of the two is there, checked above
    source = _synthetic_source(columns, workload, workload.synthetic, path, seed, duration_s)
    shared = workload.synthetic.shared_prefix
    return source if shared is None else PrefixedSource(source, shared, seed, stream)


def _synthetic_source(
    columns: Columns,
    workload: Workload,
    synthetic: Synthetic,
    path: str,
    seed: int,
    duration_s: float,
) -> RequestSource:
    lengths = length_source(synthetic, workload, seed, path)
    if workload.clients is not None:
        return ClosedSource(columns, lengths, workload.clients, workload.think_s)
    check_process(synthetic, path)
    rate = rate_of(synthetic, workload, path)
    copies = copies_of(synthetic, rate, path)
    stream = f"workload/{workload.name}"
    return SyntheticSource(columns, lengths, synthetic, rate, seed, stream, duration_s, copies)


@dataclass(frozen=True)
class ClosedSource:
    """A fixed number of clients, each sending its next request ``think_s`` after the last ended."""

    columns: Columns
    lengths: LengthSource
    clients: int
    think_s: float
    closed: bool = True
    notes: tuple[str, ...] = ()

    def chunks(self) -> Iterator[RequestChunk]:
        """Chunks without end."""
        first = 0
        while True:
            rows = np.arange(first, first + CHUNK_ROWS, dtype=np.int64)
            starts = rows < self.clients
            yield self.columns.chunk(
                first,
                np.where(starts, 0.0, math.nan),
                self.lengths.draw(rows),
                after_request=np.where(starts, OPEN, rows - self.clients),
                think_s=np.where(starts, 0.0, self.think_s),
                session=rows % self.clients,
            )
            first += CHUNK_ROWS


@dataclass(frozen=True)
class TraceSource:
    """A trace in replay."""

    columns: Columns
    table: TraceTable
    replay: Replay
    notes: tuple[str, ...]
    prefix_block_tokens: int = 0
    closed: bool = False

    def chunks(self) -> Iterator[RequestChunk]:
        """Chunks until the duration or the trace ends; called again, the same ones."""
        table, first = self.table, 0
        for run in self.replay.picked():
            for part in _parts(run.after_request):
                rows = run.rows[part]
                yield self.columns.chunk(
                    first,
                    run.arrival_s[part],
                    (table.input_tokens[rows], table.output_tokens[rows]),
                    after_request=run.after_request[part],
                    think_s=table.think_s[rows],
                    priority=None if table.priority is None else table.priority[rows],
                    cancel_after_s=(
                        None if table.cancel_after_s is None else table.cancel_after_s[rows]
                    ),
                    prefix=(
                        *prefixes(table, rows, run.passes[part]),
                        self.prefix_block_tokens,
                    ),
                    session=sessions(table, rows, run.passes[part]),
                )
                first += len(rows)


def _parts(after_request: NDArray[np.int64]) -> Iterator[slice]:
    """Cuts of about ``CHUNK_ROWS`` rows that part no conversation."""
    cuts = np.append(np.flatnonzero(after_request == OPEN), len(after_request))
    start = 0
    while start < len(after_request):
        longest = int(np.searchsorted(cuts, start + CHUNK_ROWS, side="right")) - 1
        if cuts[longest] <= start:
            longest += 1  # one conversation longer than a chunk stays whole
        yield slice(start, int(cuts[longest]))
        start = int(cuts[longest])


def _trace_source(
    columns: Columns,
    table: TraceTable,
    workload: Workload,
    spec: TraceSpec,
    path: str,
    seed: int,
    duration_s: float,
) -> TraceSource:
    first = float(table.arrival_s[0])
    if first >= duration_s:
        message = f"the trace's first request arrives at {first:g} s, after the duration of "
        raise BuildError(f"{path}.trace", f"{message}{duration_s:g} s; slice it with `start`")
    replay = Replay(
        table,
        rate_per_s=workload.rate_per_s,
        loop=spec.loop,
        duration_s=duration_s,
        seed=seed,
        stream=f"workload/{workload.name}",
        path=path,
    )
    notes = trace_notes(table, spec, workload.rate_per_s, duration_s)
    return TraceSource(columns, table, replay, notes, block_tokens(table, spec))
