"""One boundary: the iteration that ends, the plan of the next, and how far its run leaps.

A *leap* goes to the first boundary at which the plan can change: a sequence ends or leaves its
window, a prefill ends, the blocks run out, somebody may be admitted. Until then the iterations are
one run, whose boundaries are known in closed form (``sim.kernels.cost``), and what happens at them
is counted in closed form (``pass_iterations``). A stop at which nothing changes goes on with the
same run: only a changed plan or clock gives it a new anchor.
"""

from __future__ import annotations

from sim.kernels.blocks import blocks_for, needed, needed_over, starts_possible
from sim.kernels.cost import boundary_s, growth_s, iteration_s, windowed_half
from sim.kernels.heaps import next_step, step_pop, step_remove
from sim.kernels.jit import kernel, rare
from sim.kernels.lifecycle import (
    complete,
    context_now,
    free_slot,
    join,
    leave_decoding,
    preempt_last,
)
from sim.kernels.lists import queue_head, queue_remove, run_append, run_remove
from sim.kernels.meters import (
    count,
    count_delivered,
    count_elapsed_gaps,
    count_gaps,
    count_kv,
    gap_bin,
    kv_now,
    report_draw,
)
from sim.kernels.routing import load_changed
from sim.kernels.state import (
    BLOCKS,
    CHUNKED,
    DECODING,
    GAP_LOW,
    GAPS_PER_OCTAVE,
    NONE,
    PREFILL_FIRST,
    PREFILLING,
    SEQUENCES,
    SEVERAL,
    STATIC,
    STUCK,
    TOKENS,
    State,
)
from sim.kernels.tree import update

#: Beyond every other bound of a leap.
_FAR = 1 << 40


@kernel
def schedule(s: State, r: int, t: float) -> None:
    """The replica's next event is at ``t``."""
    s.when[r] = t
    update(s.first, 0, len(s.when), s.when, 0, r)


@kernel
def boundary(s: State, r: int, t: float) -> None:
    """The replica's boundary at ``t``: end the iteration, plan the next one, leap."""
    replica = s.replica[r]
    count(s, r, t)
    if replica.busy:
        if replica.elapsed or replica.leaving > 0 or s.all[0].single:
            end_unusual_iteration(s, r, t)
        else:
            pass_iterations(s, r, replica.target, 0)
        end_requests(s, r, t)
    if plan(s, r, t):
        report_draw(s, r, replica.first_s, t)
    schedule(s, r, boundary_s(replica, replica.target) if replica.busy else float("inf"))


# ---- iterations that end -------------------------------------------------------------------------


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
        else:
            count_gaps(s, r, 1)
        deliver(s, r, 1)
        replica.decoded_s = t
    pass_chunks(s, r, 1)
    replica.done = replica.target


@kernel
def end_requests(s: State, r: int, t: float) -> None:
    """What ends at a boundary: decodes at their last token, then prefills."""
    replica = s.replica[r]
    if replica.serving and replica.decoding > 0:
        leave_window(s, r)
        end_decodes(s, r, t)
    if replica.joining != NONE or replica.part != NONE:
        end_prefills(s, r, t)


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
            step_remove(s.finish, r, slot)
            leave_decoding(s, r, slot, context, blocks_for(written))
            free_slot(s, slot)
        elif request.cancelled:
            replica.free += blocks_for(request.target)
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
    while replica.growing > 0 and next_step(s.crossing, r) == replica.step:
        slot = step_pop(s.crossing, r)
        s.request[slot].growing = 0
        replica.growing -= 1


@kernel
def end_decodes(s: State, r: int, t: float) -> None:
    """Complete sequences end, in the order of their admission."""
    replica = s.replica[r]
    ending = 0
    while replica.decoding > ending and next_step(s.finish, r) == replica.step:
        slot = step_pop(s.finish, r)
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
        replica.outstanding_tokens -= request.input_tokens
        load_changed(s, r)
    if request.delivered >= request.output_tokens:
        replica.free += blocks_for(request.target)
        run_remove(s, r, slot)
        complete(s, slot, t)
    else:
        join(s, r, slot, t)


# ---- the plan ------------------------------------------------------------------------------------


@kernel
def plan(s: State, r: int, t: float) -> bool:
    """The next iteration, its run, its leap; an idle replica rests. Whether the draw may change."""
    replica = s.replica[r]
    stalled = replica.busy and replica.decoding > 0 and not replica.serving
    clear_plan(s, r)
    preempted = plan_batch(s, r, t)
    if replica.chunk_tokens == 0 and not (replica.serving and replica.decoding > 0):
        rest(s, r, t)
        return True
    replica.start_s = t
    replica.elapsed = stalled and replica.serving
    new = is_new_run(s, r)
    if new:
        anchor(s, r, t)
    replica.target = replica.done + leap(s, r, preempted)
    return new


@kernel
def clear_plan(s: State, r: int) -> None:
    """Nothing is planned yet."""
    replica = s.replica[r]
    replica.joining = NONE
    replica.chunks = 0
    replica.chunk_id = NONE
    replica.chunk = 0
    replica.regime = -1
    replica.chunk_tokens = 0
    replica.fresh_tokens = 0
    replica.pairs = 0
    replica.windowed_pairs = 0
    if replica.workloads > 1:
        for place in range(replica.workloads):
            s.share[r, place].chunk_tokens = 0


@kernel
def plan_batch(s: State, r: int, t: float) -> bool:
    """Fill the next iteration; whether anybody was preempted.

    Chunked prefill carries all decodes, and as much prefill as the token budget leaves.
    Prefill-first and static batching carry prefill or decodes, never both.
    """
    replica = s.replica[r]
    mixed = replica.mode == CHUNKED
    preempted = mixed and take_decode_blocks(s, r, t)
    left = replica.max_batch_tokens - (replica.decoding if mixed else 0)
    left = continue_prefill(s, r, left)
    if replica.mode == STATIC and replica.running == 0:
        replica.open = 1
    if preempted:
        replica.blocked = BLOCKS
    elif replica.open:
        replica.blocked = admit(s, r, left, t)
    else:
        replica.blocked = SEQUENCES if replica.waiting > 0 else NONE
    replica.serving = mixed or replica.chunk_tokens == 0
    if replica.serving and not mixed:
        replica.open = replica.mode == PREFILL_FIRST
        if take_decode_blocks(s, r, t):
            replica.blocked = BLOCKS
            preempted = True
    return preempted


@kernel
def take_decode_blocks(s: State, r: int, t: float) -> bool:
    """Blocks for this iteration's decodes; preempt until all have one. Whether anybody was."""
    replica = s.replica[r]
    preempted = False
    if needed(s, r, replica.step) > replica.free:
        preempt_until_free(s, r, t)
        preempted = True
    replica.free -= needed(s, r, replica.step)
    return preempted


@rare
def preempt_until_free(s: State, r: int, t: float) -> None:
    """Preempt the last admitted, one after another, until the others' decodes have blocks."""
    replica = s.replica[r]
    while needed(s, r, replica.step) > replica.free:
        preempt_last(s, r, t)


@kernel
def continue_prefill(s: State, r: int, left: int) -> int:
    """The partial prefill gets what the token budget has left; returns what then remains."""
    replica = s.replica[r]
    slot = replica.part
    if slot == NONE:
        return left
    replica.part = NONE
    request = s.request[slot]
    chunk = min(request.target - request.context, left)
    add_chunk(s, r, slot, chunk)
    return left - chunk


@kernel
def admit(s: State, r: int, left: int, t: float) -> int:
    """Admit while budget, sequences and blocks allow; why the head then waits, or NONE."""
    replica = s.replica[r]
    while replica.waiting > 0:
        if replica.running >= replica.max_sequences:
            return SEQUENCES
        if left <= 0:
            return TOKENS
        slot = queue_head(s, r)
        request = s.request[slot]
        target = request.input_tokens + request.delivered
        blocks = blocks_for(target)
        if blocks > replica.free:
            return BLOCKS
        queue_remove(s, r, slot)
        replica.free -= blocks
        request.target = target
        request.context = 0
        request.state = PREFILLING
        request.admission = replica.admissions
        replica.admissions += 1
        if request.admitted_s != request.admitted_s:
            request.admitted_s = t
        run_append(s, r, slot)
        chunk = min(target, left)
        left -= chunk
        add_chunk(s, r, slot, chunk)
    return NONE


@kernel
def add_chunk(s: State, r: int, slot: int, chunk: int) -> None:
    """The next iteration prefills ``chunk`` tokens of this sequence."""
    replica, request = s.replica[r], s.request[slot]
    window = s.cost[replica.cost].window
    context = request.context
    end = context + chunk
    replica.chunks += 1
    replica.chunk_id = request.id if replica.chunks == 1 else SEVERAL
    replica.chunk = chunk
    replica.chunk_tokens += chunk
    replica.pairs += chunk * (2 * context + chunk)
    if window > 0:
        replica.windowed_pairs += windowed_half(end, window) - windowed_half(context, window)
        if end > window:
            replica.regime = -2 if context >= window else context
    if replica.workloads > 1:
        s.share[r, s.workload[request.workload].share].chunk_tokens += chunk
    if end == request.target:
        replica.fresh_tokens += context
        if replica.joining == NONE:
            replica.joining = slot
    else:
        replica.part = slot
        replica.part_chunk = chunk


# ---- the run -------------------------------------------------------------------------------------


@kernel
def is_new_run(s: State, r: int) -> bool:
    """Whether the plan differs from the last iteration's; remembers it."""
    replica = s.replica[r]
    members = replica.members if replica.serving else 0
    growing = replica.growing if replica.serving else 0
    same = (
        replica.planned
        and replica.plan_serving == replica.serving
        and replica.plan_members == members
        and replica.plan_growing == growing
        and replica.plan_id == replica.chunk_id
        and replica.plan_id != SEVERAL
        and replica.plan_chunk == replica.chunk
        and replica.plan_regime == replica.regime
    )
    replica.planned = 1
    replica.plan_serving = replica.serving
    replica.plan_members = members
    replica.plan_growing = growing
    replica.plan_id = replica.chunk_id
    replica.plan_chunk = replica.chunk
    replica.plan_regime = replica.regime
    return not same


@kernel
def anchor(s: State, r: int, t: float) -> None:
    """A new run starts here: its first cost, its growth, its draw."""
    replica = s.replica[r]
    single = replica.chunks == 1
    replica.busy = 1
    replica.done = 0
    replica.anchor_s = t
    replica.kv_counted_s = t
    replica.first_s = iteration_s(s, replica, replica.level)
    inside = s.cost[replica.cost].window > 0 and replica.regime == -1
    replica.growth_s = growth_s(s, replica, replica.chunk if single else 0, inside)


@kernel
def leap(s: State, r: int, preempted: bool) -> int:
    """Iterations to the first boundary at which the plan can change, at least 1."""
    replica = s.replica[r]
    if s.all[0].single or replica.joining != NONE or replica.elapsed or preempted:
        return 1
    n = _FAR
    if replica.part != NONE:
        request = s.request[replica.part]
        n = (request.target - request.context) // replica.part_chunk
        window = s.cost[replica.cost].window
        if replica.regime >= 0:
            n = 1
        elif window > 0 and replica.regime == -1:
            n = min(n, (window - request.context) // replica.part_chunk)
    if replica.serving and replica.decoding > 0:
        n = min(n, next_step(s.finish, r) - replica.step)
        if replica.growing > 0:
            n = min(n, next_step(s.crossing, r) - replica.step)
        n = 1 + starts_possible(s, r, replica.step + 1, n - 1)
    return n


@kernel
def rest(s: State, r: int, t: float) -> None:
    """Nothing is left to do."""
    replica = s.replica[r]
    if replica.waiting > 0:
        s.all[0].fault = STUCK
        s.all[0].fault_s = t
        s.all[0].faulty = r
    replica.busy = 0
    replica.planned = 0
    replica.serving = 0
