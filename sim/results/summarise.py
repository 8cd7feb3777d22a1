"""The summaries: counted while rows flow to a sink, so that any view of any run is instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.errors import ResultError
from sim.results.latency import ObjectivesLike
from sim.results.power_minutes import PowerMinutes
from sim.results.request_counts import RequestCounts
from sim.results.rows import (
    RowBuffer,
    Rows,
    power_columns,
    power_rows,
    request_columns,
    request_rows,
)
from sim.results.schema import GROUP_ROWS, to_batch
from sim.results.sink import Sink, Store
from sim.results.stored import Tables
from sim.results.tables import TABLES
from sim.rng import KeyedBits

#: Recording level → the tables whose rows it does not keep.
DROPPED: Mapping[str, tuple[str, ...]] = {
    "full": (),
    "sampled": (),
    "summary": ("requests", "attempts", "power", "iterations"),
}
#: Tables with rows of a request each.
_OF_REQUESTS = ("requests", "attempts", "transfers")
_COUNTED = ("summary/latency", "summary/counts", "summary/worst", "summary/power")


class Summariser:
    """A sink in front of another: counts the summary tables and applies the recording level.

    Args:
        inner: takes the rows that are kept; for ``freeze`` it must be a ``Store``.
        record: "full" (all rows), "sampled" (one request in ``sample_every``, chosen by its id
            alone, so the same ones under every seed and policy, with their transfers) or "summary"
            (no rows of requests, transfers, power changes and iterations).
        sample_every: for "sampled".
        warm_up_s, duration_s: the measurement window; a request is measured if it arrived in
            [warm_up, duration).
        objectives: workload name → its objectives, in the scenario's order.
        power_kinds: kind of each node of the electrical tree, by index.
        pools: name of the pool of each workload, for rows that come by ``write_requests``.
        record_power: "changes" or "minutes", which keeps no rows of power changes.
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
        record_power: str = "changes",
    ) -> None:
        from sim.kernels.rows import POWER_ROW, REQUEST_ROW

        if record not in DROPPED:
            raise ValueError(f"record is one of {', '.join(DROPPED)}, not {record!r}")
        self.inner = inner
        self._dropped = set(DROPPED[record])
        if record_power == "minutes":
            self._dropped.add("power")
        self._sample_every = sample_every if record == "sampled" else None
        self._bits = KeyedBits(0, "record/sampled")
        self._workloads, self._pools = tuple(objectives), tuple(pools)
        self._requests = RequestCounts(warm_up_s, duration_s, objectives)
        self._power = PowerMinutes(power_kinds, partial(self._pass, "summary/power"))
        self._waiting = {
            "requests": RowBuffer(REQUEST_ROW, GROUP_ROWS, self._pass_requests),
            "power": RowBuffer(POWER_ROW, GROUP_ROWS, self._pass_power),
        }
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
        if table == "requests":
            self._requests.add(request_rows(batch, self._workloads))
        elif table == "power":
            self._power.add(power_rows(batch))
        if table in self._dropped:
            return
        if table in self._waiting:
            self._waiting[table].flush()
        if table in _OF_REQUESTS and self._sample_every is not None:
            ids = batch.column("request_id")
            kept = self._sampled(ids.fill_null(0).to_numpy()) | ids.is_null().to_numpy(False)
            batch = batch.filter(pa.array(kept))
        if table == "transfers" and "requests" in self._dropped:
            batch = batch.filter(batch.column("request_id").is_null())  # weights are kept
            if not batch.num_rows:
                return
        self._pass(table, dict(zip(batch.schema.names, batch.columns, strict=True)))

    def write_requests(self, rows: Rows) -> None:
        """Count [n] rows of ``REQUEST_ROW`` and pass on those that the recording level keeps.

        Raises:
            ValueError: rows that no run can have made.
        """
        self._requests.add(rows)
        if "requests" in self._dropped:
            return
        if self._sample_every is not None:
            rows = rows[self._sampled(rows["request_id"])]
        self._waiting["requests"].add(rows)

    def write_power(self, rows: Rows) -> None:
        """Count [n] rows of ``POWER_ROW`` and pass them on if the recording level keeps them.

        Raises:
            ValueError: rows that no run can have made.
        """
        self._power.add(rows)
        if "power" not in self._dropped:
            self._waiting["power"].add(rows)

    def write_minutes(self, rows: Rows) -> None:
        """Count [n] rows of ``MINUTE_ROW``.

        Raises:
            ValueError: rows that no run can have made.
        """
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
        for buffer in self._waiting.values():
            buffer.flush()
        for columns in self._requests.latency_rows():
            self._pass("summary/latency", columns)
        self._pass("summary/counts", self._requests.count_rows())
        self._pass("summary/worst", self._requests.worst_rows())
        self._power.finish(end_s)
        for table in TABLES:
            if table not in self._seen and table not in (*self._dropped, "iterations"):
                self._pass(table, {column.name: [] for column in TABLES[table]})
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

    def _pass(self, table: str, columns: Mapping[str, Any]) -> None:
        self._seen.add(table)
        self.inner.write(table, columns)

    def _pass_requests(self, rows: Rows) -> None:
        self._pass("requests", request_columns(rows, self._workloads, self._pools))

    def _pass_power(self, rows: Rows) -> None:
        self._pass("power", power_columns(rows))

    def _sampled(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the requests are kept, by their ids."""
        bits = self._bits.bits_array(ids)
        return np.asarray(bits % np.uint64(self._sample_every or 1) == 0)
