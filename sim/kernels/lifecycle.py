"""What happens to a request: its end and its row, joining the decoding set, losing its place."""

from __future__ import annotations

from sim.kernels.blocks import blocks_for
from sim.kernels.followers import release_followers
from sim.kernels.heaps import first_step, step_pop, step_push, step_remove
from sim.kernels.jit import kernel
from sim.kernels.layout import (
    AWAY,
    BLOCK_MASK,
    CANCELLED,
    COMPLETED,
    DECODES,
    DECODING,
    FREE,
    NO_IDS,
    NONE,
    PREFILLING,
    PREFILLS,
)
from sim.kernels.lists import queue_push_front, run_remove
from sim.kernels.prefix import give_back
from sim.kernels.state import Record, State

# ---- a decoding sequence, seen from its finish step ----------------------------------------------


@kernel
def delivered_now(replica: Record, request: Record) -> int:
    """Tokens that a decoding sequence has delivered."""
    return request.output_tokens - (request.finish_step - replica.step)


@kernel
def context_now(replica: Record, request: Record) -> int:
    """Tokens that a decoding sequence has in KV: its last one is not written yet."""
    return request.input_tokens + delivered_now(replica, request) - 1


@kernel
def first_token_given(request: Record) -> bool:
    """Whether its first prefill has ended (NaN differs from itself)."""
    return request.first_token_s == request.first_token_s


# ---- the end -------------------------------------------------------------------------------------


@kernel
def work_before(request: Record) -> int:
    """Tokens of work that a request brings to its replica, up to its prefill's end."""
    return 0 if request.role == DECODES else request.input_tokens


@kernel
def work_after(request: Record) -> int:
    """And after that."""
    return 0 if request.role == PREFILLS else request.output_tokens


@kernel
def emit(s: State, slot: int, outcome: int, end_s: float) -> None:
    """Write the row of a request, or of an attempt that another follows.

    Its client learns of the outcome at ``end_s``, a way out later than the pool.
    """
    all_, request = s.all[0], s.request[slot]
    workload = s.workload[request.workload]
    row = s.out[all_.rows]
    all_.rows += 1
    row.request_id = request.id
    row.arrival_s = request.arrival_s
    row.ingress_s = workload.ingress_s
    if request.attempt > 0:
        row.ingress_s = (s.again[slot].sent_s + workload.ingress_s) - request.arrival_s
    row.admitted_s = request.admitted_s
    row.first_token_s = request.first_token_s + workload.egress_s
    if outcome == CANCELLED and row.first_token_s > end_s:
        row.first_token_s = float("nan")  # nobody was there to see it
    row.end_s = end_s
    row.egress_s = workload.egress_s
    row.input_tokens = request.input_tokens
    row.output_tokens = request.output_tokens
    row.delivered_tokens = request.delivered
    row.preemptions = request.preemptions
    row.prefix_hit_tokens = 0 if request.prefixed == NO_IDS else s.prefix[slot].hit_tokens
    row.replica = request.replica
    row.workload = request.workload
    row.outcome = outcome
    row.priority = request.priority
    row.attempts = request.attempt + int(request.state != AWAY)
    row.met = outcome == COMPLETED and met(s, request, row.first_token_s, end_s)
    row.again = False


@kernel
def met(s: State, request: Record, first_s: float, end_s: float) -> bool:
    """Whether a completed request kept every stated objective (as ``sim.engine.recorder.met``)."""
    workload = s.workload[request.workload]
    if first_s - request.arrival_s > workload.ttft_s:
        return False
    if end_s - request.arrival_s > workload.e2e_s:
        return False
    gaps = request.output_tokens - 1
    return gaps < 1 or (end_s - first_s) / gaps <= workload.tpot_s


@kernel
def end_request(s: State, slot: int, outcome: int, t: float) -> None:
    """Its row and its followers: the one place where a request gets its outcome."""
    request = s.request[slot]
    workload = s.workload[request.workload]
    end_s = t + workload.egress_s  # its client learns of it
    if workload.ingress_s > 0.0 and s.again[slot].cancel_s < end_s:  # … or would, but has gone
        outcome = CANCELLED
        end_s = s.again[slot].cancel_s
    emit(s, slot, outcome, end_s)
    s.all[0].in_flight -= 1
    if workload.follows or workload.endless:
        release_followers(s, request.id, outcome, end_s, t)


@kernel
def free_slot(s: State, slot: int) -> None:
    """Nothing refers to the request any more, but alarms, which look at its id."""
    all_, request = s.all[0], s.request[slot]
    request.state = FREE
    request.next = all_.free_slot
    all_.free_slot = slot


@kernel
def settle_outstanding(s: State, slot: int) -> None:
    """Its end takes away what its first token has left of a request's outstanding work.

    The caller tells the router (``load_changed``), once for all that ends at a boundary.
    """
    request = s.request[slot]
    replica = s.replica[request.replica]
    replica.outstanding_requests -= 1
    replica.outstanding_tokens -= work_after(request)
    if not first_token_given(request):
        replica.outstanding_tokens -= work_before(request)
        replica.outstanding_prompt_tokens -= work_before(request)


@kernel
def prompt_served(s: State, r: int, request: Record, t: float) -> None:
    """A gateway measures how long a prompt took."""
    replica = s.replica[r]
    replica.served_prompt_tokens += request.input_tokens
    replica.serving_prompts_s += t - replica.prompts_since_s
    replica.prompts_since_s = t


@kernel
def complete(s: State, slot: int, t: float) -> None:
    """All tokens are delivered."""
    settle_outstanding(s, slot)
    end_request(s, slot, COMPLETED, t)
    free_slot(s, slot)


# ---- prefill ends, decoding begins and stops -----------------------------------------------------


@kernel
def join(s: State, r: int, slot: int, t: float) -> None:
    """A prefilled sequence decodes from the next iteration on."""
    replica, request = s.replica[r], s.request[slot]
    cost = s.cost[replica.cost]
    context = request.context
    request.state = DECODING
    request.admission = replica.admissions
    replica.admissions += 1
    request.finish_step = replica.step + request.output_tokens - request.delivered
    step_push(s.finish, r, request.finish_step, slot)
    replica.first_finish = min(replica.first_finish, request.finish_step)
    s.residues[r, (context - replica.step) & BLOCK_MASK] += 1
    replica.decoding += 1
    replica.members += 1
    replica.kv_tokens += context
    if replica.workloads > 1:
        s.share[r, s.workload[request.workload].share].decoding += 1
    request.growing = 0
    if cost.window > 0:
        replica.windowed_tokens += min(context + 1, cost.window)
        if context + 1 < cost.window:
            request.growing = 1
            replica.growing += 1
            step_push(s.crossing, r, replica.step + cost.window - 1 - context, slot)


@kernel
def leave_decoding(s: State, r: int, slot: int, context: int, held: int) -> None:
    """Take a sequence of ``context`` tokens and ``held`` blocks out of the decoding set.

    It is no longer among the finish steps.
    """
    replica, request = s.replica[r], s.request[slot]
    s.residues[r, (context - replica.step) & BLOCK_MASK] -= 1
    replica.decoding -= 1
    replica.members += 1
    replica.kv_tokens -= context
    give_back(s, r, slot, held)
    if replica.workloads > 1:
        s.share[r, s.workload[request.workload].share].decoding -= 1
    cost = s.cost[replica.cost]
    if cost.window > 0:
        replica.windowed_tokens -= min(context + 1, cost.window)
        if request.growing:
            replica.growing -= 1
            step_remove(s.crossing, r, slot)
    run_remove(s, r, slot)


@kernel
def finish_pop(s: State, r: int) -> int:
    """Take the sequence that ends first out of the finish steps."""
    slot = step_pop(s.finish, r)
    s.replica[r].first_finish = first_step(s.finish, r)
    return slot


@kernel
def finish_remove(s: State, r: int, slot: int) -> None:
    """Take any sequence out of the finish steps."""
    step_remove(s.finish, r, slot)
    s.replica[r].first_finish = first_step(s.finish, r)


@kernel
def preempt_last(s: State, r: int, t: float) -> None:
    """The last admitted sequence loses its blocks and is the first of its class again."""
    replica = s.replica[r]
    slot = replica.tail
    request = s.request[slot]
    if request.state == PREFILLING:
        replica.part = NONE
        give_back(s, r, slot, blocks_for(request.target))
        run_remove(s, r, slot)
    else:
        request.delivered = delivered_now(replica, request)
        request.last_token_s = max(request.last_token_s, replica.decoded_s)
        context = context_now(replica, request)
        if request.delivered == 0:
            replica.fresh -= 1
        finish_remove(s, r, slot)
        leave_decoding(s, r, slot, context, blocks_for(context))
    request.context = 0
    request.preemptions += 1
    replica.preemptions += 1
    queue_push_front(s, r, slot)
