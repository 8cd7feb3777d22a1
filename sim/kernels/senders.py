"""The end of a run: what was sent and has not reached its pool."""

from __future__ import annotations

from sim.kernels.arrivals import needs_growth, new_request
from sim.kernels.followers import free_follower
from sim.kernels.heaps import event_pop
from sim.kernels.jit import entry
from sim.kernels.layout import ASKED, CHUNK, DONE, GROW, RETURNS, ROW_BITS
from sim.kernels.state import Ints, state_of


@entry
def take_senders(table: Ints, t: float) -> int:
    """Give every request that was sent before ``t`` a slot; DONE, or what Python must do first.

    Those of followers and of the rows to come; one that is sent again has its slot, and counts as
    sent. Nothing is routed, and the next arrival is not kept: no event may follow.
    """
    s = state_of(table)
    all_ = s.all[0]
    for w in range(len(s.workload)):
        workload = s.workload[w]
        while workload.next < workload.count and s.source[w, workload.next].arrival_s < t:
            if needs_growth(s, w):
                return GROW
            new_request(s, w, s.source[w, workload.next])
            workload.next += 1
            if workload.next == workload.count and not workload.final:
                all_.hungry = w
                return CHUNK
    while all_.returns > 0:
        first = s.heap[RETURNS, 1]
        follower = first.slot
        w = first.order >> ROW_BITS
        if follower >= 0 and needs_growth(s, w):
            return GROW
        event_pop(s.heap, RETURNS, all_.returns)
        all_.returns -= 1
        if follower < 0:
            if s.again[~follower].sent_s < t:
                s.request[~follower].state = ASKED
            continue
        if s.follower[follower].arrival_s < t:
            new_request(s, w, s.follower[follower])
        free_follower(s, follower)
    return DONE
