"""Requests that follow others: loaded with their chunk, sent when the one they follow ends.

Followers wait in a pool, in a list by the id of the request they follow (open addressing with
backward-shift deletion). When that request ends they move to the heap of returns. A closed source
makes rows without end, so a request may end before its follower was loaded: an *orphan*, for which
Python pulls more rows before anything else happens.
"""

from __future__ import annotations

from sim.kernels.heaps import event_push
from sim.kernels.jit import entry, kernel, rare
from sim.kernels.layout import (
    FAILED,
    MOST_RETURNS,
    NEVER_FITS,
    NONE,
    QUEUE_FULL,
    RETURNS,
    ROW_BITS,
    SHED,
    STANDSTILL,
)
from sim.kernels.state import Floats, Ints, Records, State, state_of


@kernel
def home(s: State, identity: int) -> int:
    """Where the search for an id starts (Fibonacci hashing)."""
    return ((identity * 0x61C8864680B583EB) >> 20) & (len(s.place) - 1)


@kernel
def find(s: State, identity: int) -> int:
    """The place of an id, or the empty one where it would go."""
    place = home(s, identity)
    while s.place[place].id != NONE and s.place[place].id != identity:
        place = (place + 1) & (len(s.place) - 1)
    return place


@kernel
def forget(s: State, place: int) -> None:
    """Empty a place, and move up what had been pushed past it."""
    mask = len(s.place) - 1
    hole, look = place, (place + 1) & mask
    while s.place[look].id != NONE:
        wanted = home(s, s.place[look].id)
        if ((look - wanted) & mask) >= ((look - hole) & mask):
            s.place[hole].id = s.place[look].id
            s.place[hole].follower = s.place[look].follower
            hole = look
        look = (look + 1) & mask
    s.place[hole].id = NONE


@entry
def load_rows(
    table: Ints,
    w: int,
    first_row: int,
    arrival_s: Floats,
    inputs: Ints,
    outputs: Ints,
    priority: Ints,
    after: Ints,
    think_s: Floats,
    cancel_s: Floats,
    first_id: Ints,
    ids: Ints,
) -> int:
    """Take a chunk of workload ``w``, whose rows are [n] columns, in; its open rows, counted.

    The caller made room for all of them in ``source`` and in the pool of followers. ``first_id``
    and ``ids`` say where in ``s.ids`` their prefix ids are and how many; [0] where none has any.
    """
    s = state_of(table)
    workload = s.workload[w]
    known = len(ids) > 0
    opened = 0
    for i in range(len(arrival_s)):
        if after[i] == NONE:
            row = s.source[w, workload.count]
            workload.count += 1
            opened += 1
        else:
            row = s.follower[add_follower(s, (w << ROW_BITS) | after[i])]
        row.arrival_s = arrival_s[i]
        row.think_s = think_s[i]
        row.cancel_after_s = cancel_s[i]
        row.row = first_row + i
        row.input_tokens = inputs[i]
        row.output_tokens = outputs[i]
        row.priority = priority[i]
        row.ids = 0
        if known:
            row.first_id = first_id[i]
            row.ids = ids[i]
    return opened


@kernel
def add_follower(s: State, identity: int) -> int:
    """A place in the pool for a follower of the request ``identity``."""
    all_ = s.all[0]
    follower = all_.free_follower
    all_.free_follower = s.follower[follower].next
    all_.followers += 1
    place = s.place[find(s, identity)]
    if place.id == NONE:
        place.id = identity
        place.follower = NONE
    s.follower[follower].next = place.follower
    place.follower = follower
    return follower


@entry
def put_back(table: Ints, old: Records) -> None:
    """Fill a larger table with the [n] places of the smaller one."""
    s = state_of(table)
    for i in range(len(old)):
        place = s.place[find(s, old[i].id)]
        place.id = old[i].id
        place.follower = old[i].follower


@kernel
def free_follower(s: State, follower: int) -> None:
    """Its place in the pool is free."""
    s.follower[follower].ids = 0
    s.follower[follower].next = s.all[0].free_follower
    s.all[0].free_follower = follower
    s.all[0].followers -= 1


@rare
def release_followers(s: State, identity: int, outcome: int, end_s: float, t: float) -> None:
    """The request ``identity`` has ended at ``t``, its client knows at ``end_s``: its followers are
    on their way."""
    w = identity >> ROW_BITS
    place = find(s, identity)
    if s.place[place].id == NONE:
        if s.workload[w].endless:
            orphan = s.orphan[s.all[0].orphans]
            orphan.id = identity
            orphan.end_s = end_s
            orphan.t_s = t
            orphan.outcome = outcome
            s.all[0].orphans += 1
        return
    follower = s.place[place].follower
    forget(s, place)
    while follower != NONE:
        row = s.follower[follower]
        after = row.next
        row.arrival_s = end_s + row.think_s
        at_s = row.arrival_s + s.workload[w].ingress_s
        if at_s == t and outcome in (NEVER_FITS, QUEUE_FULL, SHED, FAILED):
            return_at_once(s, w, outcome, t)
        if row.arrival_s < s.all[0].until_s:
            event_push(s.heap, RETURNS, s.all[0].returns, at_s, (w << ROW_BITS) | row.row, follower)
            s.all[0].returns += 1
        else:
            free_follower(s, follower)
        follower = after
    next_arrival(s)


@kernel
def return_at_once(s: State, w: int, outcome: int, t: float) -> None:
    """A client that was turned away is back at this very instant; that must not go on for ever."""
    workload = s.workload[w]
    workload.returned = workload.returned + 1 if workload.returned_s == t else 1
    workload.returned_s = t
    if workload.returned > MOST_RETURNS:
        s.all[0].fault = STANDSTILL
        s.all[0].fault_s = t
        s.all[0].faulty = w
        s.all[0].fault_outcome = outcome


@kernel
def next_arrival(s: State) -> None:
    """Find the next arrival: the first in (time, id) of every workload's next row and returns.

    Its time is when it reaches its pool.
    """
    all_ = s.all[0]
    best_s, best_id, best = float("inf"), 0, NONE
    if all_.returns > 0:
        first = s.heap[RETURNS, 1]
        best_s, best_id = first.t_s, first.order
    for w in range(len(s.workload)):
        workload = s.workload[w]
        if workload.next < workload.count:
            row = s.source[w, workload.next]
            identity = (w << ROW_BITS) | row.row
            at_s = row.arrival_s + workload.ingress_s
            if at_s < best_s or (at_s == best_s and identity < best_id):
                best_s, best_id, best = at_s, identity, w
    all_.arrival_s = best_s
    all_.arrival_workload = best


@entry
def release(table: Ints, identity: int, outcome: int, end_s: float, t: float) -> None:
    """``release_followers`` for an orphan, now that its followers are there."""
    s = state_of(table)
    release_followers(s, identity, outcome, end_s, t)


@entry
def adopt(table: Ints, identity: int) -> int:
    """Whether the followers of an orphan have been loaded."""
    s = state_of(table)
    return s.place[find(s, identity)].id != NONE


@entry
def refresh_arrivals(table: Ints) -> None:
    """The rows of a source have changed."""
    s = state_of(table)
    next_arrival(s)
