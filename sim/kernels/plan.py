"""The next iteration of a replica: whom it carries, the run it belongs to, how far that leaps.

A *leap* goes to the first boundary at which the plan can change: a sequence ends or leaves its
window, a prefill ends, the blocks run out, somebody may be admitted. Until then the iterations are
one run, whose boundaries are known in closed form (``cost``). A stop at which nothing changes goes
on with the same run: only a changed plan or clock gives it a new anchor.
"""

from __future__ import annotations

from sim.kernels.blocks import blocks_for, needed, starts_possible
from sim.kernels.cost import growth_s, iteration_s, level_within, windowed_half
from sim.kernels.heaps import first_step
from sim.kernels.jit import kernel, rare
from sim.kernels.layout import (
    BLOCKS,
    CACHED,
    CHUNKED,
    FAR,
    HELD,
    NONE,
    PREFILL_FIRST,
    PREFILLING,
    SEQUENCES,
    SEVERAL,
    STATIC,
    STUCK,
    TOKENS,
)
from sim.kernels.lifecycle import (
    preempt_last,
)
from sim.kernels.lists import queue_head, queue_remove, run_append
from sim.kernels.meters import unloaded
from sim.kernels.parting import await_kv, begin_last_parts, join_arrived, say_pace
from sim.kernels.prefix import evict, reserve, trim
from sim.kernels.state import State


@kernel
def plan(s: State, r: int, t: float) -> bool:
    """The next iteration, its run, its leap; an idle replica rests. Whether the draw may change."""
    replica = s.replica[r]
    stalled = replica.busy and replica.decoding > 0 and not replica.serving
    clear_plan(s, r)
    if replica.arrived > 0:
        join_arrived(s, r, t)
    preempted = plan_batch(s, r, t)
    if replica.chunk_tokens == 0 and not (replica.serving and replica.decoding > 0):
        rest(s, r, t)
        return True
    replica.start_s = t
    if replica.delay_s != replica.next_delay_s:
        replica.delay_s = replica.next_delay_s
        replica.planned = 0
    replica.elapsed = stalled and replica.serving
    new = is_new_run(s, r)
    if new:
        anchor(s, r, t)
    replica.target = replica.done + leap(s, r, preempted)
    if replica.joining != NONE and s.pool[replica.pool].by_layer:
        begin_last_parts(s, r, t)
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
    replica.new_entries = 0
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
    trim(s, r)
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
        if replica.held and not replica.parks:
            return HELD
        if replica.running + replica.incoming >= replica.max_sequences:
            return SEQUENCES
        slot = queue_head(s, r)
        request = s.request[slot]
        if left <= 0 and request.remote == 0:
            return TOKENS
        # The last token of a prompt that comes in is computed here: its step takes its block.
        target = request.input_tokens + request.delivered - request.remote
        if not reserve(s, r, slot, blocks_for(target)):
            return BLOCKS
        queue_remove(s, r, slot)
        if request.remote:
            await_kv(s, r, slot, t)
            continue
        request.target = target
        request.state = PREFILLING
        if request.admitted_s != request.admitted_s:
            request.admitted_s = t
        run_append(s, r, slot)
        chunk = min(target - request.context, left)
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
    if request.prefixed == CACHED:
        replica.new_entries += s.prefix[slot].ids - s.prefix[slot].shared
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
    """A new run starts here: its clock under the cap, its first cost, its growth, its draw."""
    replica = s.replica[r]
    replica.level = level_within(s, replica)
    single = replica.chunks == 1
    replica.busy = 1
    replica.done = 0
    replica.anchor_s = t
    replica.kv_counted_s = t
    replica.first_s = iteration_s(s, replica, replica.level)
    if replica.spans:
        say_pace(s, r, replica.chunk_tokens + (replica.decoding if replica.serving else 0), t)
    inside = s.cost[replica.cost].window > 0 and replica.regime == -1
    replica.growth_s = growth_s(s, replica, replica.chunk if single else 0, inside)


@kernel
def leap(s: State, r: int, preempted: bool) -> int:
    """Iterations to the first boundary at which the plan can change, at least 1."""
    replica = s.replica[r]
    if s.all[0].single or replica.joining != NONE or replica.elapsed or preempted:
        return 1
    if replica.fresh > 0:
        return 1
    n = FAR
    if replica.part != NONE:
        request = s.request[replica.part]
        rest = request.target - request.context
        # Where prompts go over layer by layer, the last part is an iteration of its own.
        n = max(1, (rest - s.pool[replica.pool].by_layer) // replica.part_chunk)
        window = s.cost[replica.cost].window
        if replica.regime >= 0:
            n = 1
        elif window > 0 and replica.regime == -1:
            n = min(n, (window - request.context) // replica.part_chunk)
    if replica.serving and replica.decoding > 0:
        n = min(n, replica.first_finish - replica.step)
        if replica.growing > 0:
            n = min(n, first_step(s.crossing, r) - replica.step)
        n = 1 + starts_possible(s, r, replica.step + 1, n - 1)
    return n


@kernel
def rest(s: State, r: int, t: float) -> None:
    """Nothing is left to do."""
    replica = s.replica[r]
    between = replica.parting + replica.incoming > 0
    if replica.waiting > 0 and not between and (replica.parks or not replica.held):
        s.all[0].fault = STUCK
        s.all[0].fault_s = t
        s.all[0].faulty = r
    if replica.spans and replica.busy:
        say_pace(s, r, 0, t)
    replica.busy = 0
    replica.planned = 0
    replica.serving = 0
    replica.kv_counted_s = t
    replica.level = replica.lock
    unload(s, r)


@kernel
def unload(s: State, r: int) -> None:
    """Held and without work it may drop its LLM, and what KV keeps of prompts with it."""
    replica = s.replica[r]
    if not unloaded(replica):
        return
    replica.free = 0
    evict(s, r)
    replica.free = replica.kv_blocks
