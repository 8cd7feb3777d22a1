"""What holds for requests that one pool prefills and another decodes, whatever the engine."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sim.engine.world import ROW_BITS, World
from tests.property.engine_pair import Outcome, Row
from tests.property.invariants import arrivals_and_rows, whole_requests
from tests.property.random_cases import Case


def broken_handover(case: Case, outcome: Outcome) -> list[str]:
    """Sentences on what does not hold; none for a good run, or for one stopped by an error."""
    if outcome.error:
        return []
    rows = outcome.tables.get("requests", [])
    moves = [row["move"] for row in outcome.tables.get("moves", [])]
    found = [*arrivals_and_rows(case, rows), *paired_moves(case, moves), *first_tokens(case, rows)]
    if not outcome.tables.get("attempts"):  # the first admission is of the last attempt
        found += [*whole_requests(case, rows), *carried(case, rows, moves)]
    return found


def first_tokens(case: Case, rows: list[Row]) -> Iterator[str]:
    """Whoever has a token by another pool was decoded in that one."""
    for row in rows:
        end = _target_pool(case, row)
        if end is None or row["first_token_s"] is None:
            continue
        if case.world.replicas[row["replica"]].pool != end:
            yield f"request {row['request_id']} has a token from a replica of another pool: {row}"


def paired_moves(case: Case, moves: list[Row]) -> Iterator[str]:
    """KV goes from a pool to the one that decodes for it, once room is there; it ends once."""
    pools = case.world.scenario.pools
    on_its_way: dict[int, Row] = {}
    for move in moves:
        if move["kind"] == "parked":  # of a replica, not of a request
            continue
        if move["kind"] == "reserved":
            request = move["request_id"]
            if request in on_its_way:
                yield f"request {request} moves twice at once: {move}"
            on_its_way[request] = move
            source, target = (case.world.replicas[move[end]].pool for end in ("source", "target"))
            decode = pools[source].decode
            if decode is None or decode.pool != pools[target].name:
                yield f"request {request} moves to a pool that does not decode it: {move}"
            # Layer by layer it may go before its prefill has ended.
            computed_s = move["from_s"] if move["prefilled_s"] is None else move["prefilled_s"]
            if not move["admitted_s"] <= computed_s <= move["time_s"]:
                yield f"request {request} moves before it is prefilled: {move}"
            continue
        request = move["request_id"]
        if move["kind"] == "prefilled":
            if request not in on_its_way or on_its_way[request]["prefilled_s"] is not None:
                yield f"request {request} is prefilled while nothing waits for it: {move}"
            continue
        begun = on_its_way.pop(request, None)
        if begun is None:
            yield f"request {request} ends a move that never began: {move}"
        elif move["time_s"] < begun["time_s"]:
            yield f"request {request} arrives before it left: {move}"


def carried(case: Case, rows: list[Row], moves: list[Row]) -> Iterator[str]:
    """A token of a request that is decoded elsewhere comes after its KV, of which there is one.

    Without attempts: each would move its own.
    """
    arrivals: dict[int, list[Row]] = {}
    targets: dict[int, int] = {}
    for move in moves:
        if move["kind"] == "arrived":
            arrivals.setdefault(move["request_id"], []).append(move)
        elif move["kind"] == "reserved":
            targets[move["request_id"]] = move["target"]
    for row in rows:
        if _target_pool(case, row) is None:
            continue
        came = arrivals.pop(row["request_id"], [])
        if row["first_token_s"] is not None:
            if len(came) != 1 or came[0]["time_s"] >= row["first_token_s"]:
                yield f"request {row['request_id']} has a token before its KV: {row}, {came}"
            if row["replica"] != targets[row["request_id"]]:
                yield f"request {row['request_id']} is decoded where its KV is not: {row}"
    if arrivals:
        yield f"KV of requests arrived that no pool decodes for another: {arrivals}"


def _target_pool(case: Case, row: Row) -> int | None:
    """The pool that decodes a request, None if its own does."""
    pools = case.world.scenario.pools
    workload = case.world.scenario.workloads[row["request_id"] >> ROW_BITS]
    decode = next(pool.decode for pool in pools if pool.name == workload.pool)
    if decode is None or row["output_tokens"] == 0:
        return None
    return [pool.name for pool in pools].index(decode.pool)


# ---- whole runs, over a network ---------------------------------------------------------------


def broken_transfers(world: World, outcome: Outcome) -> list[str]:
    """Sentences on rows of ``transfers`` that do not fit those of ``requests``."""
    by_request: dict[int, list[Row]] = {}
    for transfer in outcome.tables.get("transfers", []):
        by_request.setdefault(transfer["request_id"], []).append(transfer)
    found = []
    for request in outcome.tables["requests"]:
        mine = by_request.pop(request["request_id"], [])
        found += [*_one_transfer(world, request, mine)]
    return found + [f"KV of no request moved: {rows}" for rows in by_request.values()]


def _one_transfer(world: World, request: Row, mine: list[Row]) -> Iterator[str]:
    if len(mine) > 1:
        yield f"KV of a request moved twice: {mine}"
    for row in mine:
        expected = _prompt_bytes(world, row, request)
        if not math.isclose(row["size_bytes"], expected, rel_tol=1e-12):
            yield f"KV of {request['input_tokens']} tokens is {expected} bytes: {row}"
        for column in ("ready_s", "room_s", "start_s"):  # layer by layer bytes move before ready
            names = ("admitted_s", column, "end_s")
            if column == "start_s":
                names = ("admitted_s", "room_s", "start_s", "end_s")
            times = [row[name] for name in names if row[name] is not None]
            if times != sorted(times) or row["admitted_s"] != request["admitted_s"]:
                yield f"times of a transfer are in disorder: {row}"
        if row["outcome"] == "arrived":
            if row["end_s"] - row["start_s"] < row["alone_s"] * (1.0 - 1e-9):
                yield f"KV was faster than its links: {row}"
            first_s = request["first_token_s"]
            if first_s is not None and (
                first_s <= row["end_s"] or request["replica"] != row["target"]
            ):
                yield f"a request has a token before its KV, or elsewhere: {row}, {request}"
        if row["outcome"] == "withdrawn" and row["end_s"] != request["end_s"]:
            yield f"KV that is not wanted ends with its request: {row}, {request}"
    came = [row for row in mine if row["outcome"] == "arrived"]
    if request["first_token_s"] is not None and len(came) != 1:
        yield f"a request has a token and no KV: {request}"


def _prompt_bytes(world: World, row: Row, request: Row) -> float:
    """Bytes of a prompt's KV on all GPUs of the target."""
    pool = world.scenario.pools[world.replicas[row["target"]].pool]
    llm, ranks, tokens = pool.llm.llm, pool.tensor_parallel, request["input_tokens"]
    element_bytes = {"bf16": 2, "fp8": 1}[pool.llm.kv_precision]
    if llm.mla is not None:  # every rank holds the whole latent
        per_token = ranks * (llm.mla.kv_rank + llm.mla.rope_dim)
    else:  # each head is on one rank, or on several
        per_token = 2 * max(llm.kv_heads, ranks) * llm.head_dim
    kept = (llm.layers - llm.windowed_layers) * tokens
    kept += llm.windowed_layers * min(tokens, llm.window)
    return float(kept * per_token * element_bytes)
