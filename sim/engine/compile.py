"""From a world to the arrays of the compiled plane: ``sim.kernels.state.State``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.check.scenario import Pool, Scenario
from sim.engine.prefix_arrays import ENTRIES, buckets, entries
from sim.engine.retries import salt_of
from sim.engine.room import SLOTS, empty_places, followers, slots
from sim.engine.world import PlacedReplica, World
from sim.kernels import layout
from sim.kernels.layout import NONE
from sim.kernels.power_state import power_state
from sim.kernels.rows import DECISION, ITERATION, MOVE, REQUEST_ROW
from sim.kernels.state import Records, State
from sim.kernels.tree import leaves_for, new_tree
from sim.perf.step import ReplicaModel, StepCost, StepPower
from sim.policies.base import kind_of
from sim.results.tables import OUTCOMES
from sim.rng import KeyedBits

MODES = {
    "chunked-prefill": layout.CHUNKED,
    "prefill-first": layout.PREFILL_FIRST,
    "static": layout.STATIC,
}
#: Policies with a compiled form, by their class: one that is registered under the same kind by
#: somebody else is not meant.
ROUTING = {
    "round-robin": layout.ROUND_ROBIN,
    "random": layout.RANDOM,
    "least-outstanding-requests": layout.LEAST_REQUESTS,
    "least-outstanding-tokens": layout.LEAST_TOKENS,
    "power-of-two": layout.POWER_OF_TWO,
}

#: Rows that the buffers hold; filled ones go to the sink.
OUT_ROWS = 4096
OTHER_ROWS = 4096


def compile_world(
    world: World, *, minutes: bool, changes: bool
) -> tuple[State, dict[tuple[int, int], int]]:
    """The state of ``world`` at time 0: nothing has arrived, nothing is drawn yet.

    Args:
        minutes, changes: which rows of the electrical tree are kept (``sim.kernels.power_state``).

    Returns:
        The state; and (id of a model, tokens of a batch) → its first record of ``State.cost``, for
        every model that a replica of the scenario may have.
    """
    scenario = world.scenario
    pools = _pools(world)
    cost, seconds, mw, first_cost = _costs(world)
    replicas, servers = _replicas(world, first_cost)
    most_sequences = int(replicas["max_sequences"].max())
    out_rows = max(OUT_ROWS, 2 * (most_sequences + 4))
    widest = _widest(world)
    windows = any(model.cost[0].window for model, _ in _models(world))
    heaps = (len(replicas), most_sequences + 2)
    apart = any(pool.decode is not None for pool in scenario.pools)
    state = State(
        all=_whole(scenario, out_rows - (most_sequences + 4)),
        replica=replicas,
        request=slots(SLOTS, 0),
        again=np.zeros(SLOTS if _knows_more(world) else 1, layout.AGAIN),
        wait=_waits(world),
        handover=np.zeros(SLOTS if apart else 1, layout.HANDOVER),
        prefix=np.zeros(SLOTS, layout.PREFIX),
        ids=np.zeros(SLOTS, np.int64),
        entry=entries(ENTRIES, 0),
        bucket=buckets(ENTRIES),
        residues=np.zeros((len(replicas), 16), np.int32),
        finish=np.zeros(heaps, np.int64),
        crossing=np.zeros(heaps if windows else (1, 2), np.int64),
        queue=np.full((len(replicas), layout.PRIORITIES), NONE, layout.QUEUE),
        lane=np.full((len(replicas) if apart else 1, 2), NONE, layout.QUEUE),
        share=np.zeros((len(replicas), widest), layout.SHARE),
        cost=cost,
        seconds=seconds,
        mw=mw,
        pool=pools,
        members=_members(world),
        workload=_workloads(world),
        source=np.zeros((len(scenario.workloads), SLOTS), layout.SOURCE),
        follower=followers(SLOTS, 0),
        place=empty_places(4 * SLOTS),
        ring=np.zeros((len(scenario.workloads), SLOTS), layout.ALARM),
        heap=np.zeros((2, 2 * SLOTS + 4), layout.ALARM),
        handing=np.zeros((1, most_sequences + 4), layout.ALARM),
        orphan=np.zeros(most_sequences + 4, layout.ORPHAN),
        event=new_tree(len(replicas), math.inf),
        load=np.concatenate([new_tree(int(pool["replicas"]), 0.0) for pool in pools]),
        order=np.zeros(max(int(pools["replicas"].max()), most_sequences + 1), np.int32),
        gaps=np.zeros(
            (len(scenario.workloads), layout.GAP_OCTAVES * layout.GAPS_PER_OCTAVE), np.int64
        ),
        server=servers,
        out=np.zeros(out_rows, REQUEST_ROW),
        decision=np.zeros(OTHER_ROWS, DECISION),
        move=np.zeros(most_sequences + 4, MOVE),
        iteration=np.zeros(OTHER_ROWS if scenario.record_iterations else 1, ITERATION),
        power=power_state(scenario.site, scenario.power, minutes, changes),
    )
    for record, placed in zip(state.replica, world.replicas, strict=True):
        start_anew(record, placed.model)
        settle_in(state, record, placed, world.spans(placed))
    return state, first_cost


def _whole(scenario: Scenario, most_rows: int) -> Records:
    """The one record of what is of no replica, pool or workload; nothing is pending."""
    whole = np.zeros(1, layout.GLOBAL)
    whole["boundary_s"] = -1.0
    whole["arrival_s"] = whole["alarm_s"] = whole["handover_s"] = math.inf
    whole["arrival_workload"] = whole["alarm_workload"] = NONE
    whole["asked"] = whole["hungry"] = whole["between"] = NONE
    whole["free_entries"] = ENTRIES
    whole["until_s"] = scenario.duration_s
    whole["single"] = int(scenario.record_iterations)
    whole["most_rows"] = most_rows
    return whole


def start_anew(record: Any, model: ReplicaModel) -> None:
    """Write down what depends on a replica's model; it is without work and nothing limits it."""
    record["free"] = record["kv_blocks"] = model.kv_blocks
    record["levels"] = len(model.clocks_hz)
    record["cap_mw"] = layout.FAR
    record["held_mw"] = NONE
    for name in ("level", "lock", "held", "delay_s", "next_delay_s"):
        record[name] = 0


def settle_in(state: State, record: Any, placed: PlacedReplica, spans: bool) -> None:
    """Write down which GPUs a replica has."""
    record["spans"] = spans
    record["gpus"] = len(placed.gpus)
    record["server_count"] = len(placed.servers)
    for row, part in enumerate(placed.servers, start=int(record["servers"])):
        state.server[row] = part


# ---- constants -----------------------------------------------------------------------------------


def _models(world: World) -> list[tuple[ReplicaModel, Pool]]:
    """What replicas have, then what they may have elsewhere."""
    pools = world.scenario.pools
    have = [(placed.model, pools[placed.pool]) for placed in world.replicas]
    return have + [(model, pool) for pool in pools for model in pool.models.values()]


def _pool_of(world: World, index: int) -> Pool:
    return world.scenario.pools[world.replicas[index].pool]


def _widest(world: World) -> int:
    names = [workload.pool for workload in world.scenario.workloads]
    return max(names.count(name) for name in names)


def _sender(world: World, pool: Pool) -> str:
    """The pool to which those requests are sent that come to ``pool``."""
    decoding = (
        one.name for one in world.scenario.pools if one.decode and one.decode.pool == pool.name
    )
    return next(decoding, pool.name)


def _pools(world: World) -> Records:
    pools = np.zeros(len(world.scenario.pools), layout.POOL)
    owners = [placed.pool for placed in world.replicas]
    tree = members = 0
    for index, pool in enumerate(world.scenario.pools):
        record = pools[index]
        replicas = owners.count(index)
        record["first"], record["replicas"] = owners.index(index), replicas
        record["tree"], record["leaves"] = tree, leaves_for(replicas)
        tree += 2 * leaves_for(replicas)
        record["max_context"] = pool.llm.llm.max_context
        record["most_blocks"] = world.most_blocks(pool)
        record["max_queue"] = NONE if pool.max_queue is None else pool.max_queue
        record["salt"] = KeyedBits(world.seed, f"policy/routing/{pool.name}").salt
        record["shed"] = layout.OLDEST if pool.shed == "oldest" else layout.REJECT
        record["routing"] = compiled_routing(pool)
        record["prefix_cache"] = pool.prefix_cache
        record["decode"] = NONE
        sender = _sender(world, pool)
        mine = [w for w, load in enumerate(world.scenario.workloads) if load.pool == sender]
        record["members"], record["only"] = members, mine[0] if mine else NONE
        members += len(mine)
    names = [pool.name for pool in world.scenario.pools]
    for record, pool in zip(pools, world.scenario.pools, strict=True):
        if pool.decode is not None:
            record["by_layer"] = pool.decode.by_layer
            record["decode"] = names.index(pool.decode.pool)
            record["decode_blocks"] = pools[record["decode"]]["most_blocks"]
    return pools


def compiled_routing(pool: Pool) -> int:
    """The code of a pool's routing policy, ``ASK`` for one that only Python knows."""
    own = type(pool.routing).__module__.startswith("sim.policies.routing.")
    return ROUTING.get(kind_of(pool.routing), layout.ASK) if own else layout.ASK


def _members(world: World) -> NDArray[np.int64]:
    found = [
        index
        for pool in world.scenario.pools
        for index, workload in enumerate(world.scenario.workloads)
        if workload.pool == _sender(world, pool)
    ]
    return np.array(found, dtype=np.int64)


def _workloads(world: World) -> Records:
    scenario = world.scenario
    pool_names = [pool.name for pool in scenario.pools]
    records = np.zeros(len(scenario.workloads), layout.WORKLOAD)
    seen = dict.fromkeys(pool_names, 0)
    for record, workload in zip(records, scenario.workloads, strict=True):
        record["timeout_s"] = workload.timeout_s
        record["ingress_s"] = workload.path.ingress_s
        record["egress_s"] = workload.path.egress_s
        for name in ("ttft_s", "tpot_s", "e2e_s"):
            limit = getattr(workload.objectives, name)
            record[name] = math.inf if limit is None else limit
        record["returned_s"] = -1.0
        record["pool"] = pool_names.index(workload.pool)
        record["share"] = seen[workload.pool]
        seen[workload.pool] += 1
        record["attempts"] = 1
        if workload.retry is not None:
            retry = workload.retry
            record["attempts"], record["jitter"] = retry.attempts, retry.jitter
            record["retry_on"] = sum(1 << OUTCOMES.index(outcome) for outcome in retry.outcomes)
            record["retry_salt"] = salt_of(world.seed, workload)
    return records


def _knows_more(world: World) -> bool:
    """Whether requests need ``layout.AGAIN``."""
    return any(
        workload.retry is not None or workload.path.ingress_s > 0.0
        for workload in world.scenario.workloads
    )


def _waits(world: World) -> NDArray[np.float64]:
    """[W, attempts] what is waited before the next attempt, without jitter."""
    waits = [w.retry.waits_s if w.retry else () for w in world.scenario.workloads]
    table = np.zeros((len(waits), max(1, *map(len, waits))))
    for row, seconds in zip(table, waits, strict=True):
        row[: len(seconds)] = seconds
    return table


def _replicas(world: World, first_cost: Mapping[tuple[int, int], int]) -> tuple[Records, Records]:
    """A record for each, and rows for the servers that it may have GPUs on."""
    replicas = np.zeros(len(world.replicas), layout.REPLICA)
    workloads = [workload.pool for workload in world.scenario.workloads]
    position = dict.fromkeys(range(len(world.scenario.pools)), 0)
    servers = 0
    for index, placed in enumerate(world.replicas):
        record, pool = replicas[index], _pool_of(world, index)
        record["mode"] = MODES[pool.batching.mode]
        record["open"] = 1
        record["first_finish"] = layout.FAR
        for name in ("head", "tail", "joining", "part", "blocked", "oldest", "newest"):
            record[name] = NONE
        record["pool"], record["position"] = placed.pool, position[placed.pool]
        position[placed.pool] += 1
        record["cost"] = first_cost[id(placed.model), pool.batching.max_batch_tokens]
        record["servers"] = servers
        servers += pool.tensor_parallel * pool.pipeline_parallel
        record["max_batch_tokens"] = pool.batching.max_batch_tokens
        record["max_sequences"] = pool.batching.max_sequences
        record["workloads"] = workloads.count(_sender(world, pool))
    return replicas, np.zeros(servers, layout.SERVER)


# ---- costs ---------------------------------------------------------------------------------------


def _costs(
    world: World,
) -> tuple[Records, NDArray[np.float64], NDArray[np.int64], dict[tuple[int, int], int]]:
    """Every model's levels once: records, their tables end to end, each model's first record."""
    records: list[Records] = []
    seconds: list[NDArray[np.float64]] = []
    mw: list[NDArray[np.int64]] = []
    known: dict[tuple[int, int], int] = {}
    offsets = [0, 0]
    for model, pool in _models(world):
        most_tokens = pool.batching.max_batch_tokens
        key = (id(model), most_tokens)
        if key not in known:
            known[key] = len(records)
            for cost, power in zip(model.cost, model.power, strict=True):
                # Beyond its last grid point g is one straight line and a chunk's draw constant.
                last = min(most_tokens, max(cost.grid_tokens[-1], power.prefill_tokens[-1]))
                tables = (tokens_s(cost, last), prefill_mw(power, last))
                decode = np.array(power.decode_mw, dtype=np.int64)
                records.append(_cost(cost, power, offsets, last, decode))
                seconds.extend(tables)
                mw.append(decode.ravel())
                offsets = [offsets[0] + 2 * (last + 1), offsets[1] + decode.size]
    return np.concatenate(records), np.concatenate(seconds), np.concatenate(mw), known


def _cost(
    cost: StepCost,
    power: StepPower,
    offsets: Sequence[int],
    last: int,
    decode: NDArray[np.int64],
) -> Records:
    records = np.zeros(1, layout.COST)
    record = records[0]
    for name in (
        "fixed_s", "per_decode_s", "per_kv_token_s", "per_windowed_kv_token_s",
        "per_prefill_pair_s", "per_windowed_prefill_pair_s", "window",
    ):  # fmt: skip
        record[name] = getattr(cost, name)
    record["last"] = last
    record["tokens"], record["prefill"] = offsets[0], offsets[0] + last + 1
    (left, right), (low_s, high_s) = cost.grid_tokens[-2:], cost.grid_s[-2:]
    record["beyond_tokens"], record["beyond_s"] = left, low_s
    record["beyond_slope_s"] = (high_s - low_s) / (right - left)
    record["decode"] = offsets[1]
    record["decode_rows"], record["decode_stride"] = decode.shape
    record["idle_mw"] = power.idle_mw
    record["most_mw"] = power.most_mw
    return records


def tokens_s(cost: StepCost, most: int) -> NDArray[np.float64]:
    """g(m) for m = 0 … most, each equal to ``cost.tokens_s(m)``."""
    tokens = np.arange(most + 1)
    grid, table = np.array(cost.grid_tokens), np.array(cost.grid_s)
    i = np.minimum(np.searchsorted(grid, tokens, side="right"), len(grid) - 1) - 1
    slope = (table[i + 1] - table[i]) / (grid[i + 1] - grid[i])
    return np.asarray(table[i] + slope * (tokens - grid[i]), dtype=np.float64)


def prefill_mw(power: StepPower, most: int) -> NDArray[np.float64]:
    """Draw of a chunk of m = 0 … most tokens, each equal to ``power.prefill_draw_mw(m)``."""
    tokens = np.arange(most + 1)
    grid, table = np.array(power.prefill_tokens), np.array(power.prefill_mw, dtype=np.int64)
    if len(grid) == 1:
        return np.full(most + 1, float(table[0]))
    i = np.clip(np.searchsorted(grid, tokens, side="right") - 1, 0, len(grid) - 2)
    slope = (table[i + 1] - table[i]) / (grid[i + 1] - grid[i])
    inside = table[i] + slope * (tokens - grid[i])
    return np.where(tokens >= grid[-1], float(table[-1]), inside)
