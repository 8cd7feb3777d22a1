"""Arrays of the compiled plane that grow while it runs."""

from __future__ import annotations

import numpy as np

from sim.engine.prefix_arrays import more_entries
from sim.kernels import layout
from sim.kernels.followers import put_back
from sim.kernels.layout import NONE
from sim.kernels.state import Records, State, tables
from sim.kernels.tree import leaves_for

#: Request slots, alarms and followers to begin with; they grow as needed.
SLOTS = 1024


def _linked(count: int, first: int, dtype: np.dtype[np.void]) -> Records:
    """Records whose ``next`` links them from index ``first`` on; the last one's is NONE."""
    records = np.zeros(count, dtype)
    records["next"] = np.arange(first + 1, first + count + 1)
    records["next"][-1] = NONE
    return records


def slots(count: int, first: int) -> Records:
    """Free request slots from index ``first`` on."""
    return _linked(count, first, layout.REQUEST)


def followers(count: int, first: int) -> Records:
    """Free places for followers from index ``first`` on."""
    return _linked(count, first, layout.SOURCE)


def empty_places(count: int) -> Records:
    """An empty table of followers; ``count`` is a power of two."""
    return np.full(count, NONE, layout.PLACE)


def more_room(state: State) -> State:
    """Twice what the next event might find too small, whatever it is."""
    whole = state.all[0]
    new_entries = int(state.replica["new_entries"].max())
    if new_entries > whole["free_entries"]:
        return more_entries(state, new_entries)
    if whole["free_slot"] == NONE:
        return more_slots(state)
    if int(state.workload["alarms"].max()) + 1 >= state.ring.shape[1]:
        return more_alarms(state)
    return more_events(state, int(whole["cancels"]) + 2)


def more_slots(state: State) -> State:
    """Twice the request slots; none was free."""
    have = len(state.request)
    state.all[0]["free_slot"] = have
    state = state._replace(
        request=np.concatenate([state.request, slots(have, have)]),
        prefix=np.concatenate([state.prefix, np.zeros(have, layout.PREFIX)]),
    )
    if len(state.handover) > 1:
        more = np.zeros(have, layout.HANDOVER)
        state = state._replace(handover=np.concatenate([state.handover, more]))
    if _knows_more(state):
        again = np.concatenate([state.again, np.zeros(have, layout.AGAIN)])
        state = _room_for_returns(state._replace(again=again))
    return state


def _knows_more(state: State) -> bool:
    """Whether requests need ``layout.AGAIN``."""
    return bool(((state.workload["attempts"] > 1) | (state.workload["ingress_s"] > 0.0)).any())


def _room_for_returns(state: State) -> State:
    """Every follower may be about to return, and every request, if clients send again."""
    most = len(state.follower) + (len(state.request) if _knows_more(state) else 0)
    return state if state.heap.shape[1] >= most + 4 else more_events(state, most)


def more_alarms(state: State) -> State:
    """Twice the room in the rings of time-outs."""
    workloads, have = state.ring.shape
    ring = np.zeros((workloads, 2 * have), layout.ALARM)
    for index, workload in enumerate(state.workload):
        places = int(workload["first_alarm"]) + np.arange(int(workload["alarms"]))
        ring[index, places & (2 * have - 1)] = state.ring[index, places & (have - 1)]
    return state._replace(ring=ring)


def more_events(state: State, needed: int) -> State:
    """Room for ``needed`` returns or cancellations."""
    have = state.heap.shape[1]
    heap = np.zeros((2, max(2 * have, needed + 4)), layout.ALARM)
    heap[:, :have] = state.heap
    return state._replace(heap=heap)


def more_followers(state: State, needed: int) -> State:
    """Room for ``needed`` more followers in the pool, in their table and in the heap of returns."""
    whole, have = state.all[0], len(state.follower)
    used = int(whole["followers"])
    if used + needed <= have:
        return state
    extra = max(have, used + needed - have)
    more = followers(extra, have)
    more["next"][-1] = whole["free_follower"]
    whole["free_follower"] = have
    state = state._replace(follower=np.concatenate([state.follower, more]))
    places = len(state.place)
    if 2 * len(state.follower) > places:
        old = state.place[state.place["id"] != NONE]
        place = empty_places(leaves_for(4 * len(state.follower)))
        state = state._replace(place=place)
        table, _power = tables(state)  # both must live through the call
        put_back(table, old)
    return _room_for_returns(state)


def more_source(state: State, needed: int) -> State:
    """Room for ``needed`` rows of each source; rows that were sent are dropped."""
    have = state.source.shape[1]
    if have >= needed:
        return state
    source = np.zeros((len(state.workload), needed), layout.SOURCE)
    source[:, :have] = state.source
    return state._replace(source=source)
