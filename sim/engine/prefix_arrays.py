"""The prefix cache of the compiled plane, seen from Python: ids on their way in, room for entries.

Prefix ids of requests to come and in flight lie one behind the other in ``State.ids``; nobody frees
them. Where a chunk finds no room, those that are still needed move to the front: so there are at
most twice as many as belong to requests in flight and to the chunks that hold rows to come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.engine.arrivals import complete_prefixes
from sim.engine.prefix import prefix_key
from sim.kernels import layout
from sim.kernels.layout import NONE
from sim.kernels.state import Ints, Records, Slots, State, tables
from sim.workload.types import RequestChunk

#: Entries to begin with (growth makes new tables, which costs milliseconds); buckets for each.
ENTRIES, BUCKETS = 16_384, 2
_NO_IDS = np.zeros(0, np.int64)


def entries(count: int, first: int) -> Records:
    """Free places for entries, linked from index ``first`` on; the last one's ``next`` is NONE."""
    made = np.zeros(count, layout.ENTRY)
    made["replica"] = NONE
    made["next"] = np.arange(first + 1, first + count + 1)
    made["next"][-1] = NONE
    return made


def buckets(count: int) -> Slots:
    """An empty table for ``count`` entries."""
    return np.full(1 << (BUCKETS * count - 1).bit_length(), NONE, np.int32)


def more_entries(state: State, needed: int) -> State:
    """Twice the entries, or as many more as are ``needed`` to be free."""
    from sim.kernels.prefix import link_all

    whole, have = state.all[0], len(state.entry)
    more = entries(max(have, needed), have)
    more["next"][-1] = whole["free_entry"]
    whole["free_entry"] = have
    whole["free_entries"] += len(more)
    entry = np.concatenate([state.entry, more])
    state = state._replace(entry=entry, bucket=buckets(len(entry)))
    table, _power = tables(state)  # both must live through the call
    link_all(table)
    return state


# ---- ids -----------------------------------------------------------------------------------------


def ids_of(state: State, slot: int) -> tuple[int, ...]:
    """The ids of the complete prefix blocks of a request."""
    if state.request[slot]["prefixed"] == layout.NO_IDS:
        return ()
    prefix = state.prefix[slot]
    first, count = int(prefix["first_id"]), int(prefix["ids"])
    return tuple(state.ids[first : first + count].tolist())


def load_ids(state: State, workload: int, chunk: RequestChunk) -> tuple[State, Ints, Ints]:
    """Take the prefix ids of a chunk in, if its pool has a use for them.

    Returns:
        The state, and [n] first place and number of each row's ids; [0] where there are none.
    """
    record = state.workload[workload]
    pool = state.pool[int(record["pool"])]
    asks = {int(pool["routing"]), int(state.pool[int(pool["decode"])]["routing"])}  # NONE: any
    useful = pool["prefix_cache"] or layout.ASK in asks
    if chunk.prefix_ptr is None or chunk.prefix_ids is None or not useful:
        return state, _NO_IDS, _NO_IDS
    if record["prefix_block_tokens"] not in (0, chunk.prefix_block_tokens):
        raise AssertionError("an id of a workload stands for so many tokens in all its chunks")
    record["prefix_block_tokens"] = chunk.prefix_block_tokens
    state = room_for_ids(state, len(chunk.prefix_ids))
    first = int(state.all[0]["ids"])
    end = first + len(chunk.prefix_ids)
    np.add(chunk.prefix_ids, prefix_key(workload, 0), out=state.ids[first:end])
    state.all[0]["ids"] = end
    return state, first + chunk.prefix_ptr[:-1], complete_prefixes(chunk)


def room_for_ids(state: State, needed: int) -> State:
    """Room for ``needed`` more ids behind those that are there."""
    if int(state.all[0]["ids"]) + needed <= len(state.ids):
        return state
    spans = _live(state)
    first = np.concatenate([span.records["first_id"][span.places] for span in spans])
    count = np.concatenate([span.records["ids"][span.places] for span in spans])
    ends = np.cumsum(count, dtype=np.int64)
    total = int(count.sum())
    ids = np.zeros(max(len(state.ids), 2 * (total + needed)), np.int64)
    ids[:total] = state.ids[np.repeat(first - (ends - count), count) + np.arange(total)]
    done = 0
    for span in spans:
        mine = slice(done, done + len(span.places))
        span.records["first_id"][span.places] = (ends - count)[mine]
        done = mine.stop
    state.all[0]["ids"] = total
    return state._replace(ids=ids)


class Span(NamedTuple):
    """Records that say where ids are: ``first_id`` and ``ids``; and which of them do."""

    records: Records
    places: NDArray[np.intp]


def _live(state: State) -> list[Span]:
    """Whose ids are still needed: requests in flight, followers, rows of sources to come."""
    requests = state.request
    known = (requests["state"] != layout.FREE) & (requests["prefixed"] != layout.NO_IDS)
    spans = [
        Span(state.prefix, np.flatnonzero(known)),
        Span(state.follower, np.flatnonzero(state.follower["ids"])),
    ]
    for record, rows in zip(state.workload, state.source, strict=True):
        to_come = rows[int(record["next"]) : int(record["count"])]
        spans.append(Span(to_come, np.flatnonzero(to_come["ids"])))
    return spans
