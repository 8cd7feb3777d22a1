"""Where replicas and pods were placed, what was refused before, and why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pandas as pd
import pyarrow as pa

from dashboard.load import RunView, View, ask
from sim.errors import ResultError
from sim.policies.purpose import purpose
from sim.results.explain import explain_replica, placements, replica_named
from sim.results.result import RunResult
from sim.results.schema import schema
from sim.results.stored import in_memory

#: Codes of refusals and outcomes → what they say; a code that is not here stands for itself.
REASONS = {
    "placed": "placed",
    "gpu": "not enough free GPUs",
    "gpu_type": "no node of a GPU type that it may use",
    "cpu": "not enough CPU",
    "memory": "not enough memory",
    "isolation": "no place apart from other tenants",
    "quota": "its tenant's quota",
    "preempted": "lost its place to more urgent ones",
    "no-gain": "no place that was worth moving to",
}
_EXPLAINED = {
    "replicas": "select * from replicas order by replica",
    "power_nodes": "select * from power_nodes order by node",
    "power_edges": "select * from power_edges",
    "decisions": """select * from decisions where role = 'placement'""",
    "events": """select * from events where starts_with(entity, 'replica ')""",
}


@dataclass(frozen=True)
class Placed:
    """The replicas of a run and what was decided about their places.

    Attributes:
        replicas: one row a replica: ``replica`` (name), ``node``, ``gpus``, ``policy``, ``choice``
            (1 = the policy's first), ``refused`` (suggestions refused before).
        refusals: one row a reason: ``reason_code``, ``reason`` (in words), ``n``, ``replicas``
            (how many replicas met it), ``such_as`` (one of them as a sentence).
        decisions: rows of the table ``decisions`` about places.
    """

    replicas: pd.DataFrame
    refusals: pd.DataFrame
    decisions: int


def placed(run: RunView) -> Placed:
    """What was decided about the places of replicas.

    Raises:
        ResultError: a table is unreadable.
    """
    rows = placements(_small(run))
    refusals = ask(run, _REFUSALS)
    refusals.insert(1, "reason", [reason_words(code) for code in refusals["reason_code"]])
    sql = "select count(*) as n from decisions where role = 'placement'"
    return Placed(pd.DataFrame(rows), refusals, int(ask(run, sql)["n"][0]))


_REFUSALS = """
    select coalesce(reason_code, 'unknown') as reason_code, count(*) as n,
           count(distinct subject) as replicas, any_value(reason) as such_as
    from decisions where role = 'placement' and not accepted
    group by reason_code order by n desc, reason_code
"""


def reason_words(code: str) -> str:
    """A code of a refusal in words."""
    return REASONS.get(code, code.replace("-", " ").replace("_", " "))


def sentences(run: RunView, replica: str) -> list[str]:
    """Where a replica stands, why there and not elsewhere, and what became of it.

    Raises:
        ResultError: a table is unreadable, or the run has no such replica.
    """
    small = _small(run)
    return explain_replica(small, replica_named(small, replica), partial(purpose, "placement"))


def _small(run: RunView) -> RunResult:
    """The run with only those rows of its tables that say why replicas are where they are."""
    tables = {
        name: pa.Table.from_pandas(ask(run, sql), schema(name), preserve_index=False)
        for name, sql in _EXPLAINED.items()
    }
    return RunResult(in_memory(tables), run.manifest)


@dataclass(frozen=True)
class Pods:
    """The pods of a placement.

    Attributes:
        outcomes: one row an outcome: ``outcome``, ``meaning``, ``n``.
        nodes: one row a node that has a pod: ``node``, ``pods``, ``gpus`` (with a pod on them).
    """

    outcomes: pd.DataFrame
    nodes: pd.DataFrame


def pods(view: View) -> Pods:
    """What became of pods.

    Raises:
        ResultError: a table is unreadable or names an outcome without a row.
    """
    outcomes = ask(view, _OUTCOMES)
    if outcomes.empty:
        raise ResultError("no pod arrived")
    outcomes.insert(1, "meaning", [reason_words(str(code)) for code in outcomes["outcome"]])
    return Pods(outcomes, ask(view, _NODES))


_OUTCOMES = """
    select outcome, count(*) as n from placements group by outcome order by n desc, outcome
"""
_NODES = """
    select node, count(*) as pods, bit_count(bit_or(gpu_bits)) as gpus
    from placements where node is not null group by node order by node
"""
_PODS = """
    select pod, coalesce(node, '') as node, gpu_bits from placements
    where outcome = $outcome order by pod limit $most
"""
MOST_PODS = 2_000


def pods_of(view: View, outcome: str) -> pd.DataFrame:
    """Pods that ended so, at most ``MOST_PODS``: ``pod``, ``node`` and ``gpus`` ("" = nowhere).

    Raises:
        ResultError: the table is unreadable.
    """
    rows = ask(view, _PODS, outcome=outcome, most=MOST_PODS)
    bits = rows.pop("gpu_bits")
    rows["gpus"] = [
        "" if pd.isna(mask) else ", ".join(str(g) for g in range(63) if int(mask) >> g & 1)
        for mask in bits
    ]
    return rows
