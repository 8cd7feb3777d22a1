"""The worst requests, and everything that a run recorded of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.frames.latency import cause_words, key_of, objectives_of
from dashboard.load import RunView, ask, per_run
from sim.errors import ResultError
from sim.results.tables import OUTCOMES
from sim.units import format_si

#: How many of the worst requests the list has.
SHOWN = 100
#: A request's number in its workload: the rest of the id is the workload's index.
_IN_WORKLOAD = (1 << 40) - 1

_WORST = """
    select request_id, arrival_s, ttft_s, tpot_s, e2e_s, replica, input_tokens, output_tokens,
           attempts, outcome, cause
    from summary_worst where workload = $workload
"""
# The ids come first, so that no column of another request is read.
_OF_OUTCOME = """
    select request_id, arrival_s, first_token_s - arrival_s as ttft_s, null::double as tpot_s,
           end_s - arrival_s as e2e_s, replica, input_tokens, output_tokens, attempts, outcome,
           'outcome' as cause
    from requests where request_id in (
        select request_id from requests where workload = $workload and outcome = $outcome
        order by arrival_s limit $most
    )
"""
_BY = {"ttft": "ttft_s", "queue": "ttft_s", "tpot": "tpot_s", "itl": "tpot_s"}
_LATE = 1e30  # what was never reached is the worst


@per_run
def worst(run: RunView, workload: str, measure: str, cause: str = "") -> pd.DataFrame:
    """The slowest misses of a workload, worst of ``measure`` first; warm-up included.

    ``cause``: only those of this ``key``. Requests that did not complete may have ended soon, and
    so be none of the slowest: where rows of requests were recorded, the first of them are taken,
    at most ``SHOWN``.

    ``request_id``, ``number`` (in its workload), ``arrival_s``, ``ttft_s``, ``tpot_s``, ``e2e_s``,
    ``replica``, ``input_tokens``, ``output_tokens``, ``attempts``, ``key`` and ``cause`` (why it
    missed, in words); what it did not reach is null.

    Raises:
        ResultError: a table is unreadable.
    """
    if cause in OUTCOMES and run.rows("requests"):
        found = ask(run, _OF_OUTCOME, workload=workload, outcome=cause, most=SHOWN)
    else:
        found = ask(run, _WORST, workload=workload)
    stated = objectives_of(run, workload)
    pairs = list(zip(found["cause"].astype(str), found["outcome"].astype(str), strict=True))
    found["key"] = [key_of(why, outcome) for why, outcome in pairs]
    found["cause"] = [cause_words(why, outcome, stated) for why, outcome in pairs]
    found["number"] = found["request_id"] & _IN_WORKLOAD
    if cause:
        found = found[found["key"] == cause]
    order = found[_BY.get(measure, "e2e_s")].fillna(_LATE)
    found = found.assign(order=order).sort_values(["order", "request_id"], ascending=[False, True])
    return found.drop(columns=["order", "outcome"]).reset_index(drop=True)


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


def parts_words(parts: pd.DataFrame) -> str:
    """The parts of a request's life as a sum."""
    said = [
        f"{row['part']} {format_si(float(row['seconds']), 's')}"
        for row in parts.to_dict("records")
        if row["seconds"] > 0.0
    ]
    return " + ".join(said) + ("; decode is not drawn" if (parts["part"] == "decode").any() else "")
