"""What Python asks of the plane about requests between two pools (``sim.kernels.handover``).

These are entries of their own, as rare as they are long: in ``advance`` they would be compiled
again with every step around them.
"""

from __future__ import annotations

from sim.kernels.alarms import set_alarms
from sim.kernels.arrivals import ask, choose, dispatch
from sim.kernels.cut import look
from sim.kernels.handover import (
    at_decoding_pool,
    call_back,
    drop_incoming,
    goes_over,
    let_go,
    twin_of,
)
from sim.kernels.heaps import event_pop
from sim.kernels.jit import entry, rare
from sim.kernels.layout import (
    ARRIVED,
    ASK,
    DONE,
    FAILED,
    GROW,
    NONE,
    QUEUE_FULL,
    ROUTE,
    WAITING,
)
from sim.kernels.lifecycle import settle_outstanding
from sim.kernels.meters import count_queue
from sim.kernels.retries import end_attempt
from sim.kernels.routing import load_changed
from sim.kernels.state import Ints, State, state_of
from sim.kernels.stops import withdraw


@entry
def hand_over(table: Ints) -> int:
    """The next request whose prefill has ended goes to the pool that decodes it.

    DONE, or what Python must do first.
    """
    s = state_of(table)
    all_ = s.all[0]
    first = s.handing[0, 1]
    source, identity, t = first.slot, first.order, first.t_s
    if all_.free_slot == NONE or all_.cancels + 2 >= s.heap.shape[1]:
        return GROW
    event_pop(s.handing, 0, all_.handovers)
    all_.handovers -= 1
    all_.handover_s = s.handing[0, 1].t_s if all_.handovers > 0 else float("inf")
    if not goes_over(s, source, identity):
        return DONE
    slot = twin_of(s, source)
    p = s.pool[s.workload[s.request[slot].workload].pool].decode
    cancel_s = s.handover[source].cancel_s
    if s.pool[p].routing == ASK:
        ask(s, p, slot, cancel_s, t)
        return ROUTE
    position = choose(s, p, slot, t)
    if position < 0:
        refuse(s, slot, QUEUE_FULL if position == NONE else FAILED, t)
    else:
        dispatch(s, s.pool[p].first + position, slot, t)
        set_alarms(s, slot, cancel_s, t)
    return DONE


@rare
def refuse(s: State, slot: int, outcome: int, t: float) -> None:
    """No replica of the pool that decodes gets a request."""
    let_go(s, slot, t)
    end_attempt(s, slot, outcome, t)


@entry
def turn_back(table: Ints, outcome: int, t: float) -> None:
    """Python has asked in vain where a request is to be decoded."""
    s = state_of(table)
    refuse(s, s.all[0].asked, outcome, t)
    s.all[0].asked = NONE


@entry
def leave(table: Ints, outcome: int, t: float) -> None:
    """The request that ``advance`` stopped for leaves, wherever it is between two pools."""
    s = state_of(table)
    slot = s.all[0].between
    s.all[0].between = NONE
    leave_pools(s, slot, outcome, t)


@rare
def leave_pools(s: State, slot: int, outcome: int, t: float) -> None:
    """A request ends that is between two pools."""
    slot = at_decoding_pool(s, slot)
    if s.request[slot].state == WAITING:
        let_go(s, slot, t)
        withdraw(s, slot, outcome, t)
        return
    count_queue(s, s.request[slot].replica, t)
    call_back(s, slot, t)
    lose_incoming(s, slot, outcome, t)


@rare
def lose_incoming(s: State, slot: int, outcome: int, t: float) -> None:
    """A request ends between two pools."""
    r = s.request[slot].replica
    drop_incoming(s, slot, t)
    if not s.replica[r].busy and s.replica[r].waiting == 0:
        s.replica[r].blocked = NONE
    let_go(s, slot, t)
    settle_outstanding(s, slot)
    load_changed(s, r)
    end_attempt(s, slot, outcome, t)


@entry
def arrive_kv(table: Ints, slot: int, t: float) -> None:
    """The KV of a prompt is at the replica that decodes it."""
    s = state_of(table)
    request = s.request[slot]
    let_go(s, slot, t)
    request.state = ARRIVED
    request.remote = 0
    s.replica[request.replica].arrived += 1
    look(s, request.replica, t)


@entry
def lose_kv(table: Ints, slot: int, t: float) -> None:
    """The KV of a prompt never comes."""
    s = state_of(table)
    count_queue(s, s.request[slot].replica, t)
    lose_incoming(s, slot, FAILED, t)
