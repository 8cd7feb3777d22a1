"""Rows on their way from the engine to the sink, in columns, a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.check.scenario import Scenario
from sim.engine.request import Request
from sim.results.bins import gap_bin
from sim.results.rows import power_columns, request_columns
from sim.results.sink import RowSink, Sink

#: Rows that a table gathers here before they go to the sink.
BATCH_ROWS = 8192


def met(request: Request, first_s: float, end_s: float, limits: tuple[float, float, float]) -> bool:
    """Whether a completed request kept every stated objective (inf = not stated).

    A request of one output token has no TPOT, so that objective cannot be missed.

    Args:
        first_s, end_s: when its user had the first token, and the last.
        limits: of TTFT, TPOT and end to end.
    """
    ttft_s, tpot_s, e2e_s = limits
    if first_s - request.arrival_s > ttft_s or end_s - request.arrival_s > e2e_s:
        return False
    gaps = request.output_tokens - 1
    return gaps < 1 or (end_s - first_s) / gaps <= tpot_s


def _limit(objective_s: float | None) -> float:
    return math.inf if objective_s is None else objective_s


class Rows:
    """One table's rows, gathered by column."""

    def __init__(self, sink: Sink, table: str, names: Sequence[str]) -> None:
        self._sink, self._table = sink, table
        self._columns: dict[str, list[Any]] = {name: [] for name in names}
        self._adders: tuple[Callable[[Any], None], ...] = ()
        self._renew()
        self._count = 0

    def _renew(self) -> None:
        self._columns = {name: [] for name in self._columns}
        self._adders = tuple(column.append for column in self._columns.values())

    def add(self, *values: Any) -> None:
        """Add one row; None is null."""
        for add, value in zip(self._adders, values, strict=True):
            add(value)
        self._count += 1
        if self._count == BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Hand what is gathered to the sink."""
        if self._count:
            self._sink.write(self._table, self._columns)
            self._renew()
            self._count = 0


REQUEST_COLUMNS = (
    "request_id", "workload", "pool", "replica", "priority", "arrival_s", "ingress_s",
    "admitted_s", "first_token_s", "end_s", "egress_s", "input_tokens", "output_tokens",
    "delivered_tokens", "preemptions", "prefix_hit_tokens", "attempts", "outcome", "met",
)  # fmt: skip
ATTEMPT_COLUMNS = (
    "request_id", "workload", "attempt", "sent_s", "replica", "end_s", "delivered_tokens",
    "outcome",
)  # fmt: skip
ITERATION_COLUMNS = (
    "replica", "start_s", "end_s", "decodes", "prefill_tokens", "kv_tokens", "waiting", "draw_w",
)  # fmt: skip
DECISION_COLUMNS = (
    "t_s", "role", "policy", "subject", "rank", "suggestion", "accepted", "reason_code", "reason",
)  # fmt: skip
TRANSFER_COLUMNS = (
    "kind", "request_id", "source", "target", "size_bytes", "admitted_s", "ready_s", "room_s",
    "start_s", "end_s", "alone_s", "outcome", "origin", "bound", "bound_s", "shared",
)  # fmt: skip
OVER_COLUMNS = ("node", "start_s", "end_s", "peak_mw", "limit_mw")


class Recorder:
    """Turns what happens in the engine into rows of the result tables."""

    def __init__(self, scenario: Scenario, sink: Sink) -> None:
        self._workloads = scenario.workloads
        self._limits = [
            (_limit(w.objectives.ttft_s), _limit(w.objectives.tpot_s), _limit(w.objectives.e2e_s))
            for w in scenario.workloads
        ]
        self._sink = sink
        self._sends_again = any(workload.retry is not None for workload in scenario.workloads)
        self._requests = Rows(sink, "requests", REQUEST_COLUMNS)
        self._attempts = Rows(sink, "attempts", ATTEMPT_COLUMNS)
        self._iterations = Rows(sink, "iterations", ITERATION_COLUMNS)
        self._power = Rows(sink, "power", ("node", "t_s", "out_mw", "in_mw"))
        self._decisions = Rows(sink, "decisions", DECISION_COLUMNS)
        self._transfers = Rows(sink, "transfers", TRANSFER_COLUMNS)
        self._events = Rows(sink, "events", ("t_s", "kind", "entity", "detail"))
        self._gaps: list[dict[int, int]] = [{} for _ in scenario.workloads]
        self._over = Rows(sink, "over_limit", OVER_COLUMNS)
        self.power = self._power.add
        self.over = self._over.add
        #: What a user should know about this run, found while it ran.
        self.warnings: list[str] = []
        #: Whether each change of draw is wanted; else what nodes draw in each minute is enough.
        self.keeps_changes = not self.takes_rows or (
            scenario.record != "summary" and scenario.record_power == "changes"
        )

    def transfer(self, *values: Any) -> None:
        """A row of the ``transfers`` table, in the order of its columns."""
        self._transfers.add(*values)

    def weights(
        self,
        source: int | None,
        target: int,
        size_bytes: float,
        ready_s: float,
        start_s: float | None,
        end_s: float | None,
        alone_s: float | None,
        outcome: str,
        origin: str | None,
        bound: str | None,
        bound_s: float | None,
    ) -> None:
        """A replica's weights: a row of the ``transfers`` table."""
        self._transfers.add(
            "weights", None, source, target, size_bytes, None, ready_s, None, start_s, end_s,
            alone_s, outcome, origin, bound, bound_s, None,
        )  # fmt: skip

    def request(self, request: Request, outcome: str, end_s: float | None) -> None:
        """A request's one row, at its outcome, of which its user learns at ``end_s``."""
        path = self._workloads[request.workload].path
        first_s = request.first_token_s + path.egress_s
        if outcome == "cancelled" and end_s is not None and first_s > end_s:
            first_s = math.nan  # nobody was there to see it
        ingress_s = path.ingress_s
        if request.attempt:
            ingress_s = (request.sent_s + path.ingress_s) - request.arrival_s
        self._requests.add(
            request.identity,
            self._workloads[request.workload].name,
            self._workloads[request.workload].pool,
            request.replica if request.replica >= 0 else None,
            request.priority,
            request.arrival_s,
            ingress_s,
            None if math.isnan(request.admitted_s) else request.admitted_s,
            None if math.isnan(first_s) else first_s,
            end_s,
            path.egress_s,
            request.input_tokens,
            request.output_tokens,
            request.delivered,
            request.preemptions,
            request.hit_tokens,
            request.attempt + int(not request.away),
            outcome,
            outcome == "completed"
            and end_s is not None
            and met(request, first_s, end_s, self._limits[request.workload]),
        )

    def attempt(self, request: Request, outcome: str, end_s: float) -> None:
        """An attempt that got no answer, as its client learns at ``end_s``; another follows."""
        self._attempts.add(
            request.identity,
            self._workloads[request.workload].name,
            request.attempt + 1,
            request.arrival_s + (request.sent_s - request.arrival_s),
            request.replica if request.replica >= 0 else None,
            end_s,
            request.delivered,
            outcome,
        )

    def iteration(self, *values: Any) -> None:
        """A row of the ``iterations`` table, in the order of its columns."""
        self._iterations.add(*values)

    def decision(self, row: dict[str, Any]) -> None:
        """A row of the ``decisions`` table."""
        self._decisions.add(*(row[name] for name in DECISION_COLUMNS))

    def event(self, time_s: float, kind: str, entity: str, detail: str) -> None:
        """A row of the ``events`` table."""
        self._events.add(time_s, kind, entity, detail)

    def parked(self, replica: int, time_s: float) -> None:
        """A replica that was taken away has finished what it held."""
        text = "it has finished what it held"
        self.event(time_s, "replica-parked", f"replica {replica}", text)

    def warn(self, text: str) -> None:
        """Something a user should know; the same text counts once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def token_gap(self, workload: int, gap_s: float, tokens: int) -> None:
        """Count ``tokens`` gaps of ``gap_s`` in the workload's histogram."""
        gaps = self._gaps[workload]
        index = gap_bin(gap_s)
        gaps[index] = gaps.get(index, 0) + tokens

    # ---- rows that a kernel has filled -----------------------------------------------------------

    @property
    def takes_rows(self) -> bool:
        """Whether the sink counts what nodes draw in each minute (``RowSink``)."""
        return isinstance(self._sink, RowSink)

    def request_rows(self, rows: NDArray[np.void]) -> None:
        """[n] of ``REQUEST_ROW``, whose memory is used again."""
        if self._sends_again:
            self._attempt_rows(rows[rows["again"]])
            rows = rows[~rows["again"]]
        if not len(rows):
            return
        if isinstance(self._sink, RowSink):
            self._sink.write_requests(rows)
        else:
            columns = self._columns_of(rows)
            self._sink.write("requests", {name: c.to_pylist() for name, c in columns.items()})

    def _columns_of(self, rows: NDArray[np.void]) -> dict[str, Any]:
        names = [workload.name for workload in self._workloads]
        pools = [workload.pool for workload in self._workloads]
        return request_columns(rows, names, pools)

    def _attempt_rows(self, rows: NDArray[np.void]) -> None:
        """[n] of ``REQUEST_ROW``, each an attempt that another follows."""
        if not len(rows):
            return
        columns = self._columns_of(rows)
        columns["attempt"] = columns["attempts"]
        columns["sent_s"] = rows["arrival_s"] + rows["ingress_s"]
        self._sink.write("attempts", {name: columns[name] for name in ATTEMPT_COLUMNS})

    def power_rows(self, rows: NDArray[np.void]) -> None:
        """[n] of ``POWER_ROW``, whose memory is used again."""
        if isinstance(self._sink, RowSink):
            self._sink.write_power(rows)
        else:
            columns = power_columns(rows)
            self._sink.write("power", {name: c.to_pylist() for name, c in columns.items()})

    def minute_rows(self, rows: NDArray[np.void]) -> None:
        """[n] of ``MINUTE_ROW``, whose memory is used again; for sinks that take rows."""
        if isinstance(self._sink, RowSink):
            self._sink.write_minutes(rows)

    def over_rows(self, rows: NDArray[np.void]) -> None:
        """[n] of ``OVER_ROW``, whose memory is used again."""
        for row in rows[list(OVER_COLUMNS)].tolist():
            self.over(*row)

    def gaps(self, workload: int, bins: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """The workload's whole histogram of token gaps."""
        self._gaps[workload] = dict(zip(bins.tolist(), counts.tolist(), strict=True))

    def write(self, table: str, columns: dict[str, Any]) -> None:
        """Write a whole table at once."""
        self._sink.write(table, columns)

    def close(self) -> None:
        """Hand on everything that is still gathered."""
        for rows in (
            self._requests, self._attempts, self._iterations, self._power, self._over,
            self._decisions, self._transfers, self._events,
        ):  # fmt: skip
            rows.flush()
        for workload, gaps in zip(self._workloads, self._gaps, strict=True):
            bins = sorted(gaps)
            if bins:
                self._sink.write(
                    "summary/itl",
                    {
                        "workload": [workload.name] * len(bins),
                        "bin": np.array(bins),
                        "n": np.array([gaps[index] for index in bins]),
                    },
                )
