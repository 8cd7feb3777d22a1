"""Iterations that end: in closed form while nothing changes, one by one where something does."""

from __future__ import annotations

from sim.kernels.blocks import blocks_for, needed_over
from sim.kernels.cost import boundary_s
from sim.kernels.heaps import first_step, step_pop
from sim.kernels.jit import kernel, rare
from sim.kernels.layout import (
    DECODING,
    GAP_LOW,
    GAPS_PER_OCTAVE,
    NONE,
    PREFILLS,
)
from sim.kernels.lifecycle import (
    complete,
    context_now,
    delivered_now,
    finish_pop,
    finish_remove,
    free_slot,
    join,
    leave_decoding,
    prompt_served,
    work_before,
)
from sim.kernels.lists import run_remove
from sim.kernels.meters import (
    count_delivered,
    count_elapsed_gaps,
    count_gaps,
    count_kv,
    gap_bin,
    kv_now,
)
from sim.kernels.parting import count_later_gaps, give_first_tokens, part
from sim.kernels.prefix import give_back, share, trim
from sim.kernels.routing import load_changed
from sim.kernels.state import State


@kernel
def pass_iterations(s: State, r: int, n: int, running: int) -> None:
    """The run's first ``n`` iterations have ended; ``running`` is 1 if the next is under way.

    The start of an iteration takes its blocks, so that of the next one counts only then.
    """
    replica = s.replica[r]
    m = n - replica.done
    if m == 0:
        return
    count_kv(s, r, m)
    if replica.serving and replica.decoding > 0:
        count_gaps(s, r, m)
        starts = m - 1 + running
        if starts > 0:
            replica.free -= needed_over(s, r, replica.step + 1, starts)
            trim(s, r)
        deliver(s, r, m)
        replica.decoded_s = boundary_s(replica, n)
    pass_chunks(s, r, m)
    replica.done = n


@rare
def go_on_to(s: State, r: int, n: int) -> None:
    """The run's first ``n`` iterations have ended and the next one is under way."""
    pass_iterations(s, r, n, 1)


@rare
def end_unusual_iteration(s: State, r: int, t: float) -> None:
    """The last iteration before a stop: it was cut or stalled, lost a client, or leaves a row."""
    replica = s.replica[r]
    go_on_to(s, r, replica.target - 1)
    if s.all[0].single:
        note_iteration(s, r, t)
    count_kv(s, r, 1)
    if replica.leaving > 0:
        drop_leaving(s, r)
    if replica.serving and replica.decoding > 0:
        if replica.elapsed:
            count_elapsed_gaps(s, r, t)
        elif replica.fresh > 0:
            count_later_gaps(s, r)
        else:
            count_gaps(s, r, 1)
        deliver(s, r, 1)
        replica.decoded_s = t
        if replica.fresh > 0:
            give_first_tokens(s, r, t)
    pass_chunks(s, r, 1)
    replica.done = replica.target


@kernel
def end_requests(s: State, r: int, t: float) -> None:
    """What ends at a boundary: decodes at their last token, then prefills."""
    replica = s.replica[r]
    outstanding = replica.outstanding_tokens
    requests = replica.outstanding_requests
    if replica.serving and replica.decoding > 0:
        leave_window(s, r)
        end_decodes(s, r, t)
    if replica.joining != NONE or replica.part != NONE:
        end_prefills(s, r, t)
    if replica.outstanding_tokens != outstanding or replica.outstanding_requests != requests:
        load_changed(s, r)


@kernel
def deliver(s: State, r: int, m: int) -> None:
    """``m`` tokens for each decoding sequence."""
    replica = s.replica[r]
    replica.step += m
    replica.kv_tokens += m * replica.decoding
    replica.windowed_tokens += m * replica.growing
    replica.decode_tokens += m * replica.decoding
    count_delivered(s, r, m)


@kernel
def pass_chunks(s: State, r: int, m: int) -> None:
    """``m`` times the chunks of the planned iteration are in KV now."""
    replica = s.replica[r]
    replica.iterations += m
    replica.prefill_tokens += m * replica.chunk_tokens
    if replica.part != NONE:
        chunk = replica.part_chunk
        s.request[replica.part].context += m * chunk
        replica.pairs += m * (2 * chunk * chunk)
        if replica.regime == -1:
            replica.windowed_pairs += m * (2 * chunk * chunk)


@kernel
def note_iteration(s: State, r: int, t: float) -> None:
    """A row of the ``iterations`` table."""
    replica = s.replica[r]
    row = s.iteration[s.all[0].iterations]
    s.all[0].iterations += 1
    row.start_s = replica.start_s
    row.end_s = t
    row.kv_tokens = kv_now(s, replica)
    row.prefill_tokens = replica.chunk_tokens
    row.draw_mw = replica.draw_mw
    row.replica = r
    row.decodes = replica.decoding if replica.serving else 0
    row.waiting = replica.waiting


@kernel
def drop_leaving(s: State, r: int) -> None:
    """Sequences whose client has gone give their blocks back, before anything is delivered."""
    replica = s.replica[r]
    slot = replica.head
    while slot != NONE:
        request = s.request[slot]
        after = request.next
        if request.cancelled and request.state == DECODING:
            context = context_now(replica, request)
            written = context + 1 if replica.serving else context
            if delivered_now(replica, request) == 0:
                replica.fresh -= 1
            finish_remove(s, r, slot)
            leave_decoding(s, r, slot, context, blocks_for(written))
            free_slot(s, slot)
        elif request.cancelled:
            give_back(s, r, slot, blocks_for(request.target))
            if replica.part == slot:
                # Its chunk has run all the same: prefill_tokens counts it.
                replica.part = NONE
            elif replica.joining == slot:
                replica.joining = after if after != replica.part else NONE
            run_remove(s, r, slot)
            free_slot(s, slot)
        slot = after
    replica.leaving = 0


@kernel
def leave_window(s: State, r: int) -> None:
    """Sequences whose next token no longer widens what their windowed layers read."""
    replica = s.replica[r]
    while replica.growing > 0 and first_step(s.crossing, r) == replica.step:
        slot = step_pop(s.crossing, r)
        s.request[slot].growing = 0
        replica.growing -= 1


@kernel
def end_decodes(s: State, r: int, t: float) -> None:
    """Complete sequences end, in the order of their admission."""
    replica = s.replica[r]
    ending = 0
    while replica.first_finish == replica.step:
        slot = finish_pop(s, r)
        place = ending
        while place > 0 and (s.request[s.order[place - 1]].admission > s.request[slot].admission):
            s.order[place] = s.order[place - 1]
            place -= 1
        s.order[place] = slot
        ending += 1
    for place in range(ending):
        slot = s.order[place]
        request = s.request[slot]
        context = request.input_tokens + request.output_tokens - 1
        request.delivered = request.output_tokens
        leave_decoding(s, r, slot, context, blocks_for(context))
        complete(s, slot, t)


@kernel
def end_prefills(s: State, r: int, t: float) -> None:
    """Complete prefills deliver a token and join the decoding set, in order of admission."""
    replica = s.replica[r]
    slot = replica.joining if replica.joining != NONE else replica.part
    replica.joining = NONE
    while slot != NONE:
        request = s.request[slot]
        after = request.next
        if slot == replica.part:
            if request.context < request.target:
                return
            replica.part = NONE
        else:
            request.context = request.target
        end_prefill(s, r, slot, t)
        slot = after


@kernel
def end_prefill(s: State, r: int, slot: int, t: float) -> None:
    """The tokens of its prompt (and those to recompute) are in KV."""
    replica, request = s.replica[r], s.request[slot]
    workload = s.workload[request.workload]
    share(s, r, slot)
    if request.role == PREFILLS:
        part(s, r, slot, t)
        return
    if request.output_tokens > 0:
        if request.delivered > 0:
            # Recomputed after a preemption: the gap began when its last token came.
            index = gap_bin(t - request.last_token_s) - GAP_LOW * GAPS_PER_OCTAVE
            s.gaps[request.workload, index] += 1
            workload.delivered += 1
        request.delivered += 1
        request.last_token_s = t
    if request.first_token_s != request.first_token_s:
        request.first_token_s = t
        workload.delivered += request.delivered
        replica.outstanding_tokens -= work_before(request)
        replica.outstanding_prompt_tokens -= work_before(request)
        if work_before(request) > 0:  # else another pool has served the prompt
            prompt_served(s, r, request, t)
    if request.delivered >= request.output_tokens:
        give_back(s, r, slot, blocks_for(request.target))
        run_remove(s, r, slot)
        complete(s, slot, t)
    else:
        join(s, r, slot, t)
