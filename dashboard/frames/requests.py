"""The worst requests, and everything that a run recorded of one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.frames.latency import cause_words, key_of, objectives_of
from dashboard.load import RunView, ask, per_run
from sim.errors import ResultError
from sim.results.tables import OUTCOMES

#: How many of the worst requests the list has.
SHOWN = 100
#: A request's number in its workload: the rest of the id is the workload's index.
_IN_WORKLOAD = (1 << 40) - 1

_WORST = """
    select request_id, arrival_s, ttft_s, e2e_s, outcome from summary_worst
    where workload = $workload
"""
_OF_OUTCOME = """
    select request_id, arrival_s, first_token_s - arrival_s as ttft_s, end_s - arrival_s as e2e_s,
           outcome
    from requests where request_id in (
        select request_id from requests where workload = $workload and outcome = $outcome
        order by arrival_s limit $most
    )
"""
# The ids come first, so that no column of another request is read.
_ROWS = """
    select request_id, replica, input_tokens, output_tokens, attempts, first_token_s, end_s
    from requests where request_id in (select unnest($ids::bigint[]))
"""
_BY = {"ttft": "ttft_s", "queue": "ttft_s", "tpot": "tpot_s", "itl": "tpot_s"}
_LATE = 1e30  # what was never reached is the worst


@per_run
def worst(run: RunView, workload: str, measure: str, cause: str = "") -> pd.DataFrame:
    """The slowest misses of a workload, worst of ``measure`` first; warm-up included; at most
    ``SHOWN`` where their order is known beforehand.

    ``cause``: only those of this ``key``. Requests that did not complete may have ended soon, and
    so be none of the slowest: where rows of requests were recorded, the first of them are taken.

    ``request_id``, ``number`` (in its workload), ``arrival_s``, ``ttft_s``, ``tpot_s``, ``e2e_s``,
    ``key`` and ``cause`` (why it missed), and, where rows of requests were recorded, ``replica``,
    ``input_tokens``, ``output_tokens``, ``attempts``; what was not recorded is null.

    Raises:
        ResultError: a table is unreadable.
    """
    by = _BY.get(measure, "e2e_s")
    if cause in OUTCOMES and run.rows("requests"):
        found = ask(run, _OF_OUTCOME, workload=workload, outcome=cause, most=SHOWN)
    else:
        found = ask(run, _WORST, workload=workload)
    rows = pd.DataFrame(
        columns=["request_id", "replica", "input_tokens", "output_tokens", "attempts",
                 "first_token_s", "end_s"], dtype=float,
    )  # fmt: skip
    if cause in ("", "ttft") and by != "tpot_s":
        # What is first in the list is known without rows, which are then read of few requests.
        late = found["ttft_s"] > objectives_of(run, workload).get("ttft", math.inf)
        found = (
            (found[late | found["ttft_s"].isna()] if cause else found)
            .sort_values([by, "request_id"], ascending=[False, True], na_position="first")
            .head(SHOWN)
        )
    if len(found) and run.rows("requests"):
        rows = ask(run, _ROWS, ids=tuple(sorted(int(number) for number in found["request_id"])))
    frame = found.merge(rows.astype({"request_id": "int64"}), on="request_id", how="left")
    completed = frame["outcome"] == "completed"
    several = completed & (frame["output_tokens"] >= 2)
    gaps = (frame["output_tokens"] - 1).where(several)
    frame["tpot_s"] = (frame["end_s"] - frame["first_token_s"]) / gaps
    stated = objectives_of(run, workload)
    causes = [_cause(row, stated) for row in frame.to_dict("records")]
    outcomes = frame["outcome"].astype(str).tolist()
    pairs = list(zip(causes, outcomes, strict=True))
    frame["key"] = [key_of(cause, outcome) for cause, outcome in pairs]
    frame["cause"] = [cause_words(cause, outcome, stated) for cause, outcome in pairs]
    frame["number"] = frame["request_id"].astype("int64") & _IN_WORKLOAD
    order = frame[by].fillna(_LATE)
    frame = frame.assign(order=order).sort_values(["order", "request_id"], ascending=[False, True])
    if cause:
        frame = frame[frame["key"] == cause]
    return frame.drop(columns=["order", "first_token_s", "end_s"]).reset_index(drop=True)


def _cause(row: Mapping[str, Any], stated: Mapping[str, float]) -> str:
    """The objective that a request missed first in time; "outcome" if it did not complete.

    Without its rows its TPOT is unknown: then it is what the others leave.
    """
    if row["outcome"] != "completed":
        return "outcome"
    for word in ("ttft", "tpot", "e2e"):
        if word in stated and row[f"{word}_s"] > stated[word]:
            return word
    unknown = pd.isna(row["tpot_s"]) and "tpot" in stated
    return "tpot" if unknown or not stated else next(iter(stated))


@dataclass(frozen=True)
class Story:
    """What a run recorded of one request.

    Attributes:
        row: its row of ``requests``.
        parts: one row a part of its life: ``part``, ``start_s``, ``end_s``, ``seconds``.
        attempts, transfers: its rows of these tables, in order.
    """

    row: Mapping[str, Any]
    parts: pd.DataFrame
    attempts: pd.DataFrame
    transfers: pd.DataFrame


_ONE = "select * from requests where request_id = $id"
_ATTEMPTS = """
    select attempt, sent_s, replica, end_s, delivered_tokens, outcome from attempts
    where request_id = $id order by attempt
"""
_TRANSFERS = """
    select source, target, size_bytes, ready_s, room_s, start_s, end_s, alone_s, outcome, bound,
           bound_s, shared
    from transfers where kind = 'kv' and request_id = $id order by end_s
"""


def story(run: RunView, request_id: int) -> Story:
    """One request.

    Raises:
        ResultError: its row was not recorded, or a table is unreadable.
    """
    rows = ask(run, _ONE, id=request_id)
    if rows.empty:
        raise ResultError(f"request {request_id & _IN_WORKLOAD} has no row of its own")
    row = {str(name): value for name, value in rows.iloc[0].to_dict().items()}
    attempts = ask(run, _ATTEMPTS, id=request_id)
    transfers = ask(run, _TRANSFERS, id=request_id)
    return Story(row, _parts(row, transfers), attempts, transfers)


def _parts(row: Mapping[str, Any], transfers: pd.DataFrame) -> pd.DataFrame:
    """The parts of a request's life in their order; only those that it reached."""
    known = {name: float(row[name]) for name in ("arrival_s", "ingress_s", "egress_s")}
    pool = known["arrival_s"] + known["ingress_s"]
    admitted, first, end = (float(row[n]) for n in ("admitted_s", "first_token_s", "end_s"))
    egress = known["egress_s"]
    points: list[tuple[str, float]] = [("ingress", pool), ("queue", admitted)]
    came = transfers[transfers["outcome"] == "arrived"]
    if len(came):
        last = came.iloc[-1]
        room = max(float(last["ready_s"]), float(last["room_s"]))
        points += [("prefill", float(last["ready_s"])), ("wait for room", room),
                   ("transfer", max(room, float(last["end_s"]))),
                   ("first decode", first - egress)]  # fmt: skip
    else:
        points.append(("prefill", first - egress))
    # What never had a first token was not decoded: it ended in the middle of the rest.
    points += [("until it ended", end)] if pd.isna(first) else [("egress", first), ("decode", end)]
    found, at = [], known["arrival_s"]
    for part, until in points:
        if pd.isna(until):
            continue
        until = max(at, until)
        found.append({"part": part, "start_s": at, "end_s": until, "seconds": until - at})
        at = until
    return pd.DataFrame(found, columns=["part", "start_s", "end_s", "seconds"])
