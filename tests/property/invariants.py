"""What holds for every run, whatever the engine, seen from its rows alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice, pairwise

from sim.engine.world import ROW_BITS, World
from sim.policies.base import kind_of
from sim.workload.types import OPEN, RequestSource
from tests.property.engine_pair import Outcome, Row
from tests.property.random_cases import Case

#: What is added to a time and taken off again may be off by so much.
ROUNDING_S = 1e-9
#: Policies that give each of several equal requests to another of several idle replicas.
SPREADING = ("round-robin", "least-outstanding-requests", "least-outstanding-tokens")


def broken_laws(case: Case, outcome: Outcome) -> list[str]:
    """Sentences on what does not hold; none for a good run, or for one stopped by an error."""
    if outcome.error:
        return []
    rows = outcome.tables.get("requests", [])
    found = [*arrivals_and_rows(case, rows), *whole_requests(case, rows)]
    found += [*held_heads(outcome.tables.get("replicas", []))]
    if not any(row["outcome"] == "unfinished" for row in rows):
        found += left_over(case.world, rows)
    return found


def broken_retries(case: Case, outcome: Outcome) -> list[str]:
    """Sentences on attempts that do not follow their workload's policy; none for a good run."""
    if outcome.error:
        return []
    rows, attempts = outcome.tables.get("requests", []), outcome.tables.get("attempts", [])
    found = list(arrivals_and_rows(case, rows))
    policy = {load.name: load.retry for load in case.world.scenario.workloads}
    path = {load.name: load.path for load in case.world.scenario.workloads}
    before: dict[int, list[Row]] = {}
    for attempt in attempts:
        before.setdefault(attempt["request_id"], []).append(attempt)
    for row in rows:
        mine, retry = before.pop(row["request_id"], []), policy[row["workload"]]
        way_s = path[row["workload"]].ingress_s
        sent_s = row["arrival_s"] + row["ingress_s"] - way_s
        again = [attempt["sent_s"] for attempt in mine[1:]]
        # One that is still away at the end was not sent.
        again += [sent_s] if row["attempts"] > len(mine) or row["outcome"] == "unfinished" else []
        if [attempt["attempt"] for attempt in mine] != list(range(1, len(mine) + 1)):
            found.append(f"attempts of request {row['request_id']} are not counted: {mine}")
        elif row["attempts"] - len(mine) != 1 and row["outcome"] != "unfinished":
            found.append(f"request {row['request_id']} was sent otherwise: {row}, {mine}")
        elif not mine:
            if row["ingress_s"] != way_s:
                found.append(f"request {row['request_id']} was sent once, but late: {row}")
        elif retry is None or row["attempts"] > retry.attempts:
            found.append(f"request {row['request_id']} was sent too often: {row}")
        elif mine[0]["sent_s"] != row["arrival_s"]:
            found.append(f"request {row['request_id']} was first sent late: {mine[0]}")
        else:
            waits = zip(mine, again, retry.waits_s, strict=False)
            for attempt, next_s, most_s in waits:
                least_s = most_s * (1.0 - retry.jitter)
                if not least_s - 1e-9 <= next_s - attempt["end_s"] <= most_s + 1e-9:
                    found.append(f"request {row['request_id']} waits otherwise: {attempt}")
                if attempt["outcome"] not in retry.outcomes:
                    found.append(f"request {row['request_id']} should end with {attempt}")
    return found + [f"attempts of no request: {mine}" for mine in before.values()]


def arrivals_and_rows(case: Case, rows: list[Row]) -> Iterator[str]:
    """Every request that was sent has one row; a follower is sent when its time has come."""
    by_id = {row["request_id"]: row for row in rows}
    if len(by_id) != len(rows):
        yield "a request has two rows"
    duration_s = case.world.scenario.duration_s
    for index, source in enumerate(case.world.sources):
        most = max((i for i in by_id if i >> ROW_BITS == index), default=0) & ((1 << ROW_BITS) - 1)
        rows_sent = islice(sent(source), most + 20 if source.closed else None)
        for number, arrival_s, after, think_s in rows_sent:
            sent_s = arrival_s
            if after != OPEN:
                before = by_id.get((index << ROW_BITS) | after)
                end_s = None if before is None else before["end_s"]
                sent_s = math.inf if end_s is None else end_s + think_s
                sent_s = sent_s if sent_s < duration_s else math.inf
            row = by_id.get((index << ROW_BITS) | number)
            if (row is None) != (sent_s >= case.horizon_s):
                yield f"workload {index}, row {number}: sent at {sent_s}, its row is {row}"
            elif row is not None and row["arrival_s"] != sent_s:
                yield f"workload {index}, row {number}: sent at {sent_s}, row {row['arrival_s']}"


def sent(source: RequestSource) -> Iterator[tuple[int, float, int, float]]:
    """(row number, arrival, row that it follows, pause) of a source's rows."""
    number = 0
    for chunk in source.chunks():
        columns = chunk.arrival_s, chunk.after_request, chunk.think_s
        for values in zip(*(column.tolist() for column in columns), strict=True):
            yield number, *values
            number += 1


def whole_requests(case: Case, rows: list[Row]) -> Iterator[str]:
    """A request's times are in order, and it delivered what its outcome says."""
    paths = {load.name: load.path for load in case.world.scenario.workloads}
    for row in rows:
        out_s = paths[row["workload"]].egress_s
        asked, delivered = row["output_tokens"], row["delivered_tokens"]
        whole = delivered == asked if row["outcome"] == "completed" else delivered <= asked
        pool_s, user_s = clocks(row)
        ordered = all(
            early <= late + (ROUNDING_S if out_s else 0.0)
            for times in (pool_s, user_s)
            for early, late in pairwise(times)
        )
        if not ordered or user_s[-1] - out_s > case.horizon_s or not whole:
            yield f"request {row['request_id']} makes no sense: {row}"
        if row["egress_s"] != out_s:
            yield f"request {row['request_id']} has another way out: {row}"


def clocks(row: Row) -> tuple[list[float], list[float]]:
    """A request's times at the pool and its times with the user, as far as they are known.

    A client that gives up does so on its own clock, whatever its pool does until it learns of it.
    """
    first_s, end_s, out_s = row["first_token_s"], row["end_s"], row["egress_s"]
    pool_s = [row["arrival_s"] + row["ingress_s"], row["admitted_s"]]
    if row["outcome"] != "cancelled":
        pool_s += [t if t is None else t - out_s for t in (first_s, end_s)]
    user_s = [row["arrival_s"], first_s, end_s]
    return [t for t in pool_s if t is not None], [t for t in user_s if t is not None]


def held_heads(replicas: list[Row]) -> Iterator[str]:
    """At rest a head is held back only while somebody waits; in a batch, up to a boundary."""
    for row in replicas:
        if row["blocked_held_s"] > row["waiting_s"] + row["busy_s"] + 1e-9:
            yield f"nobody waits at a replica that holds somebody back: {row}"


def left_over(world: World, rows: list[Row]) -> Iterator[str]:
    """Nothing is: the last requests, which need all blocks of a replica, start at once.

    With a routing policy that goes by what is outstanding each replica gets one of them.
    """
    for pool in world.scenario.pools:
        last = [row for row in rows if row["workload"] == f"{pool.name}-last"]
        before = [row for row in rows if row["pool"] == pool.name and row not in last]
        came_s = {row["arrival_s"] + row["ingress_s"] for row in last}
        if not last or any((row["end_s"] or 0.0) >= min(came_s) for row in before):
            continue
        if last[0]["outcome"] == "never-fits" or kind_of(pool.routing) not in SPREADING:
            continue
        if {row["admitted_s"] for row in last} != came_s:
            yield f"pool {pool.name}: blocks were not free for the last requests"
        # Those that another pool decodes go where that one has room.
        if pool.decode is None and len({row["replica"] for row in last}) != pool.replicas:
            yield f"pool {pool.name}: something was outstanding before the last requests"
