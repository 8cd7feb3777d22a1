"""The layout of the compiled serving plane: one record an entity, and the codes in them.

Times are float64 seconds, draws integer milliwatts; slots and indices are integers, ``NONE`` for
none.
"""

from __future__ import annotations

import numpy as np

from sim.kernels.layout_lists import (
    AGAIN as AGAIN,
)
from sim.kernels.layout_lists import (
    ALARM as ALARM,
)
from sim.kernels.layout_lists import (
    BRANCH as BRANCH,
)
from sim.kernels.layout_lists import (
    ENTRY as ENTRY,
)
from sim.kernels.layout_lists import (
    ORPHAN as ORPHAN,
)
from sim.kernels.layout_lists import (
    PLACE as PLACE,
)
from sim.kernels.layout_lists import (
    PREFIX as PREFIX,
)
from sim.kernels.layout_lists import (
    QUEUE as QUEUE,
)
from sim.kernels.layout_lists import (
    SERVER as SERVER,
)
from sim.kernels.layout_lists import (
    SHARE as SHARE,
)
from sim.kernels.layout_lists import (
    SOURCE as SOURCE,
)

NONE = -1
#: No replica of a pool has power.
NOBODY = -2
#: Tokens of a KV block as a shift and a mask (``sim.perf.step.BLOCK_TOKENS`` = 16).
BLOCK_SHIFT, BLOCK_MASK = 4, 15
#: A step, or a number of iterations, beyond every other.
FAR = 1 << 36
#: A step heap's key is ``step << SLOT_BITS | slot``.
SLOT_BITS = 26
SLOT_MASK = (1 << SLOT_BITS) - 1
#: A request's id is ``workload << ROW_BITS | row`` (as ``sim.engine.world.ROW_BITS``).
ROW_BITS = 40
#: An attempt's draws are keyed by ``attempt << RETRY_BITS | id`` (as ``sim.engine.retries``).
RETRY_BITS = 56
#: A prefix id's workload is above its low bits (as ``sim.engine.prefix``).
PREFIX_BITS = 47
#: Classes of priority.
PRIORITIES = 8

#: Batching modes.
CHUNKED, PREFILL_FIRST, STATIC = range(3)
#: Routing policies with a compiled form; ``ASK`` lets Python decide.
ROUND_ROBIN, RANDOM, LEAST_REQUESTS, LEAST_TOKENS, POWER_OF_TWO, ASK = range(6)
#: What to do when a queue is full.
REJECT, OLDEST = range(2)
#: Where a request is. ``AWAY``: with its client, who sends it again. The last three are between two
#: pools: prefilled, blocks held; blocks reserved for its KV; its KV is there.
FREE, WAITING, PREFILLING, DECODING, ASKED, AWAY, PARTING, RESERVED, ARRIVED = range(9)
#: What a request's replica does of it (as ``sim.engine.request``).
WHOLE, PREFILLS, DECODES = range(3)
#: Rows of ``lane``: sequences of a replica that are parting, and that are coming in.
OUT, IN = range(2)
#: Who asks for the prefix ids of a request: it has none, only its router, the cache too.
NO_IDS, ROUTED, CACHED = range(3)
#: Why the head of a queue was not admitted (as ``sim.engine.meters``), or NONE.
BLOCKS, SEQUENCES, TOKENS, HELD = range(4)
#: Kinds of guards of the electrical tree.
THERMAL, ELECTRONIC, OVERLOAD, BATTERY = range(4)
#: Outcomes: indices in ``sim.results.tables.OUTCOMES``.
COMPLETED, NEVER_FITS, QUEUE_FULL, SHED, TIMED_OUT, CANCELLED, UNFINISHED, FAILED = range(8)
#: Why a request is refused.
KV_CAPACITY, FULL_QUEUE, CONTEXT, DECODE_CAPACITY = range(4)
#: Of a replica that is down, whom nobody asks: no reason to be logged.
DOWN = 4

#: Why ``advance`` returned.
DONE, ROOM, GROW, CHUNK, ORPHANS, ROUTE, STANDSTILL = range(7)
STUCK, POWER, PARKED, MOVES, HAND_OVER, BETWEEN = range(7, 13)
#: How often a workload's clients may be turned away and return at one instant.
MOST_RETURNS = 100_000
#: Rows of ``heap``.
RETURNS, CANCELS = range(2)

#: The running iteration of a frozen replica ends so much later: after any run.
FOREVER_S = 1e18
#: ITL histogram: 64 bins per octave over binary exponents [GAP_LOW, GAP_LOW + GAP_OCTAVES).
GAPS_PER_OCTAVE = 64
GAP_LOW, GAP_OCTAVES = -40, 80
#: The plan of the last iteration had several chunks, so no other equals it.
SEVERAL = -2

GLOBAL = np.dtype(
    [
        ("boundary_s", np.float64),  # the last boundary handled, and the highest replica at it
        ("boundary_replica", np.int64),
        ("arrival_s", np.float64),  # the next arrival of all; its workload, NONE = a return
        ("arrival_workload", np.int64),
        ("alarm_s", np.float64),  # the next time-out or cancellation; its workload, NONE = a cancel
        ("alarm_workload", np.int64),
        ("handover_s", np.float64),  # the next request that goes to the pool that decodes it
        ("until_s", np.float64),  # arrivals that follow another one must come before the duration
        ("in_flight", np.int64),
        ("free_slot", np.int64),
        ("between", np.int64),  # slot of a request that is cancelled between two pools
        ("between_s", np.float64),
        ("asked", np.int64),  # slot of the request that Python must route
        ("asked_pool", np.int64),  # to a replica of this pool
        ("asked_s", np.float64),
        ("asked_cancel_s", np.float64),
        ("hungry", np.int64),  # workload whose rows are used up
        ("most_rows", np.int64),  # more filled rows might not leave room for one event's
        ("fault", np.int64),  # STANDSTILL, STUCK or PARKED; DONE = none
        ("fault_s", np.float64),
        ("faulty", np.int64),  # the workload or replica that it is about
        ("fault_outcome", np.int64),
        ("rows", np.int64),  # filled rows of ``out``, ``decision``, ``iteration``
        ("decisions", np.int64),
        ("iterations", np.int64),
        ("moves", np.int64),
        ("returns", np.int64),  # sizes of the heaps
        ("handovers", np.int64),
        ("cancels", np.int64),
        ("orphans", np.int64),
        ("followers", np.int64),  # entries in the table of followers
        ("free_follower", np.int64),
        ("ids", np.int64),  # filled part of the prefix ids
        ("free_entry", np.int64),  # of the prefix cache; how many are free
        ("free_entries", np.int64),
        ("single", np.int64),  # 1: every iteration is a stop and leaves a row
    ],
    align=True,
)

REPLICA = np.dtype(
    [
        # The run: its anchor, first iteration, growth; iterations behind us, iterations to go to.
        ("anchor_s", np.float64),
        ("first_s", np.float64),
        ("growth_s", np.float64),
        ("done", np.int64),
        ("target", np.int64),
        # What runs.
        ("kv_tokens", np.int64),  # Σ context of the decoding sequences
        ("windowed_tokens", np.int64),  # Σ min(context + 1, window) of them
        ("step", np.int64),  # decode iterations so far: context − step of a sequence is constant
        ("free", np.int64),  # KV blocks
        ("idle", np.int64),  # of them: cached, and nobody uses them
        ("repeated", np.int64),  # KV blocks of cached prompts beyond the first use of each
        ("first_finish", np.int64),  # the step at which the next decoding sequence ends
        ("decoding", np.int32),
        ("running", np.int32),  # sequences of the running list
        ("leaving", np.int32),  # of them: their client has gone
        ("growing", np.int32),  # decoding sequences still inside the window
        ("busy", np.int8),
        ("serving", np.int8),  # the iteration carries the decoding sequences
        ("elapsed", np.int8),  # this iteration's gaps are differences of times
        ("open", np.int8),  # static batching: the batch is still forming
        ("blocked", np.int8),  # why the head of the queue waits
        ("level", np.int8),  # of the clock: the locked one, or lower where that keeps the cap
        ("mode", np.int8),
        ("down", np.int8),  # without power, not loaded or parked: it serves nobody
        ("classes", np.uint8),  # bit p: somebody of priority p waits
        ("lock", np.int8),
        ("held", np.int8),  # nobody is admitted
        ("shut", np.int8),  # nobody is sent to it: it is down, or finishes what it holds
        ("head", np.int32),  # running list, in order of admission
        ("tail", np.int32),
        ("joining", np.int32),  # first sequence whose prefill ends with this iteration
        ("part", np.int32),  # sequence that stays partially prefilled
        ("part_chunk", np.int32),
        ("waiting", np.int32),
        ("oldest", np.int32),  # idle entries of the prefix cache, in the order of their release
        ("newest", np.int32),
        ("new_entries", np.int64),  # that may be made when the prefills of this plan end
        ("chunk_tokens", np.int64),  # prefill tokens of this iteration
        ("fresh_tokens", np.int64),  # tokens in KV of sequences whose prefill ends with it
        ("pairs", np.int64),  # Σ chunk·(2·context + chunk), and the same within the window
        ("windowed_pairs", np.int64),
        # What makes two iterations one run: this plan and the last one.
        ("chunks", np.int32),
        ("chunk_id", np.int64),
        ("chunk", np.int64),
        ("regime", np.int64),
        ("planned", np.int8),
        ("plan_serving", np.int8),
        ("plan_growing", np.int32),
        ("plan_members", np.int64),
        ("plan_id", np.int64),
        ("plan_chunk", np.int64),
        ("plan_regime", np.int64),
        ("members", np.int64),  # counts changes of the decoding set
        ("admissions", np.int64),
        # Meters, and up to when they are counted.
        ("queue_counted_s", np.float64),
        ("draw_counted_s", np.float64),
        ("kv_counted_s", np.float64),
        ("start_s", np.float64),  # of the last iteration that was planned
        ("decoded_s", np.float64),  # when decode tokens were last delivered
        ("decode_mw", np.float64),  # charged for each decoding sequence, each prefill token
        ("prefill_mw", np.float64),
        ("draw_mw", np.int64),  # of one GPU
        ("total_mw", np.int64),  # of all
        ("busy_s", np.float64),
        ("energy_mj", np.float64),
        ("kv_token_s", np.float64),
        ("waiting_s", np.float64),
        ("running_s", np.float64),
        ("blocked_blocks_s", np.float64),
        ("blocked_sequences_s", np.float64),
        ("blocked_tokens_s", np.float64),
        ("iterations", np.int64),
        ("prefill_tokens", np.int64),
        ("decode_tokens", np.int64),
        ("preemptions", np.int64),
        # What the router knows.
        ("outstanding_requests", np.int64),
        ("outstanding_tokens", np.int64),
        # Constants.
        ("pool", np.int32),
        ("position", np.int32),  # in its pool
        ("cost", np.int32),  # row of ``cost`` at clock level 0
        ("gpus", np.int32),
        ("servers", np.int32),  # first row of ``server`` and their number
        ("server_count", np.int32),
        ("kv_blocks", np.int64),
        ("max_batch_tokens", np.int64),
        ("max_sequences", np.int32),
        ("workloads", np.int32),  # of its pool
        # What few runs have; behind, so that the rest is as close together as without it.
        ("cap_mw", np.int64),  # that one GPU should not draw more than; FAR: none
        ("cap_bound_s", np.float64),  # below the locked clock
        ("blocked_held_s", np.float64),
        ("held_mw", np.int64),  # at rest while held: unloaded; NONE: it stays loaded
        ("parks_mw", np.int64),  # what a GPU draws once it is down because it ``parks``
        ("parting_tokens", np.int64),  # in KV of sequences that another pool is to decode
        ("parting", np.int32),  # those sequences
        ("incoming", np.int32),  # sequences that hold blocks for KV that comes from another pool
        ("arrived", np.int32),  # of them: it is there
        ("fresh", np.int32),  # decoding sequences that have not delivered a token
        ("delay_s", np.float64),  # of a token, because the network is in use
        ("next_delay_s", np.float64),  # the same from the next iteration on
        ("rest_s", np.float64),  # of the running iteration, while it is frozen
        ("frozen", np.int8),  # nothing of the running iteration goes on
        ("spans", np.int8),  # its stages talk over the network
        ("parks", np.int8),  # it is down once it has finished what it holds
        ("levels", np.int8),  # of its clock
        # What routers in Python see besides (``sim.policies.base.RoutingView``).
        ("outstanding_prompt_tokens", np.int64),
        ("served_prompt_tokens", np.int64),
        ("serving_prompts_s", np.float64),
        ("prompts_since_s", np.float64),  # since when the first of those outstanding is served
    ],
    align=True,
)

REQUEST = np.dtype(
    [
        ("id", np.int64),
        ("arrival_s", np.float64),  # first sent
        ("admitted_s", np.float64),
        ("first_token_s", np.float64),
        ("last_token_s", np.float64),  # when it joined the decoding set, or was preempted
        ("finish_step", np.int64),  # while decoding: ends when its replica's step reaches this
        ("admission", np.int64),  # order of joining the decoding set: that of admission, at least
        ("input_tokens", np.int32),
        ("output_tokens", np.int32),
        ("target", np.int32),  # while prefilling
        ("context", np.int32),
        ("delivered", np.int32),  # while not decoding
        ("preemptions", np.int32),
        ("replica", np.int32),
        ("previous", np.int32),  # in its queue or running list
        ("next", np.int32),  # … and in the list of free slots
        ("workload", np.int16),
        ("priority", np.int8),
        ("state", np.int8),
        ("cancelled", np.int8),
        ("growing", np.int8),
        ("prefixed", np.int8),  # NO_IDS: its PREFIX says nothing
        ("attempt", np.int8),  # attempts that have failed before this one
        ("role", np.int8),  # what its replica does of it
        ("remote", np.int8),  # the KV of its prompt is still to come from another pool
    ],
    align=True,
)

#: What else is known of the request in a slot, where a pool decodes for another.
HANDOVER = np.dtype(
    [
        ("cancel_s", np.float64),  # the client's patience ends
        ("prefilled_s", np.float64),
        ("from_s", np.float64),  # the iteration that computes the last of its prompt
        ("to_s", np.float64),
        ("peer", np.int32),  # the slot that the same request has at the other pool
    ],
    align=True,
)

#: StepCost and StepPower at one clock level; tables are offsets into ``seconds`` and ``mw``.
COST = np.dtype(
    [
        ("fixed_s", np.float64),
        ("per_decode_s", np.float64),
        ("per_kv_token_s", np.float64),
        ("per_windowed_kv_token_s", np.float64),
        ("per_prefill_pair_s", np.float64),
        ("per_windowed_prefill_pair_s", np.float64),
        ("window", np.int64),
        ("last", np.int64),  # the last m that the tables hold
        ("tokens", np.int64),  # seconds[tokens + m]: g(m)
        ("prefill", np.int64),  # seconds[prefill + m]: draw of a chunk of m tokens, mW
        ("beyond_tokens", np.int64),  # g beyond the tables: its last segment's start, its slope
        ("beyond_s", np.float64),
        ("beyond_slope_s", np.float64),
        ("decode", np.int64),  # mw[decode + row·stride + sequences]
        ("decode_rows", np.int64),
        ("decode_stride", np.int64),
        ("idle_mw", np.int64),
        ("most_mw", np.int64),  # of any iteration
    ],
    align=True,
)

POOL = np.dtype(
    [
        ("first", np.int64),  # its replicas are contiguous
        ("replicas", np.int64),
        ("tree", np.int64),  # offset and leaves of its winner tree in ``load``
        ("leaves", np.int64),
        ("max_context", np.int64),
        ("most_blocks", np.int64),
        ("max_queue", np.int64),  # NONE = no limit
        ("decode", np.int64),  # the pool that decodes what this one prefills, or NONE
        ("decode_blocks", np.int64),  # most blocks of a replica of that
        ("salt", np.uint64),
        ("turn", np.int64),
        ("members", np.int64),  # its workloads: first place in ``members``
        ("only", np.int64),  # the first of them
        ("shed", np.int8),
        ("routing", np.int8),
        ("prefix_cache", np.int8),
        ("by_layer", np.int8),  # requests go to the other pool before their prefill has ended
    ],
    align=True,
)

WORKLOAD = np.dtype(
    [
        ("timeout_s", np.float64),
        ("ingress_s", np.float64),  # from the user to the pool, and back: both 0 without a path
        ("egress_s", np.float64),
        ("ttft_s", np.float64),
        ("tpot_s", np.float64),
        ("e2e_s", np.float64),
        ("energy_mj", np.float64),
        ("delivered", np.int64),
        ("next", np.int64),  # of ``source``: next open row, rows there are
        ("count", np.int64),
        ("alarms", np.int64),  # its ring of time-outs: first, number
        ("first_alarm", np.int64),
        ("returned_s", np.float64),  # returns at one instant
        ("returned", np.int64),
        ("pool", np.int32),
        ("share", np.int32),  # its place among the workloads of its pool
        ("prefix_block_tokens", np.int32),  # that a prefix id stands for
        ("retry_salt", np.uint64),
        ("jitter", np.float64),  # share of a wait, at most, that is taken off it
        ("retry_on", np.int32),  # bit o: what ended with outcome o is sent again
        ("attempts", np.int8),  # in all; 1: nothing is sent again
        ("final", np.int8),  # no open row comes after those in ``source``
        ("follows", np.int8),  # some rows follow others
        ("endless", np.int8),  # more rows can be asked for
    ],
    align=True,
)
