"""Whether iterations themselves are too slow: misses that more room in a batch would not cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from sim.results.bins import latency_middles
from sim.results.latency import CAUSES
from sim.results.limit import TOUCH, Limit
from sim.results.result import RunResult
from sim.results.wording import percent

# Outcomes of requests that came too late for an answer.
_TOO_LATE = ("timed-out", "cancelled", "unfinished")
# Where this share of the requests that decode are slower than their objective, letting more of them
# run at once could only make it worse.
_MOST = 0.5


def speed_limits(result: RunResult) -> Iterator[Limit]:
    """The speed of each workload's pool.

    Where no queue's head waited for anything, every miss is one of speed; else
    those whose time went mainly into running. If the median request decodes slower than its
    objective, speed outranks whatever queues waited for.
    """
    counts = result.tables["summary/counts"]
    counts = counts.filter(counts.column("measured"))
    for workload in result.manifest["workloads"]:
        rows = counts.filter(pc.equal(counts.column("workload"), workload["name"])).to_pylist()
        if rows and workload["objectives"]:
            yield _speed(result, workload, rows)


def _speed(result: RunResult, workload: Mapping[str, Any], rows: list[dict[str, Any]]) -> Limit:
    arrivals = sum(row["n"] for row in rows)
    by_cause = _sums(rows)
    free = _held(result, workload["pool"]) < TOUCH
    ttft = by_cause["ttft"]
    before = ttft["n"] if free or ttft["prefill_s"] >= ttft["queue_s"] else 0.0
    before += sum(row["n"] for row in rows if row["outcome"] in _TOO_LATE) if free else 0
    decode = by_cause["tpot"]["n"] + by_cause["e2e"]["n"]
    share = (before + decode) / arrivals
    where = "before the first token" if before > decode else "in decode"
    seen = (
        f"{percent(share)} of {workload['name']} requests missed by the time iterations take, "
        f"mostly {where}"
    )
    slow = _slow_decodes(result, workload)
    if slow > share:
        share = slow
        seen = (
            f"{percent(slow)} of the {workload['name']} requests that decoded were slower than "
            "their TPOT objective"
        )
    return Limit(
        kind="speed",
        entity=workload["pool"],
        binds=share >= TOUCH,
        share=share,
        use=None,
        sentence=f"speed of pool {workload['pool']}: {seen}",
        label=f"the speed of {workload['pool']}",
        outranks=slow >= _MOST,
    )


def _slow_decodes(result: RunResult, workload: Mapping[str, Any]) -> float:
    """Share of the requests with a TPOT whose TPOT is above the objective, by histogram bins."""
    objective = workload["objectives"].get("tpot")
    rows = result.tables["summary/latency"]
    mine = pc.and_(
        pc.equal(rows.column("workload"), workload["name"]),
        pc.and_(rows.column("measured"), pc.equal(rows.column("metric"), "tpot")),
    )
    rows = rows.filter(mine)
    if objective is None or rows.num_rows == 0:
        return 0.0
    n = rows.column("n").to_numpy()
    above = latency_middles(rows.column("bin").to_numpy().astype(np.int64)) > objective
    return float(n[above].sum() / n.sum())


def _held(result: RunResult, pool: str) -> float:
    """Share of replica time in which the head of a queue of ``pool`` waited for anything."""
    return sum(
        result.metrics[f"pools[{pool}].blocked_{what}_fraction"].value or 0.0
        for what in ("blocks", "sequences", "tokens", "held")
    )


def _sums(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found = {cause: {"n": 0.0, "queue_s": 0.0, "prefill_s": 0.0} for cause in CAUSES}
    for row in rows:
        mine = found[row["cause"]]
        for column in mine:
            mine[column] += row[column]
    return found
