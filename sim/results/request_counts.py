"""What is counted of requests while they flow by: latencies, outcomes and causes, the worst."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.results.bins import latency_bins
from sim.results.latency import CAUSES, FAMILIES, Floats, ObjectivesLike, causes, floats, latencies
from sim.results.tables import OUTCOMES
from sim.results.tally import Tally
from sim.results.worst import QUARTER_S, ROW, Worst

_MINUTE_S = 60.0
_OUTCOME_INDEX = {name: index for index, name in enumerate(OUTCOMES)}


class RequestCounts:
    """Counts ``summary/latency``, ``summary/counts`` and ``summary/worst``.

    Args:
        warm_up_s, duration_s: the measurement window.
        objectives: workload name → its objectives, in the scenario's order.
    """

    def __init__(
        self, warm_up_s: float, duration_s: float, objectives: Mapping[str, ObjectivesLike]
    ) -> None:
        self._window = (warm_up_s, duration_s)
        self._objectives = list(objectives.values())
        self._names = np.array([*objectives, ""], dtype=object)
        self._latency = Tally(1, 1)
        self._counts = Tally(4, 2)
        self._worst = Worst()

    def add(self, rows: pa.Table) -> None:
        """Count a block of requests."""
        if rows.num_rows == 0:
            return
        arrival = floats(rows, "arrival_s")
        if np.isnan(arrival).any():
            raise ValueError("a request has no arrival_s; only requests that were sent have a row")
        workload = self._indices(rows, "workload", list(self._names[:-1]))
        outcome = self._indices(rows, "outcome", list(OUTCOMES))
        found = latencies(rows)
        measured = (arrival >= self._window[0]) & (arrival < self._window[1])
        minute = np.floor(arrival / _MINUTE_S).astype(np.int64)
        cause = self._causes(rows, workload, outcome, found)
        place = (minute << 12 | workload) << 1 | measured
        for index, family in enumerate(FAMILIES):
            reached = ~np.isnan(found[family])
            values = found[family][reached]
            keys = (place[reached] << 2 | index) << 16 | latency_bins(values) + 32768
            self._latency.add(keys, np.ones((len(keys), 1), np.int64), values[:, None])
        sums = np.column_stack(
            [
                np.ones(len(place), np.int64),
                *(
                    np.nan_to_num(floats(rows, column)).astype(np.int64)
                    for column in ("input_tokens", "delivered_tokens", "preemptions")
                ),
            ]
        )
        prefill = floats(rows, "first_token_s") - floats(rows, "admitted_s")
        times = np.nan_to_num(np.column_stack([found["queue"], prefill]))
        self._counts.add((place << 3 | outcome) << 3 | cause, sums, times)
        self._offer_worst(rows, cause, workload, outcome, arrival, found["ttft"])

    @staticmethod
    def _indices(rows: pa.Table, column: str, names: list[str]) -> NDArray[np.int64]:
        indices = pc.index_in(rows.column(column), value_set=pa.array(names, pa.string()))
        if indices.null_count:
            strange = pc.filter(rows.column(column), pc.is_null(indices))[0].as_py()
            raise ValueError(f"a request names {column} {strange!r}; known: {', '.join(names)}")
        return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64)

    def _causes(
        self,
        rows: pa.Table,
        workload: NDArray[np.int64],
        outcome: NDArray[np.int64],
        found: Mapping[str, Floats],
    ) -> NDArray[np.int64]:
        met = np.asarray(rows.column("met").to_numpy(zero_copy_only=False), dtype=bool)
        completed = outcome == _OUTCOME_INDEX["completed"]
        cause = np.empty(len(met), np.int64)
        for index, objectives in enumerate(self._objectives):
            mine = workload == index
            part = {family: values[mine] for family, values in found.items()}
            cause[mine] = causes(part, objectives, met[mine], completed[mine])
        return cause

    def _offer_worst(
        self,
        rows: pa.Table,
        cause: NDArray[np.int64],
        workload: NDArray[np.int64],
        outcome: NDArray[np.int64],
        arrival: Floats,
        ttft: Floats,
    ) -> None:
        missed = np.flatnonzero(cause)
        e2e = floats(rows, "end_s")[missed] - arrival[missed]
        found = np.empty(len(missed), ROW)
        quarter = np.floor(arrival[missed] / QUARTER_S).astype(np.int64)
        found["group"] = quarter << 12 | workload[missed]
        found["rank_s"] = np.where(np.isnan(e2e), np.inf, e2e)
        found["request_id"] = rows.column("request_id").to_numpy()[missed]
        found["workload"] = workload[missed]
        found["arrival_s"] = arrival[missed]
        found["ttft_s"] = ttft[missed]
        found["e2e_s"] = e2e
        found["outcome"] = outcome[missed]
        self._worst.add(found)

    def latency_rows(self) -> dict[str, Any]:
        """The columns of ``summary/latency``, by minute, workload, metric and bin."""
        keys, ints, sums = self._latency.rows()
        place = keys >> 18
        return {
            **self._place(place),
            "metric": np.array(FAMILIES, dtype=object)[keys >> 16 & 3],
            "bin": (keys & 0xFFFF) - 32768,
            "n": ints[:, 0],
            "sum_s": sums[:, 0],
        }

    def count_rows(self) -> dict[str, Any]:
        """The columns of ``summary/counts``, by minute, workload, outcome and cause."""
        keys, ints, sums = self._counts.rows()
        return {
            **self._place(keys >> 6),
            "outcome": np.array(OUTCOMES, dtype=object)[keys >> 3 & 7],
            "cause": np.array(CAUSES, dtype=object)[keys & 7],
            "n": ints[:, 0],
            "input_tokens": ints[:, 1],
            "delivered_tokens": ints[:, 2],
            "preemptions": ints[:, 3],
            "queue_s": sums[:, 0],
            "prefill_s": sums[:, 1],
        }

    def worst_rows(self) -> dict[str, Any]:
        """The columns of ``summary/worst``."""
        rows = self._worst.rows()
        return {
            "request_id": rows["request_id"],
            "workload": self._names[rows["workload"]],
            "arrival_s": rows["arrival_s"],
            "ttft_s": rows["ttft_s"],
            "e2e_s": rows["e2e_s"],
            "outcome": np.array(OUTCOMES, dtype=object)[rows["outcome"]],
        }

    def _place(self, place: NDArray[np.int64]) -> dict[str, Any]:
        return {
            "minute": place >> 13,
            "workload": self._names[place >> 1 & 0xFFF],
            "measured": (place & 1).astype(bool),
        }
