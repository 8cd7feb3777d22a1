"""Routing: the built-in policies in compiled form, and what the arbiter checks of their choice.

Each policy is an order of the pool's replicas; the first that takes the request gets it. Nearly
always that is the first of all, so only that one is computed; refusals walk the whole order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels.blocks import blocks_for
from sim.kernels.jit import kernel, rare
from sim.kernels.keyed import keyed_bits
from sim.kernels.layout import (
    DECODES,
    DOWN,
    FULL_QUEUE,
    KV_CAPACITY,
    LEAST_REQUESTS,
    LEAST_TOKENS,
    NONE,
    POWER_OF_TWO,
    PREFILLS,
    RANDOM,
    ROUND_ROBIN,
)
from sim.kernels.state import Record, State
from sim.kernels.tree import update

# ---- random bits of a request --------------------------------------------------------------------

_32, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@kernel
def bits(salt: np.uint64, identity: int) -> np.uint64:
    """As ``sim.rng.KeyedBits.bits``."""
    return keyed_bits(salt, np.uint64(identity))


@kernel
def scaled(half: np.uint64, bound: int) -> int:
    """32 random bits as an integer below ``bound``."""
    # Signed from here on: numba makes float64 of uint64 with int64.
    below: Any = np.int64((half * np.uint64(bound)) >> _32)
    return below


# ---- orders of preference ------------------------------------------------------------------------


@kernel
def load_changed(s: State, r: int) -> None:
    """The outstanding work of a replica has changed."""
    replica = s.replica[r]
    pool = s.pool[replica.pool]
    if pool.routing == LEAST_TOKENS:
        load = replica.outstanding_tokens
    elif pool.routing == LEAST_REQUESTS:
        load = replica.outstanding_requests
    else:
        return
    value = float("inf") if replica.shut else float(load)
    update(s.load, pool.tree, pool.leaves, replica.position, value)


@kernel
def two_draws(s: State, pool: Record, identity: int) -> tuple[int, int]:
    """Two drawn positions, the one with fewer outstanding tokens first, ties to the first draw."""
    word = bits(pool.salt, identity)
    one, two = scaled(word >> _32, pool.replicas), scaled(word & _LOW, pool.replicas)
    loads = s.replica[pool.first + one].outstanding_tokens
    if s.replica[pool.first + two].outstanding_tokens < loads:
        return two, one
    return one, two


@kernel
def first_choice(s: State, pool: Record, identity: int) -> int:
    """The position that the policy likes best."""
    if pool.routing == ROUND_ROBIN:
        first = pool.turn % pool.replicas
        pool.turn = first + 1
        return first
    if pool.routing == RANDOM:
        return scaled(bits(pool.salt, identity) >> _32, pool.replicas)
    if pool.routing == POWER_OF_TWO:
        return two_draws(s, pool, identity)[0]
    return s.load[pool.tree + 1].id


@rare
def order_by_load(s: State, p: int) -> None:
    """Sort the positions of a pool by (load, position) into ``order``: heapsort, in place."""
    pool = s.pool[p]
    n = pool.replicas
    for position in range(n):
        s.order[position] = position
    for start in range(n // 2 - 1, -1, -1):
        sink(s, pool, start, n)
    for end in range(n - 1, 0, -1):
        s.order[0], s.order[end] = s.order[end], s.order[0]
        sink(s, pool, 0, end)


@kernel
def sink(s: State, pool: Record, place: int, size: int) -> None:
    """Restore the heap of the largest below ``place``."""
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and heavier(s, pool, s.order[child + 1], s.order[child]):
            child += 1
        if not heavier(s, pool, s.order[child], s.order[place]):
            return
        s.order[place], s.order[child] = s.order[child], s.order[place]
        place = child


@kernel
def heavier(s: State, pool: Record, one: int, two: int) -> bool:
    """Whether position ``one`` comes after ``two``."""
    first = pool.tree + pool.leaves
    load_one, load_two = s.load[first + one].key, s.load[first + two].key
    return load_one > load_two or (load_one == load_two and one > two)


@rare
def order_after(s: State, p: int, identity: int, first: int) -> None:
    """Write the policy's whole order, whose first choice is known, to ``order``."""
    pool = s.pool[p]
    if pool.routing == LEAST_REQUESTS or pool.routing == LEAST_TOKENS:
        order_by_load(s, p)
    elif pool.routing == POWER_OF_TWO:
        one, two = two_draws(s, pool, identity)
        s.order[0] = one
        place = 1
        if two != one:
            s.order[1] = two
            place = 2
        for position in range(pool.replicas):
            if position != one and position != two:
                s.order[place] = position
                place += 1
    else:
        for step in range(pool.replicas):
            s.order[step] = (first + step) % pool.replicas


# ---- what the arbiter checks ---------------------------------------------------------------------


@kernel
def most_kv_tokens(request: Record) -> int:
    """Tokens it will have in KV at most: the last one delivered is never written back."""
    if request.role == PREFILLS:
        return request.input_tokens
    return most_tokens(request)


@kernel
def most_tokens(request: Record) -> int:
    """The same over all pools."""
    return max(request.input_tokens, request.input_tokens + request.output_tokens - 1)


@kernel
def new_decision(s: State, slot: int, kind: int, t: float) -> Record:
    """A record of what was decided about a request, nothing said yet."""
    request = s.request[slot]
    log = s.decision[s.all[0].decisions]
    s.all[0].decisions += 1
    log.t_s = t
    log.id = request.id
    log.pool = s.workload[request.workload].pool
    if request.role == DECODES:
        log.pool = s.pool[log.pool].decode
    log.kind = kind
    log.amount = blocks_for(most_kv_tokens(request))
    log.rank = NONE
    log.position = NONE
    log.capacity_rank = NONE
    log.capacity_count = 0
    log.full_rank = NONE
    log.full_count = 0
    return log


@kernel
def note_refusal(log: Record, code: int, rank: int, position: int) -> None:
    """One more position refused, for the reason ``code``; the first one is kept."""
    if code == KV_CAPACITY:
        if log.capacity_count == 0:
            log.capacity_rank = rank
            log.capacity_position = position
        log.capacity_count += 1
    else:
        if log.full_count == 0:
            log.full_rank = rank
            log.full_position = position
        log.full_count += 1


@kernel
def refusal(s: State, r: int, request: Record) -> int:
    """Why a replica cannot take a request (DOWN, KV_CAPACITY or FULL_QUEUE), or NONE."""
    replica = s.replica[r]
    if replica.shut:
        return DOWN
    pool = s.pool[replica.pool]
    if blocks_for(most_kv_tokens(request)) > replica.kv_blocks:
        return KV_CAPACITY
    if pool.max_queue != NONE and replica.waiting >= pool.max_queue:
        return FULL_QUEUE
    return NONE
