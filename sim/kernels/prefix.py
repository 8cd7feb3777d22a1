"""The prefix cache in arrays: the seven rules of ``sim.engine.prefix``.

All replicas share one pool of *entries* and one table of *buckets*, whose key is an id and a
replica, so that memory follows use. An entry knows its parent entry; a request keeps its deepest
one, and all that it holds is the way up from there. Requests without ids, and replicas without a
cache, pass a branch (``request.prefixed``, ``replica.idle``) and nothing else.

1. *Entries*: idle ones are a list by release, oldest first, of their replica. ``replica.free`` is
   unused + idle. Every sequence takes and gives back the blocks of all its tokens as if it shared
   nothing, and ``repeated`` counts what is thereby counted too often:

       free = all blocks − Σ blocks of a sequence's tokens + Σ (references − 1) · blocks of an entry

   Neither term changes when an entry becomes idle, is hit again or evicted: so leaps, exhaustion
   and preemption know nothing of the cache.
2. *Admission* (``reserve``): of its hits, those in use come first, and only they make a request
   need fewer of the blocks that are free. So the idle ones are looked up once it fits.
3. *Taking* (``trim``): unused = free − idle must not fall below 0, so that after every take the
   oldest idle entries go until idle ≤ free. A leap counts the takes of its iterations, and trims,
   before the releases at its end; what it takes one by one evicts what it takes at once evicts.
4. *The end of a prefill* (``share``): an id that is no entry becomes one, with the one before it as
   its parent; nothing is taken or given back, because the blocks were this request's.
5. *Release* (``give_back``) walks up from the deepest entry.
6. *Recompute* is ``reserve`` again: a preempted request holds no entry.
7. *KV tokens* (``sim.kernels.meters.kv_now``): ``repeated`` changes at boundaries only, at whose
   iterations' start tokens in KV are counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels.jit import entry as entry_point
from sim.kernels.jit import kernel, rare
from sim.kernels.keyed import mix64
from sim.kernels.layout import BLOCK_SHIFT, CACHED, NONE, PREFIX_BITS, ROUTED
from sim.kernels.state import Ints, Record, State, state_of

#: Spreads replicas over the keys of buckets.
_STRIDE = 0x61C8864680B583EB
_HIGH = np.uint64(20)


# ---- entries by id and replica -------------------------------------------------------------------


@kernel
def bucket_of(s: State, r: int, identity: int) -> int:
    """The bucket of a replica's id."""
    word = mix64(np.uint64(identity + r * _STRIDE)) >> _HIGH
    place: Any = np.int64(word) & (len(s.bucket) - 1)
    return place


@kernel
def find(s: State, r: int, identity: int) -> int:
    """The entry of an id at a replica, or NONE."""
    entry = s.bucket[bucket_of(s, r, identity)]
    while entry != NONE and (s.entry[entry].id != identity or s.entry[entry].replica != r):
        entry = s.entry[entry].chain
    return entry


@kernel
def link(s: State, entry: int) -> None:
    """An entry is the first of its bucket."""
    one = s.entry[entry]
    place = bucket_of(s, one.replica, one.id)
    one.chain = s.bucket[place]
    s.bucket[place] = entry


@kernel
def unlink(s: State, entry: int) -> None:
    """Take an entry out of its bucket."""
    one = s.entry[entry]
    place = bucket_of(s, one.replica, one.id)
    before = s.bucket[place]
    if before == entry:
        s.bucket[place] = one.chain
        return
    while s.entry[before].chain != entry:
        before = s.entry[before].chain
    s.entry[before].chain = one.chain


@kernel
def new_entry(s: State, r: int, identity: int, parent: int) -> int:
    """An entry in use by one request; ``advance`` made sure that there is one left."""
    all_ = s.all[0]
    entry = all_.free_entry
    one = s.entry[entry]
    all_.free_entry = one.next
    all_.free_entries -= 1
    one.id = identity
    one.replica = r
    one.parent = parent
    one.references = 1
    link(s, entry)
    return entry


@entry_point
def link_all(table: Ints) -> None:
    """Fill an empty table of buckets with every entry."""
    s = state_of(table)
    for entry in range(len(s.entry)):
        if s.entry[entry].replica != NONE:
            link(s, entry)


# ---- idle entries --------------------------------------------------------------------------------


@kernel
def idle_append(s: State, r: int, entry: int) -> None:
    """The newest."""
    replica, one = s.replica[r], s.entry[entry]
    one.previous = replica.newest
    one.next = NONE
    if replica.newest == NONE:
        replica.oldest = entry
    else:
        s.entry[replica.newest].next = entry
    replica.newest = entry


@kernel
def idle_remove(s: State, r: int, entry: int) -> None:
    """Take an entry out of the list, wherever it stands."""
    replica, one = s.replica[r], s.entry[entry]
    if one.previous == NONE:
        replica.oldest = one.next
    else:
        s.entry[one.previous].next = one.next
    if one.next == NONE:
        replica.newest = one.previous
    else:
        s.entry[one.next].previous = one.previous


@kernel
def trim(s: State, r: int) -> None:
    """Blocks were taken: idle entries make room where more than the unused ones are needed."""
    if s.replica[r].idle > s.replica[r].free:
        evict(s, r)


@rare
def evict(s: State, r: int) -> None:
    """Drop idle entries, oldest first, until no block of theirs is taken."""
    all_, replica = s.all[0], s.replica[r]
    while replica.idle > replica.free:
        entry = replica.oldest
        one = s.entry[entry]
        replica.idle -= s.workload[one.id >> PREFIX_BITS].prefix_block_tokens >> BLOCK_SHIFT
        idle_remove(s, r, entry)
        unlink(s, entry)
        one.replica = NONE
        one.next = all_.free_entry
        all_.free_entry = entry
        all_.free_entries += 1


# ---- what requests do ----------------------------------------------------------------------------


@kernel
def take_ids(s: State, slot: int, row: Record) -> None:
    """A request arrives whose row names prefix blocks."""
    request, prefix = s.request[slot], s.prefix[slot]
    cached = s.pool[s.workload[request.workload].pool].prefix_cache
    request.prefixed = CACHED if cached else ROUTED
    prefix.first_id = row.first_id
    prefix.ids = row.ids
    prefix.shared = 0
    prefix.entry = NONE
    prefix.hit_tokens = 0


@kernel
def reserve(s: State, r: int, slot: int, blocks: int) -> bool:
    """Take ``blocks`` for a prompt, less what is cached of it, which its context then is.

    Whether they are free; if not, nothing changes.
    """
    replica, request = s.replica[r], s.request[slot]
    if request.prefixed == CACHED:
        return reserve_missing(s, r, slot, blocks)
    if blocks > replica.free:
        return False
    replica.free -= blocks
    request.context = 0
    trim(s, r)
    return True


@rare
def reserve_missing(s: State, r: int, slot: int, blocks: int) -> bool:
    """As ``reserve``, for a request with ids."""
    replica, request, prefix = s.replica[r], s.request[slot], s.prefix[slot]
    tokens = s.workload[request.workload].prefix_block_tokens
    most = min(prefix.ids, (request.input_tokens - 1) // tokens)
    find_hits(s, r, slot, most, 1)
    if blocks - prefix.shared * (tokens >> BLOCK_SHIFT) > replica.free:
        prefix.shared = 0
        prefix.entry = NONE
        return False
    find_hits(s, r, slot, most, 0)
    replica.free -= blocks
    entry = prefix.entry
    while entry != NONE:
        refer(s, r, entry, tokens >> BLOCK_SHIFT)
        entry = s.entry[entry].parent
    trim(s, r)
    request.context = prefix.shared * tokens
    if request.admitted_s != request.admitted_s:
        prefix.hit_tokens = request.context
    return True


@kernel
def find_hits(s: State, r: int, slot: int, most: int, references: int) -> None:
    """Go on from the hits found so far to entries that have at least so many references."""
    prefix = s.prefix[slot]
    while prefix.shared < most:
        entry = find(s, r, s.ids[prefix.first_id + prefix.shared])
        if entry == NONE or s.entry[entry].references < references:
            return
        prefix.shared += 1
        prefix.entry = entry


@kernel
def refer(s: State, r: int, entry: int, blocks: int) -> None:
    """One more request uses an entry of ``blocks``."""
    replica, one = s.replica[r], s.entry[entry]
    if one.references == 0:
        idle_remove(s, r, entry)
        replica.idle -= blocks
    else:
        replica.repeated += blocks
        replica.free += blocks
    one.references += 1


@kernel
def share(s: State, r: int, slot: int) -> None:
    """The prompt of a request is in KV: from now on its complete blocks can be hit."""
    if s.request[slot].prefixed == CACHED:
        share_chain(s, r, slot)


@rare
def share_chain(s: State, r: int, slot: int) -> None:
    """As ``share``, for a request with ids."""
    prefix = s.prefix[slot]
    blocks = s.workload[s.request[slot].workload].prefix_block_tokens >> BLOCK_SHIFT
    while prefix.shared < prefix.ids:
        identity = s.ids[prefix.first_id + prefix.shared]
        entry = find(s, r, identity)
        if entry == NONE:
            entry = new_entry(s, r, identity, prefix.entry)
        else:
            refer(s, r, entry, blocks)
        prefix.entry = entry
        prefix.shared += 1


@kernel
def give_back(s: State, r: int, slot: int, blocks: int) -> None:
    """A request gives its ``blocks`` back; those it shares stay as long as there is room."""
    s.replica[r].free += blocks
    if s.request[slot].prefixed == CACHED:
        release(s, r, slot)


@rare
def release(s: State, r: int, slot: int) -> None:
    """Take one reference from each entry that a request holds, the deepest first."""
    replica, prefix = s.replica[r], s.prefix[slot]
    blocks = s.workload[s.request[slot].workload].prefix_block_tokens >> BLOCK_SHIFT
    entry = prefix.entry
    while entry != NONE:
        one = s.entry[entry]
        one.references -= 1
        if one.references > 0:
            replica.repeated -= blocks
            replica.free -= blocks
        else:
            idle_append(s, r, entry)
            replica.idle += blocks
        entry = one.parent
    prefix.shared = 0
    prefix.entry = NONE
