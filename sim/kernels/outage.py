"""A replica loses its power and gets it back, or is taken away and brought back."""

from __future__ import annotations

from sim.kernels.between import leave_pools
from sim.kernels.boundary import schedule
from sim.kernels.control import pause
from sim.kernels.cut import stop_at_next, wake
from sim.kernels.handover import call_back, leave_lane, let_go
from sim.kernels.jit import entry, kernel, rare
from sim.kernels.layout import CACHED, DECODES, DECODING, FAILED, FAR, IN, NONE, OUT, PREFILLS
from sim.kernels.lifecycle import delivered_now, free_slot, settle_outstanding
from sim.kernels.lists import lane_remove, queue_head, queue_remove, run_remove
from sim.kernels.meters import holds_nothing, report_draw, set_draw
from sim.kernels.parting import say_pace
from sim.kernels.plan import clear_plan
from sim.kernels.prefix import evict, release
from sim.kernels.retries import end_attempt
from sim.kernels.routing import load_changed
from sim.kernels.state import Ints, State, state_of


@entry
def begin_outage(table: Ints, r: int, t: float) -> None:
    """Power is gone at ``t``: count everything up to there; the running iteration is lost."""
    s = state_of(table)
    pause(s, r, t)
    if s.replica[r].spans and s.replica[r].busy:
        say_pace(s, r, 0, t)
    s.replica[r].down = 1
    s.replica[r].shut = 1
    s.replica[r].parks = 0


@entry
def fail_next(table: Ints, r: int, t: float) -> bool:
    """Let the next request of a replica without power fail; whether there was one.

    Those that ran come first, in order of admission, then those that waited, in theirs.
    """
    s = state_of(table)
    replica = s.replica[r]
    if replica.head != NONE:
        slot = replica.head
        request = s.request[slot]
        run_remove(s, r, slot)
        if request.prefixed == CACHED:
            release(s, r, slot)
        if request.cancelled:
            free_slot(s, slot)
            return True
        if request.state == DECODING:
            request.delivered = delivered_now(replica, request)
        if request.role == PREFILLS and s.handover[slot].peer != NONE:
            settle_outstanding(s, slot)
            lose_twin(s, slot, t)
            return True
    elif replica.waiting > 0:
        slot = queue_head(s, r)
        queue_remove(s, r, slot)
        if s.request[slot].role == DECODES:
            let_go(s, slot, t)
    elif replica.parting > 0:
        fail_parting(s, r, t)
        return True
    elif replica.incoming > 0:
        slot = s.lane[r, IN].head
        call_back(s, slot, t)
        leave_lane(s, r, slot)
        let_go(s, slot, t)
    else:
        return False
    settle_outstanding(s, slot)
    end_attempt(s, slot, FAILED, t)
    return True


@rare
def fail_parting(s: State, r: int, t: float) -> None:
    """The next request that another pool is to decode fails, wherever it is there."""
    replica = s.replica[r]
    slot = s.lane[r, OUT].head
    lane_remove(s, r, OUT, slot)
    replica.parting -= 1
    if s.request[slot].prefixed == CACHED:
        release(s, r, slot)
    if s.handover[slot].peer == NONE:
        end_attempt(s, slot, FAILED, t)
    else:
        lose_twin(s, slot, t)


@rare
def lose_twin(s: State, slot: int, t: float) -> None:
    """The request in a slot fails that has another one at the pool that decodes it."""
    twin = s.handover[slot].peer
    s.handover[slot].peer = s.handover[twin].peer = NONE
    free_slot(s, slot)
    leave_pools(s, twin, FAILED, t)


@entry
def complete_outage(table: Ints, r: int, gpu_mw: int, t: float) -> None:
    """All of its requests have failed: it is empty, idle and draws what it is told to."""
    s = state_of(table)
    forget(s, r)
    load_changed(s, r)
    schedule(s, r, float("inf"))
    set_draw(s, r, gpu_mw, t)


@entry
def end_outage(table: Ints, r: int, t: float) -> None:
    """It serves again."""
    s = state_of(table)
    replica = s.replica[r]
    pause(s, r, t)
    replica.down = 0
    replica.shut = 0
    load_changed(s, r)
    report_draw(s, r, 0.0, t)


@entry
def begin_drain(table: Ints, r: int, gpu_mw: int, t: float) -> bool:
    """It finishes what it holds, then each of its GPUs draws ``gpu_mw``; whether it holds nothing.

    Whoever waits is admitted even if nobody was to be. Where it holds nothing the caller parks it
    now, else when ``advance`` returns PARKED.
    """
    s = state_of(table)
    replica = s.replica[r]
    replica.shut = 1
    replica.parks = 1
    replica.parks_mw = gpu_mw
    load_changed(s, r)
    if replica.waiting > 0:
        if not replica.busy:
            wake(s, r, t)
        elif replica.held:
            stop_at_next(s, r, t)
    return replica.busy == 0 and holds_nothing(replica)


@entry
def park(table: Ints, r: int, t: float) -> None:
    """It has finished what it held."""
    s = state_of(table)
    replica = s.replica[r]
    pause(s, r, t)
    replica.down = 1
    replica.parks = 0
    forget(s, r)
    load_changed(s, r)
    schedule(s, r, float("inf"))
    set_draw(s, r, replica.parks_mw, t)


@entry
def end_drain(table: Ints, r: int, t: float) -> None:
    """It stays: requests are sent to it again."""
    s = state_of(table)
    replica = s.replica[r]
    replica.shut = 0
    replica.parks = 0
    load_changed(s, r)
    if replica.waiting > 0:
        if replica.busy and replica.held:
            stop_at_next(s, r, t)
        elif not replica.busy and not replica.held:
            wake(s, r, t)


@kernel
def forget(s: State, r: int) -> None:
    """Nothing is left of what a replica ran or had in KV."""
    replica = s.replica[r]
    clear_plan(s, r)
    replica.free = 0
    evict(s, r)
    replica.free = replica.kv_blocks
    replica.idle = 0
    replica.repeated = 0
    replica.kv_tokens = 0
    replica.windowed_tokens = 0
    replica.decoding = 0
    replica.leaving = 0
    replica.parting = 0
    replica.parting_tokens = 0
    replica.incoming = 0
    replica.arrived = 0
    replica.fresh = 0
    replica.growing = 0
    replica.members += 1
    replica.first_finish = FAR
    replica.part = NONE
    replica.busy = 0
    replica.serving = 0
    replica.elapsed = 0
    replica.planned = 0
    replica.level = replica.lock
    replica.frozen = 0
    replica.open = 1
    replica.blocked = NONE
    replica.done = 0
    replica.target = 0
    for residue in range(s.residues.shape[1]):
        s.residues[r, residue] = 0
    s.finish[r, 0] = 0
    if s.cost[replica.cost].window > 0:
        s.crossing[r, 0] = 0
    for place in range(s.share.shape[1]):
        s.share[r, place].decoding = 0
