"""Traces from files: read, spread inside their time bins, sliced and scaled in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError, did_you_mean
from sim.rng import KeyedBits
from sim.workload.parquet import read_parquet
from sim.workload.plan import TraceSpec
from sim.workload.prefixes import block_tokens, check_chained, dense
from sim.workload.readers import read_text
from sim.workload.table import TraceTable, roots, with_sessions

FORMATS = ("azure", "mooncake", "csv", "parquet")

_PROBED_ROWS = 1000


def read_trace(
    file: Path, format: str, *, rows: int | None = None, generative: bool = False
) -> TraceTable:
    """A trace as its file tells it; memory grows with the trace, never with a run's duration.

    * ``azure``: TIMESTAMP, ContextTokens, GeneratedTokens; arrivals relative to the first row.
    * ``mooncake``: one JSON object a line: timestamp (ms), input_length, output_length, hash_ids.
    * ``csv``, ``parquet``: arrival_s, input_tokens, output_tokens and, if wanted, priority,
      after_request (a row number counting from 0), think_s, cancel_after_s, session (a whole number
      for each user or conversation; empty where it is not known), prefix_ids (Parquet: a list of
      integers; CSV: integers with spaces between them).

    Args:
        rows: read only so many of the first requests.
        generative: refuse requests that generate nothing.

    Raises:
        DataError: with file, line, what is wrong and what would be right.
    """
    if format not in FORMATS:
        hint = did_you_mean(format, FORMATS)
        raise DataError(str(file), f"unknown trace format {format!r}{hint}")
    if format == "parquet":
        return read_parquet(file, rows, generative=generative)
    return read_text(file, format, rows, generative=generative)


def probe_trace(spec: TraceSpec, *, generative: bool = False) -> TraceTable:
    """Open a trace and read its header and first rows, to refuse a wrong file before a run.

    Args:
        generative: refuse first rows that generate nothing, as every kind but embedding must.

    Raises:
        DataError: with file, line, what is wrong and what would be right.
    """
    table = read_trace(spec.file, spec.format, rows=_PROBED_ROWS, generative=generative)
    block_tokens(table, spec)
    check_chained(table, str(spec.file))
    return table


def prepare(table: TraceTable, spec: TraceSpec, seed: int, stream: str) -> TraceTable:
    """A trace ready for replay, in order: arrivals spread, sliced, moved to 0, scaled in time.

    * ``spread_s``: each open request moves to a place in [stamp, stamp + spread_s) that is keyed by
      its row, and the trace is sorted again; a stamp of a 3 s bin says no more than the bin.
    * ``start_s``, ``end_s``: open requests in [start, end) stay, with all that follow them; their
      times then count from ``start_s``.
    * ``time_scale``: arrivals and pauses stretch by this factor.
    * Prefix ids are numbered from 0 on, in their order.

    Raises:
        DataError: the slice is empty or reaches past the trace's end, or prefix ids make no sense.
    """
    check_chained(table, str(spec.file))
    first_of = roots(table.after_request)
    when = table.arrival_s.copy()
    if spec.spread_s > 0:
        keyed = KeyedBits(seed, f"{stream}/spread")
        when = when + spec.spread_s * keyed.uniform_array(np.arange(len(table)))
    root_when = when[first_of]
    end_of_trace = _end(table, root_when, spec)
    _check_slice(spec, root_when, end_of_trace)
    stop = end_of_trace if spec.end_s is None else spec.end_s
    inside = (root_when >= spec.start_s) & ~(root_when >= stop)
    # A conversation follows its root: sorted by the root's arrival, then by row.
    order = np.lexsort((np.arange(len(table)), first_of, root_when))
    kept = order[inside[order]]
    arrival = (when[kept] - spec.start_s) * spec.time_scale
    taken = table.take(kept, arrival)
    return replace(
        with_sessions(taken),
        think_s=taken.think_s * spec.time_scale,
        period_s=(stop - spec.start_s) * spec.time_scale,
        prefix_ids=None if taken.prefix_ids is None else dense(taken.prefix_ids),
    )


def _end(table: TraceTable, root_when: NDArray[np.float64], spec: TraceSpec) -> float:
    """When the trace is over (see ``TraceTable.period_s``)."""
    recorded = table.arrival_s[~np.isnan(table.arrival_s)]
    last = float(recorded[-1])
    if spec.spread_s > 0:
        return last + spec.spread_s
    if len(recorded) < 2 or last == recorded[0]:
        return float("nan")
    return last + (last - float(recorded[0])) / (len(recorded) - 1)


def _check_slice(spec: TraceSpec, root_when: NDArray[np.float64], end_of_trace: float) -> None:
    file = str(spec.file)
    last = float(np.max(root_when))
    limit = last if np.isnan(end_of_trace) else end_of_trace
    if spec.end_s is not None and spec.end_s > limit and not np.isnan(end_of_trace):
        message = f"the slice ends at {spec.end_s:g} s, but the trace ends at {limit:.7g} s"
        raise DataError(file, message)
    stop = np.inf if spec.end_s is None else spec.end_s
    if not ((root_when >= spec.start_s) & (root_when < stop)).any():
        message = (
            f"no request arrives in the slice from {spec.start_s:g} s to {stop:g} s; "
            f"the trace's arrivals are from {float(np.min(root_when)):.7g} s to {last:.7g} s"
        )
        raise DataError(file, message)
