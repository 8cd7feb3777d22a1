"""Arrivals: a new request finds a replica, or is refused."""

from __future__ import annotations

from sim.kernels.alarms import set_alarms
from sim.kernels.blocks import blocks_for
from sim.kernels.bundle import prefetch
from sim.kernels.cut import stop_at_next, wake
from sim.kernels.followers import free_follower, next_arrival
from sim.kernels.heaps import event_pop
from sim.kernels.jit import kernel, rare
from sim.kernels.layout import (
    ASK,
    ASKED,
    BLOCKS,
    CACHED,
    CANCELLED,
    CONTEXT,
    DECODE_CAPACITY,
    DONE,
    FAILED,
    FULL_QUEUE,
    GROW,
    KV_CAPACITY,
    NEVER_FITS,
    NO_IDS,
    NOBODY,
    NONE,
    OLDEST,
    PREFILLS,
    QUEUE_FULL,
    RETURNS,
    ROUTE,
    ROUTED,
    ROW_BITS,
    SHED,
    WHOLE,
)
from sim.kernels.lifecycle import work_after, work_before
from sim.kernels.lists import oldest_to_shed, queue_append, queue_head
from sim.kernels.meters import count_queue
from sim.kernels.prefix import take_ids
from sim.kernels.retries import end_attempt, take_return
from sim.kernels.routing import (
    first_choice,
    load_changed,
    most_kv_tokens,
    most_tokens,
    new_decision,
    note_refusal,
    order_after,
    refusal,
)
from sim.kernels.state import Record, State
from sim.kernels.stops import withdraw

#: How far ahead of the next arrival a workload's rows are brought into the cache.
ROWS_AHEAD = 4


@kernel
def arrival(s: State, t: float) -> int:
    """The next request reaches its pool."""
    all_ = s.all[0]
    w = all_.arrival_workload
    if w != NONE:
        workload = s.workload[w]
        if needs_growth(s, w):
            return GROW
        row = s.source[w, workload.next]
        workload.next += 1
        prefetch(s.source, (w, workload.next + ROWS_AHEAD))
        slot = new_request(s, w, row)
        cancel_s = row.arrival_s + row.cancel_after_s
        if workload.next == workload.count and not workload.final:
            all_.hungry = w
    else:
        first = s.heap[RETURNS, 1]
        w = first.order >> ROW_BITS
        if needs_growth(s, w):
            return GROW
        follower = first.slot
        if follower < 0:
            slot = take_return(s)
            cancel_s = s.again[slot].cancel_s
        else:
            event_pop(s.heap, RETURNS, all_.returns)
            all_.returns -= 1
            slot = new_request(s, w, s.follower[follower])
            cancel_s = s.follower[follower].arrival_s + s.follower[follower].cancel_after_s
            free_follower(s, follower)
    if s.workload[w].attempts > 1 or s.workload[w].ingress_s > 0.0:
        s.again[slot].cancel_s = cancel_s
    next_arrival(s)
    return enter(s, slot, cancel_s, t)


@kernel
def needs_growth(s: State, w: int) -> bool:
    """Whether an array might be too small for one more request of workload ``w``."""
    return (
        s.all[0].free_slot == NONE
        or s.workload[w].alarms + 1 >= s.ring.shape[1]
        or s.all[0].cancels + 2 >= s.heap.shape[1]
    )


@kernel
def new_request(s: State, w: int, row: Record) -> int:
    """A slot for a request that was sent."""
    all_ = s.all[0]
    slot = all_.free_slot
    request = s.request[slot]
    all_.free_slot = request.next
    all_.in_flight += 1
    request.id = (w << ROW_BITS) | row.row
    request.arrival_s = row.arrival_s
    request.admitted_s = float("nan")
    request.first_token_s = float("nan")
    request.last_token_s = float("nan")
    request.input_tokens = row.input_tokens
    request.output_tokens = row.output_tokens
    request.context = 0
    request.target = 0
    request.delivered = 0
    request.preemptions = 0
    request.replica = NONE
    request.workload = w
    request.priority = row.priority
    request.state = ASKED
    request.cancelled = 0
    request.growing = 0
    request.attempt = 0
    request.role = WHOLE
    request.remote = 0
    request.prefixed = NO_IDS
    if row.ids > 0:
        take_ids(s, slot, row)
    return slot


@kernel
def enter(s: State, slot: int, cancel_s: float, t: float) -> int:
    """A request reaches its pool, where it is routed, unless its client gave up at ``cancel_s`` and
    the pool knows: that takes as long to get here as any word does."""
    gone_s = cancel_s + s.workload[s.request[slot].workload].egress_s
    if gone_s < t:
        turn_away(s, slot, CANCELLED, t)
        return DONE
    return route(s, slot, gone_s, t)


@kernel
def route(s: State, slot: int, cancel_s: float, t: float) -> int:
    """Send a request to a replica, or refuse it; ROUTE if that is for Python to say."""
    request = s.request[slot]
    p = s.workload[request.workload].pool
    pool = s.pool[p]
    if pool.decode != NONE:
        begin_prefill_apart(s, pool, slot, cancel_s)
    if never_fits(s, pool, slot, t):
        turn_away(s, slot, NEVER_FITS, t)
        return DONE
    return send(s, p, slot, cancel_s, t)


@rare
def begin_prefill_apart(s: State, pool: Record, slot: int, cancel_s: float) -> None:
    """An attempt reaches a pool that only prefills, unless no token is asked for."""
    request = s.request[slot]
    request.role = PREFILLS if request.output_tokens > 0 else WHOLE
    request.remote = 0
    s.handover[slot].cancel_s = cancel_s
    s.handover[slot].prefilled_s = float("nan")
    s.handover[slot].from_s = float("nan")
    s.handover[slot].to_s = float("nan")
    s.handover[slot].peer = NONE
    if request.prefixed != NO_IDS:
        request.prefixed = CACHED if pool.prefix_cache else ROUTED


@kernel
def send(s: State, p: int, slot: int, cancel_s: float, t: float) -> int:
    """Send a request to a replica of pool ``p``; ROUTE if that is for Python to say."""
    if s.pool[p].routing == ASK:
        ask(s, p, slot, cancel_s, t)
        return ROUTE
    position = choose(s, p, slot, t)
    if position < 0:
        turn_away(s, slot, QUEUE_FULL if position == NONE else FAILED, t)
    else:
        dispatch(s, s.pool[p].first + position, slot, t)
        set_alarms(s, slot, cancel_s, t)
    return DONE


@rare
def ask(s: State, p: int, slot: int, cancel_s: float, t: float) -> None:
    """Python is to say where in pool ``p`` a request goes."""
    all_ = s.all[0]
    all_.asked = slot
    all_.asked_pool = p
    all_.asked_s = t
    all_.asked_cancel_s = cancel_s


@kernel
def choose(s: State, p: int, slot: int, t: float) -> int:
    """The position in a pool that takes a request; NONE: all refuse, NOBODY: all are down."""
    request, pool = s.request[slot], s.pool[p]
    position = first_choice(s, pool, request.id)
    if not takes(s, pool.first + position, request, t):
        position = next_choice(s, p, slot, position, t)
    return position


@kernel
def never_fits(s: State, pool: Record, slot: int, t: float) -> bool:
    """Whether no replica of the pool could ever serve a request; if so it is logged."""
    request = s.request[slot]
    tokens = request.input_tokens + request.output_tokens
    if tokens > pool.max_context:
        new_decision(s, slot, CONTEXT, t).amount = tokens
        return True
    if blocks_for(most_kv_tokens(request)) > pool.most_blocks:
        new_decision(s, slot, KV_CAPACITY, t)
        return True
    if request.role == PREFILLS and blocks_for(most_tokens(request)) > pool.decode_blocks:
        new_decision(s, slot, DECODE_CAPACITY, t).amount = blocks_for(most_tokens(request))
        return True
    return False


@rare
def turn_away(s: State, slot: int, outcome: int, t: float) -> None:
    """No replica gets a request."""
    end_attempt(s, slot, outcome, t)


@kernel
def takes(s: State, r: int, request: Record, t: float) -> bool:
    """Whether a replica takes a request; with ``shed: oldest`` it makes room by itself."""
    code = refusal(s, r, request)
    return code == NONE or (code == FULL_QUEUE and sheds(s, r, request.priority, t))


@rare
def sheds(s: State, r: int, priority: int, t: float) -> bool:
    """Push the oldest waiting request out, if this pool does that and there is one to push."""
    if s.pool[s.replica[r].pool].shed != OLDEST:
        return False
    victim = oldest_to_shed(s, r, priority)
    if victim == NONE:
        return False
    withdraw(s, victim, SHED, t)
    return True


@rare
def next_choice(s: State, p: int, slot: int, first: int, t: float) -> int:
    """The first choice refused: try the others in order and log what was refused.

    NONE if all of them refuse, NOBODY if all of them are down.
    """
    pool, request = s.pool[p], s.request[slot]
    order_after(s, p, request.id, first)
    log = new_decision(s, slot, NONE, t)
    rank = 0
    for place in range(pool.replicas):
        position = s.order[place]
        if s.replica[pool.first + position].shut:
            continue
        if takes(s, pool.first + position, request, t):
            log.rank = rank
            log.position = position
            return position
        code = refusal(s, pool.first + position, request)
        note_refusal(log, code, rank, position)
        rank += 1
    return NONE if rank > 0 else NOBODY


@kernel
def dispatch(s: State, r: int, slot: int, t: float) -> None:
    """The request is the replica's; an idle one wakes at a boundary at this very time."""
    replica, request = s.replica[r], s.request[slot]
    request.replica = r
    if replica.outstanding_prompt_tokens == 0:
        replica.prompts_since_s = t
    replica.outstanding_requests += 1
    replica.outstanding_prompt_tokens += work_before(request)
    replica.outstanding_tokens += work_before(request) + work_after(request)
    load_changed(s, r)
    count_queue(s, r, t)
    queue_append(s, r, slot)
    if not replica.busy:
        wake(s, r, t)
    elif replica.waiting == 1 or (
        (replica.blocked == BLOCKS or request.remote) and queue_head(s, r) == slot
    ):
        # Else its arrival changes neither whom the next boundary admits nor why the head waits.
        stop_at_next(s, r, t)
