"""The state of the compiled serving plane: record arrays, one record an entity.

A record travels through the kernels as one pointer, so each entity is one record (``layout``), and
the whole state travels as one pointer too (``bundle``). ``sim.engine.compile`` makes and grows the
arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels import layout, power_state
from sim.kernels.bundle import BundleType, array_of, opener, table_of
from sim.kernels.power_state import PowerState
from sim.kernels.rows import (
    DECISION,
    ITERATION,
    MINUTE_ROW,
    MOVE,
    OVER_ROW,
    POWER_ROW,
    REQUEST_ROW,
)

Records = NDArray[np.void]
Ints = NDArray[np.int64]
Slots = NDArray[np.int32]
Floats = NDArray[np.float64]


class State(NamedTuple):
    """Everything that the kernels read and write. R replicas, W workloads, S request slots."""

    all: Records  # [1] GLOBAL
    replica: Records  # [R] REPLICA
    request: Records  # [S] REQUEST
    again: Records  # [S] AGAIN; [1] where nobody sends anything again
    wait: Floats  # [W, attempts] before the next attempt, without jitter
    handover: Records  # [S] HANDOVER; [1] where no pool decodes for another
    prefix: Records  # [S] PREFIX
    ids: Ints  # prefix ids of requests in flight and to come
    entry: Records  # [E] ENTRY
    bucket: Slots  # [2^k] first entries
    residues: Slots  # [R, 16] decoding sequences by (context − step) mod 16
    finish: Ints  # [R, max_sequences + 1] heaps of finish steps; [r, 0] = size
    crossing: Ints  # the same for steps at which a sequence leaves its window
    queue: Records  # [R, 8] QUEUE
    lane: Records  # [R, 2] QUEUE; [1, 2] where no pool decodes for another
    share: Records  # [R, most workloads of a pool] SHARE
    cost: Records  # [models × levels] COST
    seconds: Floats
    mw: Ints
    pool: Records  # [pools] POOL
    members: Ints  # [W] workloads by pool
    workload: Records  # [W] WORKLOAD
    source: Records  # [W, rows] SOURCE
    follower: Records  # [F] SOURCE
    place: Records  # [2^k] PLACE
    ring: Records  # [W, 2^k] ALARM: time-outs
    heap: Records  # [2, H] ALARM: returns and cancellations
    handing: Records  # [1, H] ALARM: requests that go to the pool that decodes them
    orphan: Records  # [O] ORPHAN
    event: Records  # [2·leaves] BRANCH: a winner tree over each replica's next event
    load: Records  # [Σ 2·leaves] BRANCH: for each pool, over what least-outstanding compares
    order: Slots  # scratch: replicas by load, sequences that end together
    gaps: Ints  # [W, bins]
    server: Records  # [Σ servers] SERVER
    out: Records  # [rows] REQUEST_ROW
    decision: Records  # [rows] DECISION
    iteration: Records  # [rows] ITERATION
    move: Records  # [rows] MOVE
    power: PowerState


#: A record of one of the arrays; numba knows its fields, mypy does not.
Record = Any

#: ``PowerState`` as a bundle.
POWER = BundleType(
    "power",
    (
        ("node", array_of(power_state.NODE)),
        ("ledger", array_of(power_state.LEDGER)),
        ("server", array_of(power_state.SERVER)),
        ("path", array_of(np.uint32)),
        ("edge", array_of(power_state.EDGE)),
        ("guard", array_of(power_state.GUARD)),
        ("step", array_of(power_state.STEP)),
        ("due", array_of(layout.BRANCH)),
        ("order", array_of(np.uint32)),
        ("count", array_of(power_state.COUNT)),
        ("power_row", array_of(POWER_ROW)),
        ("minute_row", array_of(MINUTE_ROW)),
        ("over_row", array_of(OVER_ROW)),
    ),
)

#: ``State`` as a bundle: what every kernel takes as its first argument.
STATE = BundleType(
    "state",
    (
        ("all", array_of(layout.GLOBAL)),
        ("replica", array_of(layout.REPLICA)),
        ("request", array_of(layout.REQUEST)),
        ("again", array_of(layout.AGAIN)),
        ("wait", array_of(np.float64, 2)),
        ("handover", array_of(layout.HANDOVER)),
        ("prefix", array_of(layout.PREFIX)),
        ("ids", array_of(np.int64)),
        ("entry", array_of(layout.ENTRY)),
        ("bucket", array_of(np.int32)),
        ("residues", array_of(np.int32, 2)),
        ("finish", array_of(np.int64, 2)),
        ("crossing", array_of(np.int64, 2)),
        ("queue", array_of(layout.QUEUE, 2)),
        ("lane", array_of(layout.QUEUE, 2)),
        ("share", array_of(layout.SHARE, 2)),
        ("cost", array_of(layout.COST)),
        ("seconds", array_of(np.float64)),
        ("mw", array_of(np.int64)),
        ("pool", array_of(layout.POOL)),
        ("members", array_of(np.int64)),
        ("workload", array_of(layout.WORKLOAD)),
        ("source", array_of(layout.SOURCE, 2)),
        ("follower", array_of(layout.SOURCE)),
        ("place", array_of(layout.PLACE)),
        ("ring", array_of(layout.ALARM, 2)),
        ("heap", array_of(layout.ALARM, 2)),
        ("handing", array_of(layout.ALARM, 2)),
        ("orphan", array_of(layout.ORPHAN)),
        ("event", array_of(layout.BRANCH)),
        ("load", array_of(layout.BRANCH)),
        ("order", array_of(np.int32)),
        ("gaps", array_of(np.int64, 2)),
        ("server", array_of(layout.SERVER)),
        ("out", array_of(REQUEST_ROW)),
        ("decision", array_of(DECISION)),
        ("iteration", array_of(ITERATION)),
        ("move", array_of(MOVE)),
        ("power", POWER),
    ),
)

#: From the table that Python passes to the bundle: the first line of every entry.
state_of = opener(STATE)


def tables(state: State) -> tuple[Ints, Ints]:
    """The table of a state and the one of its electrical tree; both must live as long as it."""
    power = table_of(POWER, state.power._asdict())
    return table_of(STATE, {**state._asdict(), "power": power}), power
