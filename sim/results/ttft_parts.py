"""What the time to first token is made of where one pool prefills and another decodes.

From the sending to the first token a request is under way to its pool (and sent again), waits
there, is prefilled, waits until the pool that decodes has room for its KV, is transferred, and
waits for the step that delivers its first token, which is on its way to the user then. The parts of
a request add up to its TTFT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.results.latency import Floats, floats
from sim.results.values import Value, known, unknown

if TYPE_CHECKING:
    from sim.results.result import RunResult

#: The parts, in their order in time, and what each of them is.
PARTS: Mapping[str, str] = {
    "ingress": "from sending until its last attempt reached the pool that prefills",
    "queue": "from there to its admission",
    "prefill": "from its admission to the end of its prefill",
    "room": "from there until the pool that decodes had reserved blocks for its KV",
    "transfer": "from there until the last byte of its KV was there",
    "first_decode": "from there to the first token",
    "egress": "from there until its user had it",
}
STATISTICS: Mapping[str, float | None] = {"mean": None, "p50": 0.5, "p99": 0.99}
_TRANSFER = ("request_id", "ready_s", "room_s", "end_s", "outcome")
_TIMES = ("arrival_s", "ingress_s", "admitted_s", "first_token_s", "egress_s")
_REQUEST = ("request_id", "workload", *_TIMES)


@dataclass(frozen=True)
class Parts:
    """The measured requests of one workload that another pool decoded, as far as recorded.

    Attributes:
        parts_s: [n, parts] in the order of ``PARTS``.
    """

    parts_s: Floats

    @property
    def ttft_s(self) -> Floats:
        """[n] the sums."""
        total: Floats = self.parts_s.sum(axis=1)
        return total

    @property
    def means_s(self) -> dict[str, float]:
        """The mean of each part."""
        return dict(zip(PARTS, self.parts_s.mean(axis=0).tolist(), strict=True))


def decoding_pool(result: RunResult, workload: str) -> str | None:
    """The pool that decodes the requests of a workload for the one they are sent to, if any."""
    pool = next(w["pool"] for w in result.manifest["workloads"] if w["name"] == workload)
    decodes = {p["name"]: p.get("decode") for p in result.manifest["pools"]}
    decode: str | None = decodes.get(pool)
    return decode


def arrived(result: RunResult) -> tuple[NDArray[np.int64], Floats]:
    """(request ids ascending [n], (ready, room, end) [n, 3]) of the last KV that came of each."""
    ids, times = [np.zeros(0, np.int64)], [np.zeros((0, 3))]
    for rows in result.tables.pieces("transfers", ["kind", *_TRANSFER]):
        came = pc.and_(pc.equal(rows["kind"], "kv"), pc.equal(rows["outcome"], "arrived"))
        rows = rows.filter(came)
        ids.append(rows["request_id"].to_numpy().astype(np.int64))
        columns = [floats(rows, name) for name in ("ready_s", "room_s", "end_s")]
        times.append(np.stack(columns, axis=1))
    every, when = np.concatenate(ids), np.concatenate(times)
    order = np.lexsort((when[:, 2], every))
    every, when = every[order], when[order]
    last = np.append(every[1:] != every[:-1], True) if len(every) else np.zeros(0, dtype=bool)
    return every[last], when[last]


def parts_of(result: RunResult) -> dict[str, Parts]:
    """Workload → the parts of its TTFTs; only workloads that another pool decodes.

    Requests that arrived in the measurement window and got a first token; with ``record: sampled``
    those of them that were recorded, with ``record: summary`` none.

    Raises:
        ResultError: a table cannot be read.
    """
    names = [w["name"] for w in result.manifest["workloads"]]
    apart = [name for name in names if decoding_pool(result, name) is not None]
    if not apart or "transfers" not in result.tables or "requests" not in result.tables:
        return {}
    ids, times = arrived(result)
    found: dict[str, list[Floats]] = {name: [] for name in apart}
    window = result.manifest["window"]
    for rows in result.tables.pieces("requests", list(_REQUEST)):
        arrival = floats(rows, "arrival_s")
        measured = (arrival >= window["warm_up_s"]) & (arrival < window["duration_s"])
        request = rows["request_id"].to_numpy().astype(np.int64)
        at = np.minimum(np.searchsorted(ids, request), max(0, len(ids) - 1))
        handed = ids[at] == request if len(ids) else np.zeros(len(request), dtype=bool)
        chosen = measured & handed & ~np.isnan(floats(rows, "first_token_s"))
        split = _split(rows.filter(pa.array(chosen)), times[at[chosen]])
        workload = rows["workload"].filter(pa.array(chosen))
        for name in apart:
            mine = pc.equal(workload, name).to_numpy()
            found[name].append(split[mine])
    return {name: Parts(np.concatenate(pieces)) for name, pieces in found.items()}


def _split(requests: pa.Table, times: Floats) -> Floats:
    """[n, parts]; KV that is sent layer by layer may have begun, or come, before the prefill ends:
    then there is no wait for room, and only what is left after the prefill is transfer."""
    sent, ingress, admitted, first, egress = (floats(requests, name) for name in _TIMES)
    ready, room, end = times.T
    room = np.maximum(ready, room)
    end = np.maximum(room, end)
    points = [sent, sent + ingress, admitted, ready, room, end, first - egress, first]
    return np.diff(np.stack(points, axis=1), axis=1)


def part_values(parts: Parts | None, reason: str) -> dict[str, Value]:
    """Name → mean, median and 99th percentile of each part; unknown for ``reason`` without any."""
    values: dict[str, Value] = {}
    for place, part in enumerate(PARTS):
        for statistic, quantile in STATISTICS.items():
            name = f"ttft_{part}_{statistic}"
            if parts is None or not len(parts.parts_s):
                values[name] = unknown(reason)
                continue
            column = parts.parts_s[:, place]
            value = column.mean() if quantile is None else np.quantile(column, quantile)
            values[name] = known(float(value))
    return values


def why_unknown(result: RunResult, workload: str) -> str:
    """Why a workload has no parts."""
    if decoding_pool(result, workload) is None:
        return "no other pool decodes its requests"
    record: Any = result.manifest["record"]
    if record == "summary":
        return "'record: summary' writes no rows of requests and transfers"
    return "no request of the measurement window that was recorded got a token by another pool"
