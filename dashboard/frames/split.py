"""What the time to first token was made of, over time: means of its parts per bin of arrival."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashboard.frames.bins import MINUTE_S, fine_width, is_fine, minutes_per_bin
from dashboard.load import RunView, ask
from sim.errors import ResultError
from sim.results.ttft_parts import PARTS, decoding_pool

#: Column → what it is called, of runs whose requests are prefilled and decoded by one pool.
COUNTED_PARTS: Mapping[str, str] = {
    "path": "ingress and egress",
    "queue": "queue",
    "prefill": "prefill",
}
#: The same where another pool decodes.
HANDED_PARTS: Mapping[str, str] = {
    "path": "ingress and egress",
    "queue": "queue",
    "prefill": "prefill",
    "room": "wait for room",
    "transfer": "transfer",
    "first_decode": "first decode",
}
#: Rows of requests beyond which only every k-th one is looked at.
_MOST_ROWS = 1_000_000
_LONGEST_FINE_S = 3600.0


@dataclass(frozen=True)
class Split:
    """The parts of the TTFT of one workload.

    Attributes:
        frame: one row a bin with a first token: ``t_s`` (its start), ``n`` and the mean of each
            of ``parts`` in seconds; they add up to the mean TTFT.
        bin_s: width of a bin.
        parts: column → name, in their order in time.
        basis: of which requests, in words.
    """

    frame: pd.DataFrame
    bin_s: float
    parts: Mapping[str, str]
    basis: str


def ttft_split(run: RunView, workload: str) -> Split:
    """The parts of TTFT over time.

    Raises:
        ResultError: no request got a first token, or a table is unreadable.
    """
    if decoding_pool(run.result, workload) is None or not run.rows("requests"):
        if run.record == "full" and is_fine(run, "requests"):
            return _exact(run, workload)
        return _counted(run, workload)
    found = _handed(run, workload)
    return _counted(run, workload) if found.frame.empty else found


_COUNTS = """
    select slot, coalesce(sum(queue_s), 0) as queue_sum,
           coalesce(sum(to_first_token_s), 0) as prefill_sum
    from (select minute // $per as slot, queue_s, to_first_token_s from summary_counts
          where workload = $workload and minute < $end)
    group by slot
"""
_SUMS = """
    select minute // $per as slot,
           coalesce(sum(n) filter (metric = 'ttft'), 0)::bigint as n,
           coalesce(sum(sum_s) filter (metric = 'ttft'), 0) as ttft_sum,
           coalesce(sum(n) filter (metric = 'queue'), 0)::bigint as admitted
    from summary_latency where workload = $workload and minute < $end group by slot
"""


def _counted(run: RunView, workload: str) -> Split:
    """From the sums per minute that every run writes."""
    total = ask(run, _SUMS, workload=workload, per=1 << 30, end=1 << 30)
    n = int(total["n"].sum())
    if not n:
        raise ResultError(f"no request of {workload} got a first token")
    per, end = minutes_per_bin(run.end_s, float(n)), max(1, math.ceil(run.end_s / MINUTE_S))
    sums = ask(run, _SUMS, workload=workload, per=per, end=end)
    counts = ask(run, _COUNTS, workload=workload, per=per, end=end)
    both = sums.merge(counts, on="slot").sort_values("slot")
    both = both[both["n"] > 0]
    queue, prefill = both["queue_sum"] / both["admitted"], both["prefill_sum"] / both["n"]
    # Some that were admitted may have got no first token: then the remainder is not exact.
    rest = both["ttft_sum"] / both["n"] - queue - prefill
    frame = pd.DataFrame(
        {"t_s": both["slot"] * MINUTE_S * per, "n": both["n"], "path": rest.clip(lower=0.0),
         "queue": queue, "prefill": prefill}
    ).reset_index(drop=True)  # fmt: skip
    _check(frame, list(COUNTED_PARTS))
    basis = "of all requests with a first token"
    without = int((both["admitted"] - both["n"]).clip(lower=0).sum())
    if without:
        basis += f"; queue counts {without:,} more that were admitted and got none"
    if decoding_pool(run.result, workload) is not None:
        basis += "; prefill holds the transfer as well, no rows of requests were recorded"
    return Split(frame, MINUTE_S * per, COUNTED_PARTS, basis)


_EXACT = """
    select floor(arrival_s / $width)::integer as slot, count(*) as n,
           avg(ingress_s + egress_s) as path, avg(admitted_s - arrival_s - ingress_s) as queue,
           avg(first_token_s - egress_s - admitted_s) as prefill
    from requests where workload = $workload and first_token_s is not null and arrival_s < $end
    group by slot order by slot
"""


def _exact(run: RunView, workload: str) -> Split:
    """From the rows of a short run, in bins as narrow as they allow."""
    n = int(ask(run, _SUMS, workload=workload, per=1 << 30, end=1 << 30)["n"].sum())
    if not n:
        raise ResultError(f"no request of {workload} got a first token")
    width = fine_width(run.end_s, n)
    frame = ask(run, _EXACT, workload=workload, width=width, end=run.end_s)
    frame.insert(0, "t_s", frame.pop("slot") * width)
    _check(frame, list(COUNTED_PARTS))
    return Split(frame, width, COUNTED_PARTS, "of all requests with a first token")


# A request's KV may be sent again: the one that came last counts. KV that is sent layer by layer
# may have come before its prefill ends, as in ``sim.results.ttft_parts``.
_HANDED = """
    select floor(arrival_s / $width)::integer as slot, count(*) as n,
           avg(ingress_s + egress_s) as path, avg(admitted_s - arrival_s - ingress_s) as queue,
           avg(ready_s - admitted_s) as prefill, avg(room - ready_s) as room,
           avg(greatest(room, end_s) - room) as transfer,
           avg(first_token_s - egress_s - greatest(room, end_s)) as first_decode
    from (
        select r.arrival_s, r.ingress_s, r.egress_s, r.admitted_s, r.first_token_s,
               t.ready_s, t.end_s, greatest(t.ready_s, t.room_s) as room
        from (select request_id, arrival_s, ingress_s, egress_s, admitted_s, first_token_s
              from requests
              where workload = $workload and first_token_s is not null
                    and request_id % $step = 0) r
        join (select request_id, arg_max(ready_s, end_s) as ready_s,
                     arg_max(room_s, end_s) as room_s, max(end_s) as end_s
              from transfers where kind = 'kv' and outcome = 'arrived' and request_id % $step = 0
              group by request_id) t
        on r.request_id = t.request_id
    )
    where arrival_s < $end group by slot order by slot
"""


def _handed(run: RunView, workload: str) -> Split:
    rows = run.rows("requests")
    step = max(1, -(-rows // _MOST_ROWS))
    if run.end_s <= _LONGEST_FINE_S:
        width = fine_width(run.end_s, rows / step)
    else:
        width = MINUTE_S * minutes_per_bin(run.end_s, rows / step)
    frame = ask(run, _HANDED, workload=workload, width=width, step=step, end=run.end_s)
    frame.insert(0, "t_s", frame.pop("slot") * width)
    _check(frame, list(HANDED_PARTS))
    assert set(HANDED_PARTS) - {"path"} <= set(PARTS)
    basis = "of requests that another pool decoded"
    if run.record == "sampled":
        basis += ", of the sample that was recorded"
    if step > 1:
        basis += f", one in {step} of them"
    return Split(frame, width, HANDED_PARTS, basis)


def _check(frame: pd.DataFrame, parts: list[str]) -> None:
    if not np.isfinite(frame[parts].to_numpy(dtype=float)).all():
        raise ResultError("a part of the TTFT is a number that no run measures")
