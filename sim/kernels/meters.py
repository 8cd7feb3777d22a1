"""Meters in closed form: integrals, token gaps, draw.

Values that change with events only (requests waiting and running, why the head of the queue waits,
draw) are held, so ``count`` adds value · dt. Tokens in KV and token gaps change with every
iteration; over m iterations of a run, the first lasting u and each d longer than the one before,
with K tokens in KV at the start of the first and g more at each next one,

    Σ (K + i·g)·(u + i·d), i < m
        = m·K·u + (g·u + K·d)·m(m−1)/2 + g·d·(m−1)m(2m−1)/6

and the gaps of a run ascend, so that those in one bin of the histogram are a range of iterations.
"""

from __future__ import annotations

from sim.kernels.bits import MANTISSA_BITS, bits_of, value_of
from sim.kernels.cost import boundary_s, decode_share, draw_mw
from sim.kernels.jit import kernel, rare
from sim.kernels.layout import (
    BLOCK_SHIFT,
    BLOCKS,
    GAP_LOW,
    GAPS_PER_OCTAVE,
    HELD,
    NONE,
    PARKED,
    SEQUENCES,
    TOKENS,
)
from sim.kernels.power import change
from sim.kernels.state import Record, State

#: Where the bits that name a gap's bin begin, and what they are for bin 0.
GAP_SHIFT = MANTISSA_BITS - GAPS_PER_OCTAVE.bit_length() + 1
GAP_ZERO = 1022 * GAPS_PER_OCTAVE


@kernel
def count(s: State, r: int, t: float) -> None:
    """Count everything that has been held since the last change, up to ``t``."""
    count_queue(s, r, t)
    count_draw(s, r, t)


@kernel
def count_queue(s: State, r: int, t: float) -> None:
    """Requests waiting and running, and why the head of the queue waits."""
    replica = s.replica[r]
    dt = t - replica.queue_counted_s
    replica.queue_counted_s = t
    replica.waiting_s += replica.waiting * dt
    replica.running_s += (replica.running - replica.leaving) * dt
    if replica.blocked == BLOCKS:
        replica.blocked_blocks_s += dt
    elif replica.blocked == SEQUENCES:
        replica.blocked_sequences_s += dt
    elif replica.blocked == TOKENS:
        replica.blocked_tokens_s += dt
    elif replica.blocked == HELD:
        replica.blocked_held_s += dt


@kernel
def count_draw(s: State, r: int, t: float) -> None:
    """Energy, of the replica and of the workloads it is charged to; time in iterations.

    The decode share of an iteration is charged by sequences, the prefill share by tokens.
    """
    replica = s.replica[r]
    dt = t - replica.draw_counted_s
    replica.draw_counted_s = t
    energy_mj = replica.total_mw * dt
    replica.energy_mj += energy_mj
    if not replica.busy:
        return
    replica.busy_s += dt
    if replica.level != replica.lock:
        replica.cap_bound_s += dt
    pool = s.pool[replica.pool]
    if replica.workloads == 1:
        s.workload[pool.only].energy_mj += energy_mj
        return
    decode_mj = replica.decode_mw * dt
    prefill_mj = replica.prefill_mw * dt
    for place in range(replica.workloads):
        part = s.share[r, place]
        s.workload[s.members[pool.members + place]].energy_mj += (
            decode_mj * part.decoding + prefill_mj * part.chunk_tokens
        )


@kernel
def kv_now(s: State, replica: Record) -> int:
    """Tokens in KV at the start of the running iteration."""
    tokens = replica.kv_tokens + replica.fresh_tokens + replica.parting_tokens
    tokens -= replica.repeated << BLOCK_SHIFT
    if replica.part != NONE:
        tokens += s.request[replica.part].context
    return tokens


@kernel
def count_kv(s: State, r: int, m: int) -> None:
    """Count tokens in KV over the next ``m`` iterations of the run."""
    replica = s.replica[r]
    u = replica.first_s + replica.done * replica.growth_s
    d = replica.growth_s
    tokens = kv_now(s, replica)
    grows = replica.part_chunk if replica.part != NONE else 0
    if replica.serving:
        grows += replica.decoding
    counted_s = replica.kv_counted_s - boundary_s(replica, replica.done)
    n = float(m)
    replica.kv_token_s += (
        n * tokens * u
        + (grows * u + tokens * d) * (0.5 * n * (n - 1.0))
        + grows * d * ((n - 1.0) * n * (2.0 * n - 1.0) / 6.0)
        - tokens * counted_s
    )
    replica.kv_counted_s = boundary_s(replica, replica.done + m)


@kernel
def count_kv_within(s: State, r: int, t: float) -> None:
    """Count tokens in KV up to ``t`` inside the running iteration."""
    replica = s.replica[r]
    replica.kv_token_s += kv_now(s, replica) * (t - replica.kv_counted_s)
    replica.kv_counted_s = t


@kernel
def count_kv_idle(s: State, r: int, t: float) -> None:
    """Count tokens in KV up to ``t`` of a replica at rest: of sequences that are parting."""
    count_kv_within(s, r, t)


# ---- gaps between tokens -------------------------------------------------------------------------


@kernel
def gap_bin(gap_s: float) -> int:
    """As ``sim.results.bins.gap_bin``: exponent and first bits of the mantissa, side by side."""
    return (bits_of(gap_s) >> GAP_SHIFT) - GAP_ZERO


@kernel
def gap_edge(index: int) -> float:
    """As ``sim.results.bins.gap_edge``."""
    return value_of((index + GAP_ZERO) << GAP_SHIFT)


@kernel
def add_gaps(s: State, r: int, gap_bin_index: int, iterations: int) -> None:
    """Each decoding sequence has ``iterations`` gaps in this bin."""
    replica = s.replica[r]
    index = gap_bin_index - GAP_LOW * GAPS_PER_OCTAVE
    pool = s.pool[replica.pool]
    if replica.workloads == 1:
        s.gaps[pool.only, index] += iterations * replica.decoding
        return
    for place in range(replica.workloads):
        workload = s.members[pool.members + place]
        s.gaps[workload, index] += iterations * s.share[r, place].decoding


@kernel
def count_gaps(s: State, r: int, m: int) -> None:
    """Count the gaps of the next ``m`` iterations of the run: t₁ + (k − 1)·d for k = done + 1, …"""
    replica = s.replica[r]
    first, growth = replica.first_s, replica.growth_s
    low, last = replica.done, replica.done + m - 1
    here = gap_bin(first + low * growth)
    there = here if m == 1 else gap_bin(first + last * growth)
    while here < there:
        edge = gap_edge(here + 1)
        # The last gap below the edge: a division guesses, the gap's own expression decides.
        k = int((edge - first) / growth)
        k = min(max(k, low), last)
        while k > low and first + k * growth >= edge:
            k -= 1
        while k < last and first + (k + 1) * growth < edge:
            k += 1
        add_gaps(s, r, here, k - low + 1)
        low = k + 1
        here = gap_bin(first + low * growth)
    add_gaps(s, r, there, last - low + 1)


@kernel
def count_elapsed_gaps(s: State, r: int, t: float) -> None:
    """Gaps of an iteration that others' prefill or a clock change made longer than its formula."""
    replica = s.replica[r]
    slot = replica.head
    for _ in range(replica.decoding):
        request = s.request[slot]
        if request.finish_step - replica.step < request.output_tokens:  # not its first token
            gap_s = t - max(request.last_token_s, replica.decoded_s)
            s.gaps[request.workload, gap_bin(gap_s) - GAP_LOW * GAPS_PER_OCTAVE] += 1
        slot = request.next


@kernel
def count_delivered(s: State, r: int, m: int) -> None:
    """Each decoding sequence has delivered ``m`` tokens."""
    replica = s.replica[r]
    pool = s.pool[replica.pool]
    if replica.workloads == 1:
        s.workload[pool.only].delivered += m * replica.decoding
        return
    for place in range(replica.workloads):
        workload = s.members[pool.members + place]
        s.workload[workload].delivered += m * s.share[r, place].decoding


# ---- draw ----------------------------------------------------------------------------------------


@kernel
def report_draw(s: State, r: int, total_s: float, t: float) -> None:
    """What each GPU draws from ``t`` on; everything before ``t`` is counted.

    ``total_s``: cost of the planned iteration, if there is one.
    """
    replica = s.replica[r]
    if not replica.busy:
        if replica.parks and holds_nothing(replica):
            stop_for_parking(s, r, t)
            return
        idle_mw = s.cost[replica.cost + replica.level].idle_mw
        set_draw(s, r, replica.held_mw if unloaded(replica) else idle_mw, t)
        return
    serving = replica.serving and replica.decoding > 0
    share = decode_share(s, replica, replica.level, total_s)
    if replica.frozen:
        set_draw(s, r, s.cost[replica.cost + replica.level].idle_mw, t)
    else:
        set_draw(s, r, draw_mw(s, replica, replica.level, share), t)
    if replica.workloads > 1:
        replica.decode_mw = replica.total_mw * share / replica.decoding if serving else 0.0
        replica.prefill_mw = 0.0
        if replica.chunk_tokens > 0:
            replica.prefill_mw = replica.total_mw * (1.0 - share) / replica.chunk_tokens


@kernel
def unloaded(replica: Record) -> bool:
    """Whether a replica without work has dropped its LLM, because it is held."""
    drops = replica.held != 0 and replica.held_mw >= 0 and replica.parks == 0
    return drops and replica.parting + replica.incoming == 0


@kernel
def holds_nothing(replica: Record) -> bool:
    """Whether nobody waits at a replica at rest, and no KV is to leave it or to come to it."""
    return replica.waiting == 0 and replica.parting + replica.incoming == 0


@rare
def stop_for_parking(s: State, r: int, t: float) -> None:
    """A replica that was told to has finished what it held: Python parks it before all else."""
    s.all[0].fault = PARKED
    s.all[0].fault_s = t
    s.all[0].faulty = r


@kernel
def set_draw(s: State, r: int, gpu_mw: int, t: float) -> None:
    """A change walks up the electrical tree."""
    replica = s.replica[r]
    delta_mw = gpu_mw - replica.draw_mw
    if delta_mw == 0:
        return
    replica.draw_mw = gpu_mw
    replica.total_mw = gpu_mw * replica.gpus
    for place in range(replica.servers, replica.servers + replica.server_count):
        part = s.server[place]
        change(s.power, part.server, part.gpus * delta_mw, t)
