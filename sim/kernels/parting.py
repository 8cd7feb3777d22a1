"""What boundaries do with requests that one pool prefills and another decodes.

The request is in two slots then, each other's ``peer`` (``sim.kernels.handover``): one is
``PARTING`` after its prefill, out of the running list with its blocks held; the other waits at a
replica of the other pool, is ``RESERVED`` while its KV may come, ``ARRIVED`` when it is there, and
decodes from the next boundary on. A replica has its parting and its incoming sequences in two
lanes, in order.
"""

from __future__ import annotations

from sim.kernels.cost import boundary_s
from sim.kernels.heaps import event_push
from sim.kernels.jit import kernel, rare
from sim.kernels.layout import (
    ARRIVED,
    GAP_LOW,
    GAPS_PER_OCTAVE,
    IN,
    NONE,
    OUT,
    PARTING,
    PREFILLS,
    RESERVED,
)
from sim.kernels.lifecycle import (
    delivered_now,
    first_token_given,
    join,
    prompt_served,
    settle_outstanding,
)
from sim.kernels.lists import lane_append, lane_remove, run_insert, run_remove
from sim.kernels.meters import gap_bin
from sim.kernels.rows import ALL, PACE, SEND
from sim.kernels.state import Record, State


@rare
def part(s: State, r: int, slot: int, t: float) -> None:
    """A prefill has ended whose request goes to the pool that decodes it, or is there already."""
    replica, request = s.replica[r], s.request[slot]
    run_remove(s, r, slot)
    lane_append(s, r, OUT, slot)
    request.state = PARTING
    replica.parting += 1
    replica.parting_tokens += request.input_tokens
    settle_outstanding(s, slot)
    prompt_served(s, r, request, t)
    s.handover[slot].prefilled_s = t
    twin = s.handover[slot].peer
    if twin == NONE:
        go_over(s, slot, t)
    elif s.request[twin].state == RESERVED:
        note_move(s, twin, ALL, t).prefilled_s = t


@kernel
def go_over(s: State, slot: int, t: float) -> None:
    """The next thing at ``t`` is that a request goes to the pool that decodes it."""
    all_ = s.all[0]
    event_push(s.handing, 0, all_.handovers, t, s.request[slot].id, slot)
    all_.handovers += 1
    all_.handover_s = t


@rare
def begin_last_parts(s: State, r: int, t: float) -> None:
    """The planned iteration computes the last part of some prompts: layer by layer they go over."""
    replica = s.replica[r]
    slot = replica.joining
    while slot != NONE and slot != replica.part:
        if s.request[slot].role == PREFILLS:
            s.handover[slot].from_s = t
            s.handover[slot].to_s = boundary_s(replica, replica.done + 1)
            go_over(s, slot, t)
        slot = s.request[slot].next


@rare
def say_pace(s: State, r: int, tokens: int, t: float) -> None:
    """A run of iterations begins, of so many tokens each, or (0) the replica rests."""
    move = s.move[s.all[0].moves]
    s.all[0].moves += 1
    move.t_s = t
    move.slot = r
    move.kind = PACE
    move.tokens = tokens
    move.to_s = s.replica[r].first_s


@kernel
def note_move(s: State, slot: int, kind: int, t: float) -> Record:
    """Something happened to a prompt on its way: a row that says so."""
    move = s.move[s.all[0].moves]
    s.all[0].moves += 1
    move.t_s = t
    move.slot = slot
    move.request_id = s.request[slot].id
    move.kind = kind
    return move


@rare
def await_kv(s: State, r: int, slot: int, t: float) -> None:
    """Blocks are reserved for the KV of a prompt: from now on it may come."""
    replica, request = s.replica[r], s.request[slot]
    source = s.handover[slot].peer
    lane_append(s, r, IN, slot)
    request.state = RESERVED
    replica.incoming += 1
    move = note_move(s, slot, SEND, t)
    move.admitted_s = request.admitted_s
    move.prefilled_s = s.handover[source].prefilled_s
    move.from_s = s.handover[source].from_s
    move.to_s = s.handover[source].to_s
    move.source = s.request[source].replica
    move.target = r
    move.tokens = request.input_tokens


@rare
def join_arrived(s: State, r: int, t: float) -> None:
    """Sequences whose KV has come decode from this boundary on, in order of their reservation.

    The last token of the prompt is computed here: its step delivers the first token.
    """
    replica = s.replica[r]
    slot = s.lane[r, IN].head
    while slot != NONE:
        request = s.request[slot]
        after = request.next
        if request.state == ARRIVED:
            lane_remove(s, r, IN, slot)
            replica.incoming -= 1
            replica.arrived -= 1
            request.context = request.input_tokens - 1
            run_insert(s, r, slot)
            join(s, r, slot, t)
            replica.fresh += 1
        slot = after


@rare
def count_later_gaps(s: State, r: int) -> None:
    """Count the gaps of one iteration of the run, without sequences that had no token before."""
    replica = s.replica[r]
    index = gap_bin(replica.first_s + replica.done * replica.growth_s)
    slot = replica.head
    for _ in range(replica.decoding):
        request = s.request[slot]
        if delivered_now(replica, request) > 0:
            s.gaps[request.workload, index - GAP_LOW * GAPS_PER_OCTAVE] += 1
        slot = request.next


@rare
def give_first_tokens(s: State, r: int, t: float) -> None:
    """Sequences that had no token before have delivered their first one."""
    replica = s.replica[r]
    slot = replica.head
    for _ in range(replica.decoding):
        request = s.request[slot]
        if not first_token_given(request):
            request.first_token_s = t
            request.last_token_s = t
        slot = request.next
    replica.fresh = 0
