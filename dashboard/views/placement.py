"""Placement: why does that replica, or that pod, sit there?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.placement import PICKED, reason_bars
from dashboard.frames.placement import (
    MOST_PODS,
    Placed,
    Pods,
    placed,
    pods,
    pods_of,
    reason_words,
    sentences,
)
from dashboard.load import Missing, RunView, View, part
from dashboard.parts import absent, card, chart, foot, head, notice, table
from dashboard.shell import chosen_view
from dashboard.style import ink

_BAR_PX = 34
_CARDS = (
    ("Not allocated", "unallocated"),
    ("… at 95 % of arrivals", "unallocated_at_95"),
    ("Fragmented", "fragmentation"),
    ("Pods without a place", "failed"),
)


def placement() -> None:
    """Draw the page."""
    view = chosen_view("Placement", "Why does that replica, or that pod, sit there?")
    if view is None:
        return
    if isinstance(view, RunView):
        _replicas(view)
    else:
        _pods(view)


def _replicas(run: RunView) -> None:
    found = part(lambda: placed(run))
    if isinstance(found, Missing):
        notice("bad", "Placements cannot be shown", found.reason)
        return
    if found.replicas.empty:
        absent("This run has no replica.", "Give a pool 'replicas' and run it again.")
        return
    _answer(run, found)
    with st.grid(2, min_column_width=460, key="placement"):
        with st.container(key="replicas"):
            _replica_table(run, found)
        with st.container(key="refusals"):
            _refusals(run, found)


def _answer(run: RunView, found: Placed) -> None:
    first = int((found.replicas["choice"] == 1).sum())
    refused = int(found.refusals["n"].sum())
    policies = ", ".join(dict.fromkeys(name for name in found.replicas["policy"] if name))
    nowhere = int((found.replicas["node"] == "").sum())
    words = f"{first} of {len(found.replicas)} replicas were put where {policies or 'the policy'}"
    words += " wanted them first" if refused else " wanted them first; no suggestion was refused"
    if refused:
        worst = found.refusals.iloc[0]
        words += f"; {refused:,} suggestions were refused, mostly: {worst['reason']}"
    if nowhere:
        words += f"; {nowhere} have no place at the end"
    if not found.decisions:
        words = (
            f"{len(found.replicas)} replicas; no decision about their places is recorded in this "
            "run, so only where they are is known"
        )
    with st.container(key="head-answer"):
        st.text(f"{words}.")


def _replica_table(run: RunView, found: Placed) -> None:
    head("Replicas")
    rows = found.replicas.rename(columns={"refused": "refused before", "gpus": "GPUs"})
    chosen = table(rows, "replicas-table", height=260, selectable=True)
    foot(
        "at the end of the run; choice: 1 is the policy's first; choose a row to read why",
        "replicas", f"{run.name}-replicas", found.replicas,
    )  # fmt: skip
    picked = list(chosen.selection.rows)
    name = str(found.replicas["replica"].iloc[picked[0] if picked else 0])
    head(f"Why {name} is there", "why")
    told = part(lambda: sentences(run, name))
    # Lines of text wrap; nothing in them is markup.
    st.text(told.reason if isinstance(told, Missing) else "\n".join(told))


def _refusals(run: RunView, found: Placed) -> None:
    head("Suggestions refused, by reason", "refused")
    if found.refusals.empty:
        why = "every replica got the place that its policy suggested first"
        absent(f"None: {why}." if found.decisions else "No decision about places is recorded.")
        return
    height = 70 + _BAR_PX * len(found.refusals)
    chart(
        reason_bars(found.refusals, "reason_code", "reason", "suggestions refused", ink(), height),
        "refusals",
        "Suggestions of the placement policy that were refused, by reason",
        "each suggestion of a place that the physics or a rule of the site did not allow",
        found.refusals,
        f"{run.name}-refusals",
    )
    table(
        found.refusals[["reason_code", "replicas", "such_as"]].rename(
            columns={"reason_code": "reason", "such_as": "such as"}
        ),
        "refusals-table",
        {"such as": st.column_config.TextColumn(width="large")},
    )


def _pods(view: View) -> None:
    found = part(lambda: pods(view))
    if isinstance(found, Missing):
        notice("bad", "The pods cannot be shown", found.reason)
        return
    _pods_answer(view, found)
    for place, (label, name) in zip(st.columns(4, gap="small"), _CARDS, strict=True):
        if name in view.metrics:
            card(place, label, view.metrics[name], "")
    with st.grid(2, min_column_width=460, key="pods"):
        with st.container(key="outcomes"):
            _outcomes(view, found)
        with st.container(key="nodes"):
            _nodes(view, found)


def _pods_answer(view: View, found: Pods) -> None:
    count = dict(zip(found.outcomes["outcome"], found.outcomes["n"], strict=True))
    without = found.outcomes[found.outcomes["outcome"] != "placed"]
    policy = view.manifest["resolved"].get("policies", {}).get("placement", {}).get("kind", "")
    words = f"{policy or 'the policy'} placed {count.get('placed', 0):,} "
    words += f"of {sum(count.values()):,} pods"
    if len(without):
        parts = ", ".join(
            f"{n:,} for {why}" for why, n in zip(without["meaning"], without["n"], strict=True)
        )
        words += f"; without a place: {parts}"
    with st.container(key="head-answer"):
        st.text(f"{words}.")


@st.fragment
def _outcomes(view: View, found: Pods) -> None:
    head("What became of pods", "became")
    height = 70 + _BAR_PX * len(found.outcomes)
    clicked = chart(
        reason_bars(found.outcomes, "outcome", "meaning", "pods", ink(), height),
        "outcomes",
        "Pods by what became of them",
        "without a place: what stood in the way on the node that came closest; click a bar",
        found.outcomes,
        f"{view.name}-outcomes",
        selection=PICKED,
    )
    outcome = _picked(clicked, "outcome") or _first_failure(found.outcomes)
    shown = part(lambda: pods_of(view, outcome))
    if isinstance(shown, Missing):
        absent(shown.reason)
        return
    table(shown.rename(columns={"gpus": "GPUs"}), "pods-table", height=240)
    more = f"the first {MOST_PODS:,} " if len(shown) == MOST_PODS else ""
    words = f"{more}pods: {reason_words(outcome)}"
    foot(words, "pods", f"{view.name}-pods-{outcome}", shown)


def _picked(clicked: Any, field: str) -> str | None:
    """What a click on a chart chose."""
    points = clicked.selection.get(PICKED, []) if clicked else []
    return str(points[0][field]) if points else None


def _first_failure(outcomes: pd.DataFrame) -> str:
    failed = [code for code in outcomes["outcome"] if code != "placed"]
    return str(failed[0] if failed else outcomes["outcome"].iloc[0])


def _nodes(view: View, found: Pods) -> None:
    head("Nodes with pods", "nodes")
    total = int(view.manifest["nodes"].get("count", 0))
    table(found.nodes.rename(columns={"gpus": "GPUs with a pod"}), "nodes-table", height=330)
    empty = f"; {total - len(found.nodes):,} of {total:,} nodes have none" if total else ""
    foot(f"at the end; pods may share a GPU{empty}", "nodes", f"{view.name}-nodes", found.nodes)


placement()
