"""Why requests failed: without power, for want of weights, or because no path was left for KV.

A request whose KV lost its last path failed by the network. One that failed while a replica of its
pools had booted and waited for its weights, and not in the moment in which a replica failed, did so
by the weights. All others are the outages'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.results.latency import Floats, floats
from sim.results.limit import TOUCH, Limit
from sim.results.result import RunResult
from sim.results.ttft_parts import decoding_pool
from sim.results.wording import percent

#: A request's time at its pool and a transfer's end are one time, up to the way to the user.
_ROUNDING_S = 1e-6


class Shares(NamedTuple):
    """Shares of a workload's failed requests; they add up to 1."""

    cut: float  # no path was left
    waiting: float  # replicas waited for their weights
    dark: float  # all others


def failed_limits(result: RunResult) -> Iterator[Limit]:
    """What requests of each workload failed by: outages, the network, weights that were not there.

    As far as requests and transfers were recorded; without them all count as outages.
    """
    for workload in result.manifest["workloads"]:
        name, pool = workload["name"], workload["pool"]
        arrivals = result.metrics[f"{name}.arrivals"].value
        if not arrivals:
            continue
        failed = (result.metrics[f"{name}.failed"].value or 0.0) / arrivals
        shares = _shares(result, name) if failed else Shares(0.0, 0.0, 1.0)
        decode = decoding_pool(result, name)
        pools = pool if decode is None else f"{pool} or {decode}"
        yield _replicas_lost(result, name, pool, pools, failed * shares.dark)
        if shares.cut:
            yield _limit(
                "partition",
                pool,
                failed * shares.cut,
                f"failures of the network: {{}} of {name} requests failed: no path was left for "
                f"their KV from pool {pool} to {decode}",
                f"failures of the network between {pool} and {decode}",
            )
        if shares.waiting:
            yield _limit(
                "weights",
                pool,
                failed * shares.waiting,
                f"weights: {{}} of {name} requests failed while replicas of pool {pools} waited "
                "for theirs",
                f"the weights of {pools}",
            )


#: Events that take replicas down → what that is to a request.
_LOST = {
    "replica-fails": "their replica lost power",
    "replica-cut": "no path was left between the GPUs of their replica",
}


def _replicas_lost(result: RunResult, workload: str, pool: str, pools: str, share: float) -> Limit:
    """What failed with its replica, or found none: an outage, unless only the network failed."""
    kinds = [kind for kind in _LOST if len(_when(result, kind))]
    causes = [_LOST[kind] for kind in kinds] or [_LOST["replica-fails"]]
    network = kinds == ["replica-cut"]
    what = "failures of the network" if network else "outages"
    return _limit(
        "partition" if network else "outage",
        pool,
        share,
        f"{what}: {{}} of {workload} requests failed: {', or '.join(causes)}, or no replica of "
        f"pool {pools} was serving",
        f"{what} of {pools}",
    )


def _limit(kind: str, pool: str, share: float, sentence: str, label: str) -> Limit:
    binds = share >= TOUCH
    return Limit(
        kind=kind, entity=pool, binds=binds, share=share, use=None,
        sentence=sentence.format(percent(share)), label=label, outranks=binds,
    )  # fmt: skip


def _shares(result: RunResult, workload: str) -> Shares:
    if "requests" not in result.tables or "transfers" not in result.tables:
        return Shares(0.0, 0.0, 1.0)
    ids, ends = _failures(result, workload)
    if not len(ids):
        return Shares(0.0, 0.0, 1.0)
    rows = result.tables.select(
        "transfers", ["kind", "request_id", "target", "ready_s", "end_s", "outcome"]
    )
    cut = _cut(rows, ids, ends)
    waiting = ~cut & _waiting(result, rows, workload, ends)
    return Shares(float(cut.mean()), float(waiting.mean()), float((~cut & ~waiting).mean()))


def _failures(result: RunResult, workload: str) -> tuple[NDArray[np.int64], Floats]:
    """(ids [n], when they failed at their pools [n]) of the measured requests that failed."""
    window = result.manifest["window"]
    names = ["request_id", "workload", "arrival_s", "end_s", "egress_s", "outcome"]
    rows = result.tables.select("requests", names)
    mine = pc.and_(pc.equal(rows["workload"], workload), pc.equal(rows["outcome"], "failed"))
    rows = rows.filter(mine)
    arrival = floats(rows, "arrival_s")
    chosen = (arrival >= window["warm_up_s"]) & (arrival < window["duration_s"])
    ids = rows["request_id"].to_numpy().astype(np.int64)
    return ids[chosen], (floats(rows, "end_s") - floats(rows, "egress_s"))[chosen]


def _cut(rows: pa.Table, ids: NDArray[np.int64], ends: Floats) -> NDArray[np.bool_]:
    """[n] whether KV of the request was lost in the moment in which it failed."""
    lost = rows.filter(pc.and_(pc.equal(rows["kind"], "kv"), pc.equal(rows["outcome"], "lost")))
    last: dict[int, float] = {}
    pairs = zip(lost["request_id"].to_pylist(), lost["end_s"].to_pylist(), strict=True)
    for request, end_s in pairs:
        last[request] = max(end_s, last.get(request, end_s))
    when = np.array([last.get(request, np.nan) for request in ids.tolist()], dtype=np.float64)
    return np.asarray(np.abs(when - ends) <= _ROUNDING_S, dtype=np.bool_)


def _waiting(result: RunResult, rows: pa.Table, workload: str, ends: Floats) -> NDArray[np.bool_]:
    """[n] whether a replica of its pools waited for weights then, and none failed just then."""
    index = [entry["name"] for entry in result.manifest["workloads"]].index(workload)
    pools = {result.manifest["workloads"][index]["pool"], decoding_pool(result, workload)}
    replicas = result.tables.select("replicas", ["replica", "pool"]).to_pylist()
    mine = [row["replica"] for row in replicas if row["pool"] in pools]
    loads = rows.filter(
        pc.and_(
            pc.equal(rows["kind"], "weights"),
            pc.is_in(rows["target"], value_set=pa.array(mine, rows["target"].type)),
        )
    )
    found = np.zeros(len(ends), dtype=np.bool_)
    from_s, to_s = floats(loads, "ready_s"), floats(loads, "end_s")
    to_s = np.where(np.isnan(to_s), np.inf, to_s)  # not over at the end of the run
    for first, last in zip(from_s.tolist(), to_s.tolist(), strict=True):
        found |= (ends >= first) & (ends < last)
    return found & ~np.isin(ends, _when(result, *_LOST))


def _when(result: RunResult, *kinds: str) -> Floats:
    """Times of events of these kinds, s."""
    if "events" not in result.tables:
        return np.zeros(0)
    rows: list[Mapping[str, Any]] = result.tables["events"].to_pylist()
    return np.array([row["t_s"] for row in rows if row["kind"] in kinds], dtype=float)
