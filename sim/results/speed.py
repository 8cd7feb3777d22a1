"""Whether iterations themselves are too slow: misses that more room in a batch would not cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from sim.results.bins import latency_bins
from sim.results.handover_limits import stuck_of
from sim.results.latency import CAUSES
from sim.results.limit import TOUCH, Limit
from sim.results.result import RunResult
from sim.results.ttft_parts import PARTS, Parts, decoding_pool, parts_of
from sim.results.wording import percent

# Outcomes of requests that came too late for an answer.
_TOO_LATE = ("timed-out", "cancelled", "unfinished")
# Where this share of the requests that decode are slower than their objective, letting more of them
# run at once could only make it worse.
_MOST = 0.5


def speed_limits(result: RunResult) -> Iterator[Limit]:
    """The speed of each workload's pool, and of the one that decodes for that.

    Where no queue's head waited for anything, every miss is one of speed; else
    those whose time went mainly into running. If the median request decodes slower than its
    objective, speed outranks whatever queues waited for.
    """
    counts = result.tables["summary/counts"]
    counts = counts.filter(counts.column("measured"))
    parts, stuck = parts_of(result), stuck_of(result)
    for index, workload in enumerate(result.manifest["workloads"]):
        rows = counts.filter(pc.equal(counts.column("workload"), workload["name"])).to_pylist()
        if not rows or not workload["objectives"]:
            continue
        decodes = decoding_pool(result, workload["name"])
        if decodes is None:
            before, decode = _before(result, workload["pool"], rows), _in_decode(rows)
            yield _speed(result, workload, workload["pool"], rows, (before, decode))
            continue
        mine = parts.get(workload["name"])
        if mine is None:  # the prefill cannot be told from what follows it
            yield _first_tokens(result, workload, decodes, rows)
            yield _speed(result, workload, decodes, rows, (0.0, _in_decode(rows)))
            continue
        before, first = _before_apart(result, workload, decodes, rows, mine, stuck.get(index, 0))
        yield _speed(result, workload, workload["pool"], rows, (before, 0.0))
        yield _speed(result, workload, decodes, rows, (first, _in_decode(rows)))


def _before(result: RunResult, pool: str, rows: list[dict[str, Any]]) -> float:
    """Misses before the first token that more room would not have helped."""
    free, ttft = _held(result, pool) < TOUCH, _sums(rows)["ttft"]
    before = ttft["n"] if free or ttft["to_first_token_s"] >= ttft["queue_s"] else 0.0
    return before + (_too_late(rows) if free else 0.0)


def _before_apart(
    result: RunResult,
    workload: Mapping[str, Any],
    decodes: str,
    rows: list[dict[str, Any]],
    parts: Parts,
    stuck: int,
) -> tuple[float, float]:
    """The same by prefill, and by the first step of the pool that decodes.

    By the largest part of each TTFT.
    """
    free = all(_held(result, pool) < TOUCH for pool in (workload["pool"], decodes))
    beside = max(0.0, _too_late(rows) - stuck) if free else 0.0
    objective = workload["objectives"].get("ttft", np.inf)
    late = parts.parts_s[parts.ttft_s > objective]
    if not len(late):
        return beside, 0.0
    most, n = late.argmax(axis=1), _sums(rows)["ttft"]["n"]
    prefill, first = (
        n * float((most == list(PARTS).index(part)).mean()) for part in ("prefill", "first_decode")
    )
    return prefill + beside, first


def _first_tokens(
    result: RunResult, workload: Mapping[str, Any], decodes: str, rows: list[dict[str, Any]]
) -> Limit:
    """Late first tokens of which only the sum of what follows the queue is known."""
    name, pool = workload["name"], workload["pool"]
    share = _before(result, pool, rows) / sum(row["n"] for row in rows)
    return Limit(
        kind="first-token",
        entity=name,
        binds=share >= TOUCH,
        share=share,
        use=None,
        sentence=f"first tokens of {name}: {percent(share)} of its requests were late after their "
        f"queue; 'record: summary' does not tell the prefill in pool {pool} from the wait for room "
        f"in pool {decodes} and the transfer",
        label=f"the first tokens of {name}",
    )


def _too_late(rows: list[dict[str, Any]]) -> float:
    return float(sum(row["n"] for row in rows if row["outcome"] in _TOO_LATE))


def _in_decode(rows: list[dict[str, Any]]) -> float:
    by_cause = _sums(rows)
    return by_cause["tpot"]["n"] + by_cause["e2e"]["n"]


def _speed(
    result: RunResult,
    workload: Mapping[str, Any],
    pool: str,
    rows: list[dict[str, Any]],
    missed: tuple[float, float],
) -> Limit:
    """``missed``: before the first token, and in decode."""
    before, decode = missed
    share = (before + decode) / sum(row["n"] for row in rows)
    where = "before the first token" if before > decode else "in decode"
    seen = (
        f"{percent(share)} of {workload['name']} requests missed by the time iterations take, "
        f"mostly {where}"
    )
    prefills_only = pool == workload["pool"] and decoding_pool(result, workload["name"]) is not None
    slow, most = (0.0, 0.0) if prefills_only else _slow_decodes(result, workload)
    if slow > share:
        share = slow
        seen = (
            f"{'at least ' if most > slow else ''}{percent(slow)} of the {workload['name']} "
            "requests that decoded were slower than their TPOT objective"
        )
    return Limit(
        kind="speed",
        entity=pool,
        binds=share >= TOUCH,
        share=share,
        use=None,
        sentence=f"speed of pool {pool}: {seen}",
        label=f"the speed of {pool}",
        outranks=slow >= _MOST,
    )


def _slow_decodes(result: RunResult, workload: Mapping[str, Any]) -> tuple[float, float]:
    """Least and largest share of the requests with a TPOT whose TPOT is above the objective: of
    the histogram bin that holds the objective none is counted, or all."""
    objective = workload["objectives"].get("tpot")
    rows = result.tables["summary/latency"]
    mine = pc.and_(
        pc.equal(rows.column("workload"), workload["name"]),
        pc.and_(rows.column("measured"), pc.equal(rows.column("metric"), "tpot")),
    )
    rows = rows.filter(mine)
    if objective is None or rows.num_rows == 0:
        return 0.0, 0.0
    n, bins = (rows.column(name).to_numpy() for name in ("n", "bin"))
    own = int(latency_bins(np.array([objective]))[0])
    return float(n[bins > own].sum() / n.sum()), float(n[bins >= own].sum() / n.sum())


def _held(result: RunResult, pool: str) -> float:
    """Share of replica time in which the head of a queue of ``pool`` waited for anything."""
    return sum(
        result.metrics[f"pools[{pool}].blocked_{what}_fraction"].value or 0.0
        for what in ("blocks", "sequences", "tokens", "held")
    )


def _sums(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found = {cause: {"n": 0.0, "queue_s": 0.0, "to_first_token_s": 0.0} for cause in CAUSES}
    for row in rows:
        mine = found[row["cause"]]
        for column in mine:
            mine[column] += row[column]
    return found
