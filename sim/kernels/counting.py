"""Counting requests while they flow by: latencies by bin, outcomes and causes, the worst misses.

One pass over the rows. A *page* holds what arrived in one minute on one side of the edges of the
measurement window, a *place* one workload of it. Histograms are dense where they are used: a place
has a directory of segments of 16 neighbouring bins, handed out as values fall into them. Nothing
here grows: where a page or segments are missing the kernel returns, Python makes room, and the
kernel is called again from that row on.

Sums are formed in the order of rows, so they do not depend on how many come in a call.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels.jit import entry, kernel
from sim.kernels.latency_bins import LatencyBins, latency_bin

Records = NDArray[Any]

MINUTE_S = 60.0
#: Requests cannot arrive at or after this moment (about 16 years).
LAST_MINUTE = 1 << 23
#: Sums of times differ in the last bits by the order of addition; anything below is a fault.
ROUNDING_S = 1e-6

TTFT, TPOT, E2E, QUEUE = range(4)
FAMILIES = 4
#: Causes: met, the objective missed (in the order of families), the outcome itself.
MET, OUTCOME_CAUSE = 0, 4
CAUSES = 5
COMPLETED = 0
OUTCOMES = 8

#: Bins of a segment, and how many misses of a workload and quarter of an hour are kept.
SEGMENT_BITS = 4
SEGMENT = 1 << SEGMENT_BITS
KEEP = 50

#: Why ``count_requests`` returned: all is counted, room is missing, or a row that cannot be.
DONE, NO_PAGE, NO_SEGMENTS, BAD_ARRIVAL, BAD_WORKLOAD, BAD_OUTCOME, BAD_MISS, BAD_TIME = range(8)

#: What fell into one bin.
CELL = np.dtype([("n", np.int64), ("sum_s", np.float64)])

#: Sums over the requests of one place, outcome and cause.
SUMS = (
    "n",
    "retries",
    "input_tokens",
    "admitted_tokens",  # input of those that were admitted
    "delivered_tokens",
    "preemptions",
    "prefix_hit_tokens",
    "queue_s",
    "to_first_token_s",
)
COUNT = np.dtype([(name, np.float64 if name.endswith("_s") else np.int64) for name in SUMS])

#: One of the worst misses.
MISS = np.dtype(
    [
        ("rank_s", np.float64),  # arrival to end, inf for a request that never ended
        ("request_id", np.int64),
        ("arrival_s", np.float64),
        ("ttft_s", np.float64),
        ("tpot_s", np.float64),
        ("input_tokens", np.int32),
        ("output_tokens", np.int32),
        ("replica", np.int32),
        ("attempts", np.int16),
        ("outcome", np.int8),
        ("cause", np.int8),
    ],
    align=True,
)

#: A row of ``summary/latency``; categories are codes.
BIN_ROW = np.dtype(
    [
        ("n", np.int64),
        ("sum_s", np.float64),
        ("minute", np.int32),
        ("workload", np.int32),
        ("family", np.int32),
        ("bin", np.int32),  # counted from 1, as in ``latency_bins``
        ("measured", np.bool_),
    ],
    align=True,
)


class Counts(NamedTuple):
    """Everything that is counted; w workloads, p pages, q quarters of an hour."""

    bins: LatencyBins
    window_s: NDArray[np.float64]  # [2] measured from, before
    limit_s: NDArray[np.float64]  # [w, 3] objectives by family, NaN = not stated
    page: NDArray[np.int32]  # [2 * minutes] by minute and measured, counted from 1; 0 = none yet
    quarter: NDArray[np.int32]  # [p] row of ``worst`` its misses belong to
    segment: NDArray[np.int32]  # [p * w, FAMILIES, bins / SEGMENT] row of ``cell``; 0 = none yet
    cell: Records  # [segments, SEGMENT] CELL
    sums: Records  # [p * w, OUTCOMES * CAUSES] COUNT
    worst: Records  # [q * w, KEEP] MISS, each row a heap with the least bad in front
    kept: NDArray[np.int32]  # [q * w] how many of the row are in use
    at: NDArray[np.int64]  # [2] first row that is not counted, segments in use


@entry
def count_requests(rows: Records, start: int, counts: Counts) -> int:
    """Count ``rows`` [n] of ``REQUEST_ROW`` from ``start`` on; why it returned.

    ``counts.at[0]`` is the row that stopped it, n after ``DONE``; BAD_TIME + family says which
    latency is negative.
    """
    for i in range(start, len(rows)):
        code = count_request(rows[i], counts)
        if code != DONE:
            counts.at[0] = i
            return code
    counts.at[0] = len(rows)
    return DONE


@kernel
def count_request(row: Any, counts: Counts) -> int:
    """Count one request, or say why not and leave everything as it was."""
    arrival_s = row.arrival_s
    if not 0.0 <= arrival_s < LAST_MINUTE * MINUTE_S:
        return BAD_ARRIVAL
    if not 0 <= row.workload < len(counts.limit_s):
        return BAD_WORKLOAD
    if not 0 <= row.outcome < OUTCOMES:
        return BAD_OUTCOME
    measured = counts.window_s[0] <= arrival_s < counts.window_s[1]
    spot = 2 * int(arrival_s / MINUTE_S) + int(measured)
    if spot >= len(counts.page) or counts.page[spot] == 0:
        return NO_PAGE
    if counts.at[1] + FAMILIES > len(counts.cell):
        return NO_SEGMENTS
    completed = row.outcome == COMPLETED
    gaps = row.output_tokens - 1
    ttft_s = row.first_token_s - arrival_s
    tpot_s = (row.end_s - row.first_token_s) / gaps if completed and gaps >= 1 else np.nan
    e2e_s = row.end_s - arrival_s if completed else np.nan
    queue_s = row.admitted_s - (arrival_s + row.ingress_s)
    bad = negative(ttft_s, tpot_s, e2e_s, queue_s)
    if bad >= 0:
        return BAD_TIME + bad
    ttft_s, tpot_s, e2e_s, queue_s = (
        forward(ttft_s),
        forward(tpot_s),
        forward(e2e_s),
        forward(queue_s),
    )
    cause = MET
    if not row.met:
        cause = (
            missed(ttft_s, tpot_s, e2e_s, counts.limit_s[row.workload])
            if completed
            else OUTCOME_CAUSE
        )
        if cause < 0:
            return BAD_MISS
    page = counts.page[spot] - 1
    place = page * len(counts.limit_s) + row.workload
    add_latency(counts, place, TTFT, ttft_s)
    add_latency(counts, place, TPOT, tpot_s)
    add_latency(counts, place, E2E, e2e_s)
    add_latency(counts, place, QUEUE, queue_s)
    add_count(row, counts.sums[place, row.outcome * CAUSES + cause], queue_s)
    if cause != MET:
        group = counts.quarter[page] * len(counts.limit_s) + row.workload
        offer(row, counts, group, ttft_s, tpot_s, cause)
    return DONE


@kernel
def negative(ttft_s: float, tpot_s: float, e2e_s: float, queue_s: float) -> int:
    """The first family whose latency goes back in time, -1 if none does; NaN = not reached."""
    if ttft_s < -ROUNDING_S:
        return TTFT
    if tpot_s < -ROUNDING_S:
        return TPOT
    if e2e_s < -ROUNDING_S:
        return E2E
    return QUEUE if queue_s < -ROUNDING_S else -1


@kernel
def forward(latency_s: float) -> float:
    """A latency without the rounding that made it negative."""
    return 0.0 if latency_s < 0.0 else latency_s


@kernel
def missed(ttft_s: float, tpot_s: float, e2e_s: float, limit_s: NDArray[np.float64]) -> int:
    """Cause of a miss of a completed request: 1 + the objective that it missed first in time.

    Where rounding hides the miss, the objective that it came closest to missing; -1 if none is
    stated.
    """
    cause, most = -1, -np.inf
    for family in range(3):
        latency_s = ttft_s if family == TTFT else tpot_s if family == TPOT else e2e_s
        use = latency_s / limit_s[family]
        if use > 1.0:
            return 1 + family
        if use > most:
            cause, most = 1 + family, use
    return cause


@kernel
def add_latency(counts: Counts, place: int, family: int, latency_s: float) -> None:
    """Count a latency in its bin, unless it was not reached (NaN)."""
    if latency_s != latency_s:
        return
    index = latency_bin(latency_s, counts.bins)
    part = index >> SEGMENT_BITS
    segment = counts.segment[place, family, part]
    if segment == 0:
        segment = counts.at[1]
        counts.at[1] += 1
        counts.segment[place, family, part] = segment
    cell = counts.cell[segment, index & (SEGMENT - 1)]
    cell.n += 1
    cell.sum_s += latency_s


@kernel
def add_count(row: Any, count: Any, queue_s: float) -> None:
    """Add a request to the sums of its outcome and cause."""
    count.n += 1
    count.retries += row.attempts - 1
    count.input_tokens += row.input_tokens
    count.delivered_tokens += row.delivered_tokens
    count.preemptions += row.preemptions
    count.prefix_hit_tokens += row.prefix_hit_tokens
    if queue_s == queue_s:
        count.admitted_tokens += row.input_tokens
        count.queue_s += queue_s
    to_first_token_s = (row.first_token_s - row.egress_s) - row.admitted_s
    if to_first_token_s == to_first_token_s:
        count.to_first_token_s += to_first_token_s


@kernel
def offer(row: Any, counts: Counts, group: int, ttft_s: float, tpot_s: float, cause: int) -> None:
    """Keep a miss if it is among the worst of its group: never ended first, then the slowest.

    Of equal ones the lower id is worse.
    """
    rank_s = row.end_s - row.arrival_s
    if rank_s != rank_s:
        rank_s = np.inf
    heap = counts.worst[group]
    size = counts.kept[group]
    if size == KEEP:
        if not milder(heap[0], rank_s, row.request_id):
            return
        at = hole_from_front(heap, rank_s, row.request_id)
    else:
        counts.kept[group] = size + 1
        at = hole_from_end(heap, size, rank_s, row.request_id)
    miss = heap[at]
    miss.rank_s = rank_s
    miss.request_id = row.request_id
    miss.arrival_s = row.arrival_s
    miss.ttft_s = ttft_s
    miss.tpot_s = tpot_s
    miss.input_tokens = row.input_tokens
    miss.output_tokens = row.output_tokens
    miss.replica = row.replica
    miss.attempts = row.attempts
    miss.outcome = row.outcome
    miss.cause = cause


@kernel
def milder(miss: Any, rank_s: float, request_id: int) -> bool:
    """Whether ``miss`` is less bad than the other."""
    if miss.rank_s == rank_s:
        return bool(miss.request_id > request_id)
    return bool(miss.rank_s < rank_s)


@kernel
def hole_from_end(heap: Records, size: int, rank_s: float, request_id: int) -> int:
    """Move what is worse than the newcomer down from its parents; where the newcomer belongs."""
    at = size
    while at > 0:
        parent = (at - 1) // 2
        if milder(heap[parent], rank_s, request_id):
            break
        heap[at] = heap[parent]
        at = parent
    return at


@kernel
def hole_from_front(heap: Records, rank_s: float, request_id: int) -> int:
    """Drop the front and move up what is less bad than the newcomer; where that belongs."""
    at = 0
    while 2 * at + 1 < KEEP:
        child = 2 * at + 1
        if child + 1 < KEEP and milder(heap[child + 1], heap[child].rank_s, heap[child].request_id):
            child += 1
        if not milder(heap[child], rank_s, request_id):
            break
        heap[at] = heap[child]
        at = child
    return at


@entry
def read_bins(
    counts: Counts, place: int, minute: int, workload: int, measured: bool, out: Records, used: int
) -> int:
    """Write what fell into the bins of ``place`` to ``out`` from ``used`` on; rows then in use."""
    for family in range(FAMILIES):
        for part in range(counts.segment.shape[2]):
            segment = counts.segment[place, family, part]
            if segment == 0:
                continue
            for index in range(SEGMENT):
                cell = counts.cell[segment, index]
                if cell.n == 0:
                    continue
                row = out[used]
                row.n = cell.n
                row.sum_s = cell.sum_s
                row.minute = minute
                row.workload = workload
                row.family = family
                row.bin = part * SEGMENT + index
                row.measured = measured
                used += 1
    return used
