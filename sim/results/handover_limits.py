"""Limits of two pools at once, and of the network between them.

Blocks of a prompt that another pool decodes are held while it is prefilled, while it waits for room
there and while its KV moves; at the other pool while its KV moves and while it decodes. Which of
these took most of them says where a queue really waits: at the network where KV on its way holds
more than decoding does, at the pool that decodes where prompts that wait for it hold most of the
blocks of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.results.latency import floats
from sim.results.limit import TOUCH, Limit
from sim.results.result import RunResult
from sim.results.ttft_parts import PARTS, Parts, decoding_pool, parts_of
from sim.results.wording import percent
from sim.units import format_si

#: A request's id holds its workload's index above these bits (table ``requests``).
ROW_BITS = 40
_COLUMNS = ("source", "request_id", "size_bytes", "admitted_s", "ready_s", "room_s", "end_s")


@dataclass(frozen=True)
class Held:
    """Byte-seconds of KV that a pair of pools held over the run, by what it was held for."""

    prefill: float
    room: float
    moving: float
    decode: float

    @property
    def network_holds(self) -> bool:
        """Whether KV on its way holds more of the decoding pool's blocks than decoding does."""
        return self.moving > self.decode

    @property
    def waits_downstream(self) -> bool:
        """Whether most of the prefilling pool's blocks hold what has been prefilled."""
        return self.room + self.moving > self.prefill


def senders(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Pool that decodes for another → that one."""
    return {pool["decode"]: pool["name"] for pool in manifest["pools"] if pool.get("decode")}


def held_of(result: RunResult) -> dict[str, Held]:
    """Prefilling pool → what its KV was held for; none where transfers were not recorded."""
    apart = set(senders(result.manifest).values())
    if not apart or "transfers" not in result.tables or "requests" not in result.tables:
        return {}
    rows = result.tables.select("transfers", ["kind", *_COLUMNS])
    rows = rows.filter(pc.equal(rows["kind"], "kv"))
    ends = result.tables.select("requests", ["request_id", "end_s"])
    ids = ends["request_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    end_of = floats(ends, "end_s")[order]
    at = np.searchsorted(ids[order], rows["request_id"].to_numpy())
    there = (at < len(ids)) & (ids[order][np.minimum(at, len(ids) - 1)] == rows["request_id"])
    over_s = float(result.manifest["simulated_s"])
    last = np.where(there, end_of[np.minimum(at, len(ids) - 1)], np.nan)
    last = np.where(np.isnan(last), over_s, last)
    replicas = result.tables.select("replicas", ["replica", "pool"]).to_pylist()
    pool_of = {row["replica"]: row["pool"] for row in replicas}
    pools = np.array([pool_of.get(source, "") for source in rows["source"].to_pylist()], dtype=str)
    return {pool: _held(rows, last, over_s, pools == pool) for pool in sorted(apart)}


def _held(rows: pa.Table, last_s: Any, over_s: float, mine: Any) -> Held:
    size, admitted, ready, room, end = (floats(rows, name)[mine] for name in _COLUMNS[2:])
    end = np.where(np.isnan(end), over_s, end)
    ready = np.where(np.isnan(ready), end, ready)  # it ended before its prefill did
    room = np.maximum(ready, room)
    end = np.maximum(room, end)
    return Held(
        prefill=float(size @ (ready - admitted)),
        room=float(size @ (room - ready)),
        moving=float(size @ (end - room)),
        decode=float(size @ np.maximum(0.0, last_s[mine] - end)),
    )


def network_limits(
    result: RunResult, held: Mapping[str, Held], content: frozenset[str]
) -> Iterator[Limit]:
    """How much the network held up the requests of each workload that changes pools.

    The share is of the requests that were too late mainly by it or never got beyond it; where KV on
    its way holds most blocks, at least that of replica time for which a queue's head waited.
    Nothing where that was not recorded. ``content``: pools whose workloads meet their objectives.
    """
    parts = parts_of(result)
    stuck = stuck_of(result)
    for index, workload in enumerate(result.manifest["workloads"]):
        name, pool = workload["name"], workload["pool"]
        if name in parts and pool in held:
            share = _late(workload, parts[name], stuck.get(index, 0), held[pool])
            if held[pool].network_holds and pool not in content:
                share = max(share, _blocked(result, workload))
            yield _network(result, workload, parts[name], held[pool], share)


def stuck_of(result: RunResult) -> dict[int, int]:
    """Index of a workload → how many of its prompts left and never arrived, as far as recorded."""
    if "transfers" not in result.tables:
        return {}
    rows = result.tables.select("transfers", ["kind", "request_id", "outcome"])
    never = pc.is_in(rows["outcome"], value_set=pa.array(["withdrawn", "unfinished"]))
    rows = rows.filter(pc.and_(pc.equal(rows["kind"], "kv"), never))
    index, count = np.unique(rows["request_id"].to_numpy() >> ROW_BITS, return_counts=True)
    return dict(zip(index.tolist(), count.tolist(), strict=True))


def _late(workload: Mapping[str, Any], parts: Parts, stuck: int, held: Held) -> float:
    objective = workload["objectives"].get("ttft")
    if objective is None or not len(parts.parts_s) + stuck:
        return 0.0
    most = parts.parts_s.argmax(axis=1)
    names = list(PARTS)
    moved = most == names.index("transfer")
    if held.network_holds:  # what waits for room waits for others' bytes
        moved |= most == names.index("room")
    late = int((moved & (parts.ttft_s > objective)).sum())
    return (late + stuck) / (len(parts.parts_s) + stuck)


def _blocked(result: RunResult, workload: Mapping[str, Any]) -> float:
    """The largest share of time for which a queue of either pool waited for blocks or places."""
    pools = workload["pool"], decoding_pool(result, workload["name"])
    values = [
        result.metrics[f"pools[{pool}].blocked_{what}_fraction"].value or 0.0
        for pool in pools
        for what in ("blocks", "sequences")
    ]
    return max(values)


def _network(
    result: RunResult, workload: Mapping[str, Any], parts: Parts, held: Held, share: float
) -> Limit:
    name, pool = workload["name"], workload["pool"]
    decode = decoding_pool(result, name)
    seen = f"it held up {percent(share)} of {name}"
    if len(parts.parts_s):
        mean = format_si(parts.means_s["transfer"], "s")
        seen = f"KV of {name} took {mean} on average, and {seen}"
    if held.network_holds:
        seen += "; KV on its way took more of the blocks than what decodes"
    return Limit(
        kind="network",
        entity=name,
        binds=share >= TOUCH,
        share=share,
        use=None,
        sentence=f"network between pools {pool} and {decode}: {seen}",
        label=f"the network between {pool} and {decode}",
        outranks=held.network_holds and share >= TOUCH,
    )
