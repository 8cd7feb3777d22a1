"""From the pool that prefills a request to the one that decodes it, between boundaries.

``sim.engine.reference_handover`` says what is meant, ``sim.kernels.parting`` how slots stand.
"""

from __future__ import annotations

from sim.kernels.blocks import blocks_for
from sim.kernels.cut import count_kv_to, look, passed, stop_at_next
from sim.kernels.iterations import go_on_to
from sim.kernels.jit import kernel, rare
from sim.kernels.layout import (
    ARRIVED,
    DECODES,
    IN,
    NO_IDS,
    NONE,
    OUT,
    PARTING,
    PREFILLING,
    PREFILLS,
    RESERVED,
    ROUTED,
)
from sim.kernels.lifecycle import free_slot, settle_outstanding
from sim.kernels.lists import lane_remove
from sim.kernels.meters import count_queue
from sim.kernels.parting import note_move
from sim.kernels.prefix import give_back
from sim.kernels.routing import load_changed
from sim.kernels.rows import STOP
from sim.kernels.state import State


@rare
def twin_of(s: State, source: int) -> int:
    """A slot for the request in ``source`` as the other pool sees it; there is a free one."""
    all_ = s.all[0]
    slot = all_.free_slot
    old, new = s.request[source], s.request[slot]
    all_.free_slot = new.next
    new.id = old.id
    new.arrival_s = old.arrival_s
    new.admitted_s = old.admitted_s
    new.first_token_s = float("nan")
    new.last_token_s = float("nan")
    new.input_tokens = old.input_tokens
    new.output_tokens = old.output_tokens
    new.context = 0
    new.target = 0
    new.delivered = 0
    new.preemptions = old.preemptions
    new.replica = NONE
    new.workload = old.workload
    new.priority = old.priority
    new.cancelled = 0
    new.growing = 0
    new.attempt = old.attempt
    new.role = DECODES
    new.remote = 1
    new.prefixed = NO_IDS
    if old.prefixed != NO_IDS:
        new.prefixed = ROUTED
        s.prefix[slot].first_id = s.prefix[source].first_id
        s.prefix[slot].ids = s.prefix[source].ids
        s.prefix[slot].shared = 0
        s.prefix[slot].entry = NONE
        s.prefix[slot].hit_tokens = s.prefix[source].hit_tokens
    workload = s.workload[old.workload]
    if workload.attempts > 1 or workload.ingress_s > 0.0:
        s.again[slot].sent_s = s.again[source].sent_s
        s.again[slot].cancel_s = s.again[source].cancel_s
    s.handover[slot].peer = source
    s.handover[source].peer = slot
    return slot


@kernel
def at_decoding_pool(s: State, slot: int) -> int:
    """The slot of a request at the pool that decodes it, if it has one there; else its own."""
    if s.request[slot].role != PREFILLS or s.handover[slot].peer == NONE:
        return slot
    return s.handover[slot].peer


@rare
def let_go(s: State, slot: int, t: float) -> None:
    """The pool that prefilled a request frees its blocks, if it has not yet."""
    source = s.handover[slot].peer
    if source == NONE:
        return
    s.handover[slot].peer = NONE
    request = s.request[source]
    r = request.replica
    replica = s.replica[r]
    if request.state == PREFILLING:
        give_up_prefill(s, source, t)
        return
    count_kv_to(s, r, t)
    lane_remove(s, r, OUT, source)
    replica.parting -= 1
    replica.parting_tokens -= request.input_tokens
    give_back(s, r, source, blocks_for(request.input_tokens))
    free_slot(s, source)
    look(s, r, t)


@rare
def give_up_prefill(s: State, slot: int, t: float) -> None:
    """A prompt that is being computed is not needed: it leaves at the next boundary."""
    request = s.request[slot]
    r = request.replica
    count_queue(s, r, t)
    go_on_to(s, r, passed(s, r, t))
    request.cancelled = 1
    s.replica[r].leaving += 1
    s.handover[slot].peer = NONE
    settle_outstanding(s, slot)
    load_changed(s, r)
    stop_at_next(s, r, t)


@rare
def drop_incoming(s: State, slot: int, t: float) -> None:
    """Whatever of a prompt's KV is to come to a replica or has come: its blocks are free."""
    request = s.request[slot]
    r = request.replica
    replica = s.replica[r]
    count_kv_to(s, r, t)
    leave_lane(s, r, slot)
    replica.free += blocks_for(request.input_tokens - 1)
    look(s, r, t)


@rare
def leave_lane(s: State, r: int, slot: int) -> None:
    """A sequence is not coming in any more."""
    replica = s.replica[r]
    lane_remove(s, r, IN, slot)
    replica.incoming -= 1
    if s.request[slot].state == ARRIVED:
        replica.arrived -= 1


@rare
def call_back(s: State, slot: int, t: float) -> None:
    """If the KV of a request may be on its way, it is not wanted any more."""
    if s.request[slot].state == RESERVED:
        note_move(s, slot, STOP, t)


@kernel
def goes_over(s: State, slot: int, identity: int) -> bool:
    """Whether a slot still holds the request that was to be handed over."""
    request = s.request[slot]
    there = request.state == PARTING or (request.state == PREFILLING and request.cancelled == 0)
    return there and request.id == identity
