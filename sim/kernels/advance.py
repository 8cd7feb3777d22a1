"""The loop of the compiled serving plane: time-outs, arrivals and boundaries in order of time.

Events at equal times run in the order time-out and cancellation, arrival, boundary; then by id.
``advance`` returns a code whenever it needs Python (rows to drain, arrays to grow, the next chunk
of a source, a routing decision) and is called again with the same state.
"""

from __future__ import annotations

from sim.kernels.alarms import set_alarms, take_alarm
from sim.kernels.blocks import blocks_for
from sim.kernels.cost import boundaries_before, boundary_s, iteration_s
from sim.kernels.followers import free_follower, next_arrival
from sim.kernels.heaps import event_pop
from sim.kernels.jit import entry, kernel, rare
from sim.kernels.lifecycle import (
    delivered_now,
    emit,
    end_request,
    free_slot,
    settle_outstanding,
)
from sim.kernels.lists import oldest_to_shed, queue_append, queue_head, queue_remove
from sim.kernels.meters import count, count_kv_within, count_queue, report_draw
from sim.kernels.plan import boundary, go_on_to, schedule
from sim.kernels.routing import (
    first_choice,
    load_changed,
    most_kv_tokens,
    new_decision,
    note_refusal,
    order_after,
    refusal,
)
from sim.kernels.state import (
    ASK,
    ASKED,
    BLOCKS,
    CANCELLED,
    CHUNK,
    CONTEXT,
    DECODING,
    DONE,
    FULL_QUEUE,
    GROW,
    KV_CAPACITY,
    NEVER_FITS,
    NONE,
    OLDEST,
    ORPHANS,
    QUEUE_FULL,
    RETURNS,
    ROOM,
    ROUTE,
    ROW_BITS,
    SHED,
    TIMED_OUT,
    UNFINISHED,
    WAITING,
    Ints,
    Record,
    State,
    state_of,
)
from sim.kernels.tree import winner


@entry
def advance(table: Ints, until_s: float) -> int:
    """Handle every event strictly before ``until_s``; DONE, or what Python must do first."""
    s = state_of(table)
    all_ = s.all[0]
    while True:
        if all_.fault != DONE:
            return all_.fault
        if all_.orphans > 0:
            return ORPHANS
        if all_.hungry != NONE:
            return CHUNK
        r = winner(s.first, 0)
        t = min(s.when[r], all_.arrival_s, all_.alarm_s)
        if t >= until_s:
            return DONE
        if lacks_room(s):
            return ROOM
        if all_.alarm_s == t:
            alarm(s, t)
        elif all_.arrival_s == t:
            code = arrival(s, t)
            if code != DONE:
                return code
        else:
            if all_.boundary_s != t or all_.boundary_replica < r:
                all_.boundary_replica = r
            all_.boundary_s = t
            boundary(s, r, t)


@kernel
def lacks_room(s: State) -> bool:
    """Whether the buffers of rows might not hold what the next event makes of them."""
    all_, power = s.all[0], s.power.count[0]
    return (
        all_.rows > all_.most_rows
        or all_.decisions >= len(s.decision)
        or all_.iterations >= len(s.iteration)
        or power.power_rows > power.power_full
        or power.minute_rows > power.minute_full
    )


# ---- boundaries that are not stops ---------------------------------------------------------------


@kernel
def passed(s: State, r: int, t: float) -> int:
    """Boundaries of the run that are behind us at ``t``.

    Those at ``t`` itself are still to come, unless this replica's turn at ``t`` is over.
    """
    all_, replica = s.all[0], s.replica[r]
    including = all_.boundary_s == t and r <= all_.boundary_replica
    return boundaries_before(replica, t, including, replica.done, replica.target - 1)


@rare
def stop_at_next(s: State, r: int, t: float) -> None:
    """The next boundary must be looked at, because something happened at ``t``."""
    replica = s.replica[r]
    if replica.target - replica.done <= 1:
        return
    n = passed(s, r, t) + 1
    if n < replica.target:
        replica.target = n
        schedule(s, r, boundary_s(replica, n))


# ---- arrivals ------------------------------------------------------------------------------------


@kernel
def arrival(s: State, t: float) -> int:
    """The next request arrives."""
    all_ = s.all[0]
    w = all_.arrival_workload
    if w != NONE:
        workload = s.workload[w]
        if needs_growth(s, w):
            return GROW
        row = s.source[w, workload.next]
        workload.next += 1
        slot = new_request(s, w, row, t)
        cancel_after_s = row.cancel_after_s
        if workload.next == workload.count and not workload.final:
            all_.hungry = w
    else:
        first = s.heap[RETURNS, 1]
        w = first.order >> ROW_BITS
        if needs_growth(s, w):
            return GROW
        follower = first.slot
        event_pop(s.heap, RETURNS, all_.returns)
        all_.returns -= 1
        slot = new_request(s, w, s.follower[follower], t)
        cancel_after_s = s.follower[follower].cancel_after_s
        free_follower(s, follower)
    next_arrival(s)
    return route(s, slot, cancel_after_s, t)


@kernel
def needs_growth(s: State, w: int) -> bool:
    """Whether an array might be too small for one more request of workload ``w``."""
    return (
        s.all[0].free_slot == NONE
        or s.workload[w].alarms + 1 >= s.ring.shape[1]
        or s.all[0].cancels + 2 >= s.heap.shape[1]
    )


@kernel
def new_request(s: State, w: int, row: Record, t: float) -> int:
    """A slot for a request that arrives now."""
    all_ = s.all[0]
    slot = all_.free_slot
    request = s.request[slot]
    all_.free_slot = request.next
    all_.in_flight += 1
    request.id = (w << ROW_BITS) | row.row
    request.arrival_s = t
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
    return slot


@kernel
def route(s: State, slot: int, cancel_after_s: float, t: float) -> int:
    """Send a new request to a replica, or refuse it; ROUTE if that is for Python to say."""
    request = s.request[slot]
    p = s.workload[request.workload].pool
    pool = s.pool[p]
    if never_fits(s, pool, slot, t):
        turn_away(s, slot, NEVER_FITS, t)
        return DONE
    if pool.routing == ASK:
        s.all[0].asked = slot
        s.all[0].asked_cancel_s = cancel_after_s
        return ROUTE
    position = first_choice(s, pool, request.id)
    if not takes(s, pool.first + position, request, t):
        position = next_choice(s, p, slot, position, t)
    if position == NONE:
        turn_away(s, slot, QUEUE_FULL, t)
    else:
        dispatch(s, pool.first + position, slot, t)
        set_alarms(s, slot, cancel_after_s, t)
    return DONE


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
    return False


@rare
def turn_away(s: State, slot: int, outcome: int, t: float) -> None:
    """A request that no replica takes ends here."""
    end_request(s, slot, outcome, t)
    free_slot(s, slot)


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
    """The first choice refused: try the others in order and log what was refused."""
    pool, request = s.pool[p], s.request[slot]
    order_after(s, p, request.id, first)
    log = new_decision(s, slot, NONE, t)
    for rank in range(pool.replicas):
        position = s.order[rank]
        if takes(s, pool.first + position, request, t):
            log.rank = rank
            log.position = position
            return position
        code = refusal(s, pool.first + position, request)
        note_refusal(log, code, rank, position)
    return NONE


@kernel
def dispatch(s: State, r: int, slot: int, t: float) -> None:
    """The request is the replica's; an idle one wakes at a boundary at this very time."""
    replica, request = s.replica[r], s.request[slot]
    request.replica = r
    replica.outstanding_requests += 1
    replica.outstanding_tokens += request.input_tokens + request.output_tokens
    load_changed(s, r)
    count_queue(s, r, t)
    queue_append(s, r, slot)
    if not replica.busy:
        if s.when[r] > t:
            schedule(s, r, t)
    elif replica.waiting == 1 or (replica.blocked == BLOCKS and queue_head(s, r) == slot):
        # Else its arrival changes neither whom the next boundary admits nor why the head waits.
        stop_at_next(s, r, t)


@entry
def resume(table: Ints, position: int, t: float) -> None:
    """Python has routed the asked request: to ``position`` of its pool, or away (NONE)."""
    s = state_of(table)
    slot = s.all[0].asked
    pool = s.pool[s.workload[s.request[slot].workload].pool]
    if position == NONE:
        turn_away(s, slot, QUEUE_FULL, t)
    else:
        dispatch(s, pool.first + position, slot, t)
        set_alarms(s, slot, s.all[0].asked_cancel_s, t)
    s.all[0].asked = NONE


@entry
def make_room(table: Ints, r: int, priority: int, t: float) -> bool:
    """Python routes to a full queue: whether ``shed: oldest`` pushes somebody out."""
    s = state_of(table)
    return sheds(s, r, priority, t)


# ---- time-outs and cancellations -----------------------------------------------------------------


@kernel
def alarm(s: State, t: float) -> None:
    """The server gives up on a request that was never admitted, or its client does on any."""
    cancels = s.all[0].alarm_workload == NONE
    slot = take_alarm(s)
    if slot != NONE:
        withdraw(s, slot, CANCELLED if cancels else TIMED_OUT, t)


@rare
def withdraw(s: State, slot: int, outcome: int, t: float) -> None:
    """Take a waiting request out, or let a running one leave at the next boundary."""
    request = s.request[slot]
    r = request.replica
    replica = s.replica[r]
    count_queue(s, r, t)
    if request.state == WAITING:
        was_head = queue_head(s, r) == slot
        queue_remove(s, r, slot)
        settle_outstanding(s, slot)
        end_request(s, slot, outcome, t)
        free_slot(s, slot)
        if replica.busy and (replica.waiting == 0 or (was_head and replica.blocked == BLOCKS)):
            stop_at_next(s, r, t)
        return
    go_on_to(s, r, passed(s, r, t))
    if request.state == DECODING:
        request.delivered = delivered_now(replica, request)
    request.cancelled = 1
    replica.leaving += 1
    settle_outstanding(s, slot)
    end_request(s, slot, outcome, t)
    stop_at_next(s, r, t)


# ---- the control plane ---------------------------------------------------------------------------


@rare
def pause(s: State, r: int, t: float) -> None:
    """Count everything of a replica up to ``t``; boundaries at ``t`` are still to come."""
    replica = s.replica[r]
    if replica.busy:
        n = boundaries_before(replica, t, False, replica.done, replica.target - 1)
        go_on_to(s, r, n)
        count_kv_within(s, r, t)
    count(s, r, t)


@entry
def pause_all(table: Ints, t: float) -> None:
    """Count everything up to ``t``: the measurement window opens or closes, the run ends."""
    s = state_of(table)
    for r in range(len(s.replica)):
        pause(s, r, t)


@entry
def set_clocks(table: Ints, replicas: Ints, level: int, t: float) -> None:
    """Put replicas on a clock level: draw changes now, the rest of the iteration is rescaled."""
    s = state_of(table)
    for place in range(len(replicas)):
        set_clock(s, replicas[place], level, t)


@rare
def set_clock(s: State, r: int, level: int, t: float) -> None:
    """The running iteration becomes a run of its own of length one."""
    replica = s.replica[r]
    if replica.level == level:
        return
    pause(s, r, t)
    total_s = 0.0
    if replica.busy:
        total_s = iteration_s(s, replica, level)
        scale = total_s / iteration_s(s, replica, replica.level)
        rest_s = (boundary_s(replica, replica.done + 1) - t) * scale
        replica.planned = 0
        replica.elapsed = 1
        replica.anchor_s = t
        replica.first_s = rest_s
        replica.growth_s = 0.0
        replica.done = 0
        replica.target = 1
        schedule(s, r, boundary_s(replica, 1))
    replica.level = level
    report_draw(s, r, total_s, t)


@entry
def end_unfinished(table: Ints, slot: int) -> None:
    """The run is over, as of the last ``pause_all``: the row of a request in flight."""
    s = state_of(table)
    request = s.request[slot]
    if request.state == DECODING:
        request.delivered = delivered_now(s.replica[request.replica], request)
    emit(s, slot, UNFINISHED, float("nan"))
    free_slot(s, slot)


@entry
def next_event(table: Ints) -> float:
    """When ``advance`` would look at something next."""
    s = state_of(table)
    next_s: float = min(s.when[winner(s.first, 0)], s.all[0].arrival_s, s.all[0].alarm_s)
    return next_s
