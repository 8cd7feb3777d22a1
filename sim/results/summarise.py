"""The summaries: counted while rows flow to a sink, so that any view of any run is instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sim.errors import ResultError
from sim.results.latency import ObjectivesLike
from sim.results.power_minutes import PowerMinutes
from sim.results.request_counts import RequestCounts
from sim.results.rows import Rows, power_columns, request_columns
from sim.results.schema import Blocks, schema, to_batch
from sim.results.sink import Sink, Store
from sim.results.stored import Tables
from sim.results.tables import TABLES
from sim.rng import KeyedBits

#: Recording level → the tables whose rows it does not keep.
DROPPED: Mapping[str, tuple[str, ...]] = {
    "full": (),
    "sampled": (),
    "summary": ("requests", "power", "iterations"),
}
_COUNTED = ("summary/latency", "summary/counts", "summary/worst", "summary/power")
# Sums are formed block by block, so that they do not depend on how the rows were written.
_BLOCK_ROWS = 1 << 15


class Summariser:
    """A sink in front of another: counts the summary tables and applies the recording level.

    Args:
        inner: takes the rows that are kept; for ``freeze`` it must be a ``Store``.
        record: "full" (all rows), "sampled" (one request in ``sample_every``, chosen by its id
            alone, so the same ones under every seed and policy) or "summary" (no rows of requests,
            power changes and iterations).
        sample_every: for "sampled".
        warm_up_s, duration_s: the measurement window; a request is measured if it arrived in
            [warm_up, duration).
        objectives: workload name → its objectives, in the scenario's order.
        power_kinds: kind of each node of the electrical tree, by index.
        pools: name of the pool of each workload, for rows that come by ``write_requests``.
    """

    def __init__(
        self,
        inner: Sink,
        *,
        record: str,
        sample_every: int,
        warm_up_s: float,
        duration_s: float,
        objectives: Mapping[str, ObjectivesLike],
        power_kinds: Sequence[str],
        pools: Sequence[str] = (),
    ) -> None:
        if record not in DROPPED:
            raise ValueError(f"record is one of {', '.join(DROPPED)}, not {record!r}")
        self.inner = inner
        self._record = record
        self._sample_every = sample_every
        self._bits = KeyedBits(0, "record/sampled")
        self._requests = RequestCounts(warm_up_s, duration_s, objectives)
        self._workloads, self._pools = tuple(objectives), tuple(pools)
        self._power = PowerMinutes(power_kinds)
        self._blocks = {table: Blocks(table, _BLOCK_ROWS) for table in ("requests", "power")}
        self._seen: set[str] = set()
        self._closed = False

    @property
    def aborted(self) -> str | None:
        """The reason given to ``abort``, or None."""
        return self._store().aborted

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Count rows and pass on those that the recording level keeps.

        Raises:
            UnknownName, ValueError: no such table, columns that do not fit it, or rows that no run
                can have made (times that go back, a workload nobody declared).
        """
        if table in _COUNTED:
            raise ValueError(f"table {table!r} is counted here, not written by a run")
        batch = to_batch(table, columns)
        for block in self._blocks[table].add(batch) if table in self._blocks else ():
            self._count(table, block)
        if table in DROPPED[self._record]:
            return
        if table == "requests" and self._record == "sampled":
            ids = batch.column("request_id").to_numpy()
            kept = self._bits.bits_array(ids) % np.uint64(self._sample_every) == 0
            batch = batch.filter(pa.array(kept))
        self._pass(table, batch)

    def write_requests(self, rows: Rows) -> None:
        """Count [n] rows of ``REQUEST_ROW`` and pass on those that the recording level keeps.

        Raises:
            ValueError: rows that no run can have made.
        """
        self.write("requests", request_columns(rows, self._workloads, self._pools))

    def write_power(self, rows: Rows) -> None:
        """Count [n] rows of ``POWER_ROW`` and pass them on if the recording level keeps them.

        Raises:
            ValueError: rows that no run can have made.
        """
        self.write("power", power_columns(rows))

    def write_minutes(self, rows: Rows) -> None:
        """Count [n] rows of ``MINUTE_ROW``."""
        self._power.add_minutes(rows)

    def abort(self, reason: str) -> None:
        """Pass on that the run did not reach its end."""
        self.inner.abort(reason)

    def close(self, end_s: float) -> Tables:
        """Write the summaries, and every recorded table at least empty; the tables.

        ``end_s``: the simulated time at which the run ended, until when the last draw held.
        """
        if self._closed:
            return self.tables()
        self._closed = True
        for table, blocks in self._blocks.items():
            self._count(table, blocks.rest())
        self._pass("summary/latency", to_batch("summary/latency", self._requests.latency_rows()))
        self._pass("summary/counts", to_batch("summary/counts", self._requests.count_rows()))
        self._pass("summary/worst", to_batch("summary/worst", self._requests.worst_rows()))
        self._pass("summary/power", to_batch("summary/power", self._power.rows(end_s)))
        for table in TABLES:
            if table not in self._seen and table not in (*DROPPED[self._record], "iterations"):
                self._pass(table, pa.RecordBatch.from_pylist([], schema=schema(table)))
        return self._store().close(end_s)

    def publish(self, manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> Path | None:
        """Make the inner sink's result final."""
        return self._store().publish(manifest, metrics)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._store().discard()

    def tables(self) -> Tables:
        """The inner sink's tables, after ``close``."""
        return self._store().tables()

    def _store(self) -> Store:
        if not isinstance(self.inner, Store):
            raise ResultError(
                f"{type(self.inner).__name__} cannot give its tables back, so it makes no result; "
                "a sink needs the methods of sim.results.sink.Store (or derive it from MemorySink)"
            )
        return self.inner

    def _pass(self, table: str, batch: pa.RecordBatch) -> None:
        self._seen.add(table)
        self.inner.write(table, dict(zip(batch.schema.names, batch.columns, strict=True)))

    def _count(self, table: str, block: pa.Table) -> None:
        if table == "requests":
            self._requests.add(block)
        else:
            self._power.add(block)
