"""What is counted of requests while they flow by: latencies, outcomes and causes, the worst.

``sim.kernels.counting`` counts; here it gets room, and what it counted becomes table rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.results.bins import LOW_BIN, ZERO_BIN, latency_edges
from sim.results.latency import CAUSES, FAMILIES, ObjectivesLike
from sim.results.rows import Rows, category
from sim.results.tables import OUTCOMES

if TYPE_CHECKING:
    from sim.kernels.counting import Counts

#: Rows of ``summary/latency`` that are handed on at once, about.
_ROWS = 1 << 16
_QUARTER_MINUTES = 15


class RequestCounts:
    """Counts ``summary/latency``, ``summary/counts`` and ``summary/worst``.

    Memory follows what is counted (minutes with arrivals, workloads, bins in use), not requests.

    Args:
        warm_up_s, duration_s: the measurement window.
        objectives: workload name → its objectives, in the scenario's order.
    """

    def __init__(
        self, warm_up_s: float, duration_s: float, objectives: Mapping[str, ObjectivesLike]
    ) -> None:
        from sim.kernels import counting
        from sim.kernels.latency_bins import lay_out

        self._kernel = counting
        self._names = tuple(objectives)
        self._pages: list[tuple[int, bool]] = []  # minute, measured
        self._quarters: dict[int, int] = {}
        workloads = len(self._names)
        bins = lay_out(latency_edges())
        segments = -(-len(bins.edges_s) // counting.SEGMENT)
        limits = [(o.ttft_s, o.tpot_s, o.e2e_s) for o in objectives.values()]
        self._counts: Counts = counting.Counts(
            bins=bins,
            window_s=np.array([warm_up_s, duration_s]),
            limit_s=np.array(limits, dtype=float).reshape(workloads, 3),  # None becomes NaN
            page=np.zeros(0, np.int32),
            quarter=np.zeros(0, np.int32),
            segment=np.zeros((0, counting.FAMILIES, segments), np.int32),
            cell=np.zeros((0, counting.SEGMENT), counting.CELL),
            sums=np.zeros((0, counting.OUTCOMES * counting.CAUSES), counting.COUNT),
            worst=np.zeros((0, counting.KEEP), counting.MISS),
            kept=np.zeros(0, np.int32),
            at=np.array([0, 1]),  # segment 0 stands for none
        )

    def add(self, rows: Rows) -> None:
        """Count [n] rows of ``REQUEST_ROW``.

        Raises:
            ValueError: rows that no run can have made.
        """
        kernel, row = self._kernel, 0
        while row < len(rows):
            code = kernel.count_requests(rows, row, self._counts)
            row = int(self._counts.at[0])
            if code == kernel.NO_PAGE:
                self._add_page(float(rows[row]["arrival_s"]))
            elif code == kernel.NO_SEGMENTS:
                self._grow(cell=len(self._counts.cell) * 3 // 2 + 1024)
            elif code != kernel.DONE:
                raise ValueError(self._fault(code, rows[row]))

    def _add_page(self, arrival_s: float) -> None:
        """Make room for what arrives in the minute of ``arrival_s``, on its side of the window."""
        counts, workloads = self._counts, len(self._names)
        minute = int(arrival_s / self._kernel.MINUTE_S)
        measured = bool(counts.window_s[0] <= arrival_s < counts.window_s[1])
        if 2 * minute + 2 > len(counts.page):
            self._grow(page=max(2 * minute + 2, 2 * len(counts.page)))
        page = len(self._pages)
        self._pages.append((minute, measured))
        quarter = self._quarters.setdefault(minute // _QUARTER_MINUTES, len(self._quarters))
        if page == len(counts.quarter):
            room = page + page // 2 + 16
            self._grow(quarter=room, segment=room * workloads, sums=room * workloads)
        if (quarter + 1) * workloads > len(counts.kept):
            room = (2 * quarter + 4) * workloads
            self._grow(worst=room, kept=room)
        counts.quarter[page] = quarter
        counts.page[2 * minute + measured] = page + 1

    def _grow(self, **rows: int) -> None:
        """Give arrays of the counts more rows, of zeros: in place, which copies nothing large."""
        for name, size in rows.items():
            array: NDArray[Any] = getattr(self._counts, name)
            # Nobody else holds a view of it: kernels are handed the arrays call by call.
            array.resize((size, *array.shape[1:]), refcheck=False)

    @property
    def kernel_state(self) -> Counts:
        """What ``sim.kernels.counting`` works on; its arrays move where they grow."""
        return self._counts

    def _fault(self, code: int, row: Any) -> str:
        """What is wrong with a row that cannot be counted."""
        kernel = self._kernel
        if code == kernel.BAD_ARRIVAL:
            if np.isnan(row["arrival_s"]):
                return "a request has no arrival_s; only requests that were sent have a row"
            return f"a request has an arrival_s of {row['arrival_s']} s, which no run reaches"
        if code == kernel.BAD_WORKLOAD:
            return f"a request names workload {row['workload']} of {len(self._names)}"
        if code == kernel.BAD_OUTCOME:
            return f"a request names outcome {row['outcome']} of {len(OUTCOMES)}"
        if code == kernel.BAD_MISS:
            return "a completed request cannot miss where no objective is stated"
        arrival_s, first_s, end_s = row["arrival_s"], row["first_token_s"], row["end_s"]
        family = FAMILIES[code - kernel.BAD_TIME]
        latency_s = {
            "ttft": first_s - arrival_s,
            "tpot": (end_s - first_s) / max(1, row["output_tokens"] - 1),
            "e2e": end_s - arrival_s,
            "queue": row["admitted_s"] - (arrival_s + row["ingress_s"]),
        }[family]
        return f"a request has a {family} of {latency_s} s; times go forward"

    def latency_rows(self) -> Iterator[dict[str, Any]]:
        """The columns of ``summary/latency``, block by block, by minute, workload and metric."""
        kernel, counts, workloads = self._kernel, self._counts, len(self._names)
        most = counts.segment.shape[1] * counts.segment.shape[2] * kernel.SEGMENT
        out, used = np.empty(_ROWS + most, kernel.BIN_ROW), 0
        for page in self._ordered_pages():
            for workload in range(workloads):
                place = page * workloads + workload
                minute, measured = self._pages[page]
                used = kernel.read_bins(counts, place, minute, workload, measured, out, used)
                if used >= _ROWS:
                    yield self._latency_columns(out[:used])
                    used = 0
        yield self._latency_columns(out[:used])

    def _latency_columns(self, rows: NDArray[np.void]) -> dict[str, Any]:
        return {
            "minute": rows["minute"].copy(),
            "workload": category(rows["workload"], self._names),
            "measured": rows["measured"].copy(),
            "metric": category(rows["family"], FAMILIES),
            "bin": np.where(rows["bin"] == 0, ZERO_BIN, rows["bin"] + (LOW_BIN - 1)),
            "n": rows["n"].copy(),
            "sum_s": rows["sum_s"].copy(),
        }

    def count_rows(self) -> dict[str, Any]:
        """The columns of ``summary/counts``, by minute, workload, outcome and cause."""
        pages = self._ordered_pages()
        counts = self._counts.sums.reshape(-1, len(self._names), len(OUTCOMES), len(CAUSES))[pages]
        at, workload, outcome, cause = (index.astype(np.int32) for index in np.nonzero(counts["n"]))
        found = counts[at, workload, outcome, cause]
        place = np.array(self._pages, dtype=np.int32).reshape(-1, 2)[pages][at]
        return {
            "minute": place[:, 0],
            "workload": category(workload, self._names),
            "measured": place[:, 1].astype(bool),
            "outcome": category(outcome, OUTCOMES),
            "cause": category(cause, CAUSES),
            **{name: found[name].copy() for name in self._kernel.SUMS},
        }

    def worst_rows(self) -> dict[str, Any]:
        """The columns of ``summary/worst``, by quarter of an hour, workload, slowest first."""
        counts, workloads = self._counts, len(self._names)
        quarters = np.array([self._quarters[q] for q in sorted(self._quarters)], dtype=np.int64)
        groups = (quarters[:, None] * workloads + np.arange(workloads)).ravel()
        kept = counts.kept[groups]
        group = np.repeat(np.arange(len(groups)), kept)
        inside = np.arange(len(group)) - np.repeat(np.cumsum(kept) - kept, kept)
        rows = counts.worst[groups[group], inside]
        order = np.lexsort((rows["request_id"], -rows["rank_s"], group))
        rows, group = rows[order], group[order]
        return {
            "request_id": rows["request_id"].copy(),
            "workload": category((group % max(1, workloads)).astype(np.int32), self._names),
            "arrival_s": rows["arrival_s"].copy(),
            "ttft_s": rows["ttft_s"].copy(),
            "tpot_s": rows["tpot_s"].copy(),
            "e2e_s": np.where(np.isinf(rows["rank_s"]), np.nan, rows["rank_s"]),
            "replica": pa.array(rows["replica"].copy(), mask=rows["replica"] < 0),
            "input_tokens": rows["input_tokens"].copy(),
            "output_tokens": rows["output_tokens"].copy(),
            "attempts": rows["attempts"].copy(),
            "outcome": category(rows["outcome"].astype(np.int32), OUTCOMES),
            "cause": category(rows["cause"].astype(np.int32), CAUSES),
        }

    def _ordered_pages(self) -> list[int]:
        return sorted(range(len(self._pages)), key=self._pages.__getitem__)
