"""Attempts that got no answer: the client sends the request again after a wait, as its policy says.

The request keeps its slot and its id meanwhile; alarms of an attempt that is over are dead. Its
return is in the heap of returns beside those of followers, with ``~slot`` in place of a follower.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels.followers import next_arrival
from sim.kernels.heaps import event_pop, event_push
from sim.kernels.jit import kernel, rare
from sim.kernels.keyed import keyed_bits, unit53
from sim.kernels.layout import ASKED, AWAY, NO_IDS, NONE, RETRY_BITS, RETURNS
from sim.kernels.lifecycle import emit, end_request, free_slot
from sim.kernels.state import State


@kernel
def end_attempt(s: State, slot: int, outcome: int, t: float) -> None:
    """A request that no replica holds any more is sent again later, or has its outcome."""
    if s.workload[s.request[slot].workload].attempts > 1 and sends_again(s, slot, outcome, t):
        return
    end_request(s, slot, outcome, t)
    free_slot(s, slot)


@rare
def sends_again(s: State, slot: int, outcome: int, t: float) -> bool:
    """Whether the client sends the request again; if so its attempt has a row and is over."""
    request, again = s.request[slot], s.again[slot]
    workload = s.workload[request.workload]
    if (workload.retry_on >> outcome) & 1 == 0 or request.attempt + 1 >= workload.attempts:
        return False
    end_s = t + workload.egress_s
    sent_s = end_s + wait_s(s, slot)
    if again.cancel_s <= sent_s:  # nobody waits for an answer by then
        return False
    emit(s, slot, outcome, end_s)
    row = s.out[s.all[0].rows - 1]
    row.again = True
    row.ingress_s = 0.0 if request.attempt == 0 else again.sent_s - request.arrival_s
    begin_anew(s, slot)
    again.sent_s = sent_s
    at_s = sent_s + workload.ingress_s
    event_push(s.heap, RETURNS, s.all[0].returns, at_s, request.id, ~slot)
    s.all[0].returns += 1
    next_arrival(s)
    return True


@kernel
def wait_s(s: State, slot: int) -> float:
    """How long the client waits now, as ``sim.engine.retries.Retries``."""
    request = s.request[slot]
    workload = s.workload[request.workload]
    key: Any = np.int64(request.attempt) << RETRY_BITS | request.id
    share = unit53(keyed_bits(workload.retry_salt, np.uint64(key)))
    seconds: float = s.wait[request.workload, request.attempt] * (1.0 - workload.jitter * share)
    return seconds


@kernel
def begin_anew(s: State, slot: int) -> None:
    """Nothing of an attempt is left for the next one."""
    request = s.request[slot]
    request.state = AWAY
    request.attempt += 1
    request.admitted_s = float("nan")
    request.first_token_s = float("nan")
    request.last_token_s = float("nan")
    request.context = 0
    request.target = 0
    request.delivered = 0
    request.preemptions = 0
    request.replica = NONE
    request.growing = 0
    if request.prefixed != NO_IDS:
        prefix = s.prefix[slot]
        prefix.shared = 0
        prefix.entry = NONE
        prefix.hit_tokens = 0


@rare
def take_return(s: State) -> int:
    """The first of the returns is a request that is sent again: its slot."""
    slot = ~s.heap[RETURNS, 1].slot
    event_pop(s.heap, RETURNS, s.all[0].returns)
    s.all[0].returns -= 1
    s.request[slot].state = ASKED
    return slot
