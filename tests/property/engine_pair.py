"""Two serving planes on one case: what each did, and every difference between them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.engine.recorder import Recorder
from sim.engine.reference import ReferencePlane
from sim.engine.run import ENGINES, run
from sim.errors import SimulationError
from tests.engine_world import ListSink
from tests.property.carrier import Carrier
from tests.property.left import left_behind
from tests.property.random_cases import Act, Case

REFERENCE = "reference"
#: The engine under test: the compiled one, unless the environment names another.
CANDIDATE = os.environ.get(
    "RACKPLAN_TEST_ENGINE", "compiled" if "compiled" in ENGINES else REFERENCE
)

#: Rows in one order of all.
IN_ORDER = (
    "requests", "attempts", "decisions", "events", "power_edges", "summary/latency",
    "summary/counts", "summary/worst", "moves", "transfers",
    "links", "link_tiers", "summary/links",
)  # fmt: skip
#: Rows in order for each value of a column; whole runs of them may be written at once.
IN_ORDER_BY = {
    "iterations": "replica", "power": "node", "over_limit": "node", "summary/itl": "workload",
    "summary/power": "node",
}  # fmt: skip
#: Sums that an engine may add up in another order; everything in them that is no float is equal.
METERS = ("replicas", "workloads", "power_nodes", "summary/power", "controllers", "clocks")
RELATIVE = ABSOLUTE = 1e-9
MOST_LINES = 12

Row = dict[str, Any]


class PlainSink(ListSink):
    """Keeps rows as plain Python values, whatever columns an engine hands over."""

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append; NaN is null."""
        super().write(table, {name: list(plain(column)) for name, column in columns.items()})


def plain(column: Any) -> Iterator[Any]:
    """The values of a list, a NumPy array or an Arrow array."""
    values = column
    for method in ("to_pylist", "tolist"):
        if hasattr(column, method):
            values = getattr(column, method)()
            break
    for value in values:
        yield None if isinstance(value, float) and math.isnan(value) else value


@dataclass(frozen=True)
class Look:
    """What the control plane sees once a plane has advanced to ``time_s``."""

    time_s: float
    code: str
    stopped_s: float
    in_flight: int


@dataclass
class Outcome:
    """What one engine did: its rows, what could be seen on the way, an error that stopped it."""

    tables: dict[str, list[Row]] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    judged_mj: list[list[float]] = field(default_factory=list)  # at each look, by power node
    error: str = ""
    faults: list[str] = field(default_factory=list)  # broken promises of ``ServingPlane``


def serve_case(case: Case, engine: str) -> Outcome:
    """Run ``case`` on the engine of that name."""
    outcome, sink = Outcome(), PlainSink()
    try:
        if case.by_run:
            report = (lambda now_s, end_s: None) if case.progress else None
            run(case.world, sink, engine=engine, progress=report)
        else:
            by_hand(case, engine, sink, outcome)
    except SimulationError as error:
        outcome.error = f"{error.time_s!r}: {error}"
        return outcome
    outcome.tables = {name: sink.rows(name) for name in sink.tables}
    return outcome


def by_hand(case: Case, engine: str, sink: PlainSink, outcome: Outcome) -> None:
    """Advance from act to act, then to the horizon."""
    recorder = Recorder(case.world.scenario, sink)
    for row in case.world.decisions:
        recorder.decision(row)
    plane = ENGINES[engine](case.world, recorder)
    held: frozenset[int] = frozenset()
    carrier = Carrier()
    for act in (*case.acts, Act(case.horizon_s, "advance")):
        stop = carrier.advance(plane, act.time_s)
        outcome.looks.append(Look(act.time_s, stop.code, stop.time_s, plane.in_flight()))
        outcome.judged_mj.append(plane.judged_mj(act.time_s).tolist())
        pending_s = plane.peek()
        if pending_s < act.time_s:
            outcome.faults.append(f"advanced to {act.time_s}, an event is pending at {pending_s}")
        waits = held or carrier.next_s < math.inf
        if pending_s == math.inf and plane.in_flight() and not waits:
            outcome.faults.append(f"nothing is pending at {act.time_s}, requests are in flight")
        if act.kind == "open":
            plane.open_window(act.time_s)
        elif act.kind == "close":
            plane.close_window(act.time_s)
        elif act.kind == "clocks":
            plane.set_clocks(act.replicas, act.level, act.time_s)
        elif act.kind == "cap":
            plane.set_caps(act.replicas, act.cap_mw, act.time_s)
        elif act.kind in ("hold", "admit"):
            held_mw = act.gpu_mw if act.kind == "hold" and act.gpu_mw else None
            for replica in act.replicas:
                plane.set_admission(replica, act.kind == "admit", held_mw, act.time_s)
            held = (
                held.difference(act.replicas) if act.kind == "admit" else held.union(act.replicas)
            )
        elif act.kind == "fail":
            for replica in act.replicas:
                plane.fail(replica, act.gpu_mw, act.time_s)
        elif act.kind == "delay":
            plane.set_delays(act.replicas, act.delays_s, act.time_s)
        elif act.kind == "limit":
            plane.change_limit(act.node, act.limit_mw, act.time_s)
        elif act.kind in ("freeze", "thaw", "interrupt"):
            move_on(plane, act, outcome)
        elif act.kind in ("drain", "reopen", "restore", "stand"):
            take_away_or_bring_back(plane, act)
    outcome.faults += left_behind(plane)
    plane.finish(case.horizon_s)
    recorder.close()
    if carrier.log:
        sink.write("moves", {"move": carrier.log})


def move_on(plane: Any, act: Act, outcome: Outcome) -> None:
    """As the fleet does: nobody who is down or finishes what he holds is frozen or interrupted."""
    for replica in act.replicas:
        frozen = is_frozen(plane, replica)
        if plane.is_down(replica) or is_shut(plane, replica):
            continue
        if act.kind == "thaw" and frozen:
            plane.thaw(replica, act.time_s)
        elif act.kind == "freeze" and not frozen:
            tokens = plane.freeze(replica, act.time_s)
            outcome.looks.append(Look(act.time_s, f"frozen {replica}", act.time_s, tokens))
        elif act.kind == "interrupt" and not frozen:
            plane.interrupt(replica, act.time_s)


def is_frozen(plane: Any, replica: int) -> bool:
    """Whether nothing of its iteration goes on."""
    if isinstance(plane, ReferencePlane):
        return plane.replicas[replica].rest_s is not None
    return bool(plane.state.replica[replica]["frozen"])


def is_shut(plane: Any, replica: int) -> bool:
    """Whether nobody is sent to it."""
    if isinstance(plane, ReferencePlane):
        return plane.replicas[replica].shut
    return bool(plane.state.replica[replica]["shut"])


def take_away_or_bring_back(plane: Any, act: Act) -> None:
    """As the facility does: what is down is neither drained nor reopened, and only that returns."""
    for replica in act.replicas:
        if plane.is_down(replica):
            if act.kind == "restore":
                plane.restore(replica, act.time_s)
            elif act.kind == "stand" and act.placed is not None:
                plane.stand(replica, act.placed, act.time_s)
        elif act.kind == "stand" and act.placed is not None:
            if act.placed.gpus and act.placed.model is plane.placed[replica].model:
                plane.stand(replica, act.placed, act.time_s)
        elif act.kind == "drain":
            plane.drain(replica, act.gpu_mw, act.time_s)
        elif act.kind == "reopen":
            plane.reopen(replica, act.time_s)


# ---- differences ------------------------------------------------------------------------------


def differences(one: Outcome, two: Outcome) -> list[str]:
    """A line for each difference, the first of a table's rows first; none if both are equal."""
    found = [f"one: {fault}" for fault in one.faults] + [f"two: {fault}" for fault in two.faults]
    if one.error != two.error:
        found.append(f"error: {one.error or 'none'} | {two.error or 'none'}")
    for a, b in zip(one.looks, two.looks, strict=False):
        if a != b:
            found.append(f"seen on the way: {a} | {b}")
    for look, a_mj, b_mj in zip(one.looks, one.judged_mj, two.judged_mj, strict=False):
        if not all(map(alike, a_mj, b_mj)):
            found.append(f"energy at {look.time_s}: {a_mj} | {b_mj}")
    if len(one.looks) != len(two.looks):
        found.append(f"looks: {len(one.looks)} | {len(two.looks)}")
    for name in sorted({*one.tables, *two.tables}):
        rows = one.tables.get(name, []), two.tables.get(name, [])
        found += table_differences(name, *rows)
    return found


def table_differences(name: str, one: list[Row], two: list[Row]) -> Iterator[str]:
    """The differences of two tables of one name."""
    if name in IN_ORDER_BY:
        column = IN_ORDER_BY[name]
        # A stable sort: rows of one value keep their order.
        one, two = (sorted(rows, key=lambda row: str(row[column])) for rows in (one, two))
    elif name not in IN_ORDER and name not in METERS:
        yield f"{name}: no rule says how this table is compared"
    if len(one) != len(two):
        yield f"{name}: {len(one)} | {len(two)} rows"
    for number, (a, b) in enumerate(zip(one, two, strict=False)):
        if name in METERS and a.keys() == b.keys():
            unequal = [key for key in a if not alike(a[key], b[key])]
        else:
            unequal = [key for key in {**a, **b} if a.get(key) != b.get(key)]
        if unequal:
            values = ", ".join(f"{key} {a.get(key)!r} | {b.get(key)!r}" for key in unequal)
            yield f"{name} row {number} ({label(a)}): {values}"


def label(row: Row) -> str:
    """The first two columns of a row."""
    return ", ".join(f"{name} {value}" for name, value in list(row.items())[:2])


def alike(one: Any, two: Any) -> bool:
    """Equal, or floats within the tolerance of meters."""
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(one == two)
