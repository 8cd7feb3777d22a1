"""The electrical tree: its order, what each node drew against the limit in force, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dashboard.frames.bins import bin_width_s, draws, power_nodes
from dashboard.load import RunView, ask, per_run
from sim.errors import ResultError


@dataclass(frozen=True)
class Series:
    """What a node drew over time, with what limited it.

    Attributes:
        name, kind: of the node.
        frame: one row a bin: ``t_s`` (its start), ``mean_w``, ``max_w``.
        bin_s: width of a bin.
        limits: rows ``t_s``, ``limit_w``: in force from then on (NaN: none); the first is at 0.
        word: "budget" or "rating", what the limit is; "" where there is none.
        rating_w: of the node, None if none is stated or if it is the limit.
    """

    name: str
    kind: str
    frame: pd.DataFrame
    bin_s: float
    limits: pd.DataFrame
    word: str
    rating_w: float | None


def edges(run: RunView) -> pd.DataFrame:
    """``child``, ``parent``, ``share`` of the child's intake that this feed carries.

    Raises:
        ResultError: the table is unreadable.
    """
    return ask(run, "select * from power_edges order by child, parent")


@per_run
def tree(run: RunView) -> pd.DataFrame:
    """All nodes in the order of the tree, each once: a node below its first feed.

    The columns of ``power_nodes``, and ``depth`` (0 = nothing feeds it), ``feeds`` (names of what
    feeds it).

    Raises:
        ResultError: a table is unreadable, or its feeds run in a circle.
    """
    nodes = power_nodes(run)
    if nodes.empty:
        raise ResultError("the run has no power node: nothing of its power was metered")
    names = nodes.set_index("node")["name"]
    first: dict[int, int] = {}
    feeds: dict[int, list[str]] = {}
    below: dict[int, list[int]] = {}
    for child, parent in edges(run)[["child", "parent"]].itertuples(index=False):
        if child not in names.index or parent not in names.index:
            raise ResultError(f"table 'power_edges' names power node {child} or {parent}: no such")
        feeds.setdefault(child, []).append(str(names[parent]))
        if first.setdefault(child, parent) == parent:
            below.setdefault(parent, []).append(child)
    order: list[tuple[int, int]] = []
    waiting = [(int(node), 0) for node in reversed(nodes["node"]) if node not in first]
    while waiting:
        node, depth = waiting.pop()
        order.append((node, depth))
        waiting += [(child, depth + 1) for child in reversed(below.get(node, []))]
    if len(order) != len(nodes):
        raise ResultError("table 'power_edges' feeds a node in a circle")
    frame = nodes.set_index("node").loc[[node for node, _ in order]].reset_index()
    frame["depth"] = [depth for _, depth in order]
    frame["feeds"] = [feeds.get(node, []) for node, _ in order]
    return frame


def _changes(run: RunView) -> dict[str, list[tuple[float, float]]]:
    """Node → the budgets that the scenario's events give it: from when, watts."""
    found: dict[str, list[tuple[float, float]]] = {}
    for event in run.manifest["resolved"].get("events") or ():
        change = event.get("budget")
        if change:
            found.setdefault(str(change["node"]), []).append(
                (float(event["at"]), float(change["to"]))
            )
    return found


def _first_budget(run: RunView, name: str) -> float | None:
    """The budget that the scenario's ``power`` states for a node, before any event."""
    power: Mapping[str, Any] = run.manifest["resolved"].get("power") or {}
    if name == "utility":
        stated: Mapping[str, Any] = power.get("utility") or {}
    else:
        parts = [*(power.get("msbs") or ()), *(power.get("ups") or ())]
        stated = next((part for part in parts if part["name"] == name), {})
        if not stated and "-pdu-" in name:
            stated = power.get("pdus") or {}
    value = stated.get("budget")
    return None if value is None else float(value)


def limit_steps(run: RunView, node: Mapping[str, Any]) -> pd.DataFrame:
    """The limit of a node of ``tree`` over time: ``t_s``, ``limit_w`` in force from then on (NaN:
    none); the first is at 0. It is the budget, else the rating, as everywhere in rackplan."""
    changes = _changes(run).get(str(node["name"]))
    if not changes:
        return pd.DataFrame({"t_s": [0.0], "limit_w": [float(node["limit_w"])]})
    first = _first_budget(run, str(node["name"]))
    rows = [(0.0, float(node["rating_w"]) if first is None else first), *sorted(changes)]
    return pd.DataFrame(rows, columns=["t_s", "limit_w"])


@per_run
def loads(run: RunView) -> pd.DataFrame:
    """All nodes but servers in each bin: ``node``, ``t_s``, ``mean_w``, ``max_w``, ``limit_w`` (in
    force at the bin's start; NaN: none) and ``share`` (max_w of it).

    Raises:
        ResultError: see ``tree``, ``draws``.
    """
    nodes = tree(run)
    nodes = nodes[nodes["kind"] != "server"]
    return _against(run, nodes, draws(run, [int(node) for node in nodes["node"]]))


def _against(run: RunView, nodes: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    frame["limit_w"] = frame["node"].map(nodes.set_index("node")["limit_w"]).astype(float)
    changed = _changes(run)
    for node in nodes[nodes["name"].isin(list(changed))].to_dict("records"):
        mine = frame["node"] == node["node"]
        steps = limit_steps(run, node)
        place = np.searchsorted(steps["t_s"], frame.loc[mine, "t_s"], side="right") - 1
        frame.loc[mine, "limit_w"] = steps["limit_w"].to_numpy()[place]
    frame["share"] = frame["max_w"] / frame["limit_w"]
    return frame


@per_run
def peaks(run: RunView) -> pd.DataFrame:
    """Of each node but servers the bin in which it came nearest to its limit, or drew most where
    it has none: as ``loads``, one row a node."""
    frame = loads(run)
    rank = frame["share"].fillna(-1.0)
    frame = frame.assign(rank=rank).sort_values(
        ["node", "rank", "max_w", "t_s"], ascending=[True, False, False, True]
    )
    return frame.drop(columns="rank").groupby("node", as_index=False).first()


def at_moment(run: RunView, t_s: float) -> pd.DataFrame:
    """``loads`` in the bin that starts at ``t_s``."""
    frame = loads(run)
    return frame[(frame["t_s"] - t_s).abs() < 0.5 * bin_width_s(run)].reset_index(drop=True)


def first_moment(run: RunView) -> float:
    """What the pages show first: when a node came nearest to its limit, or when the most was
    drawn where none has a limit; 0 where nothing was metered.

    Raises:
        ResultError: see ``peaks``.
    """
    frame = peaks(run)
    if frame.empty:
        return 0.0
    column = "share" if frame["share"].notna().any() else "max_w"
    return float(frame.loc[frame[column].idxmax(), "t_s"])


@per_run
def some_draws(run: RunView, nodes: tuple[int, ...]) -> pd.DataFrame:
    """``bins.draws`` of a few nodes."""
    return draws(run, list(nodes))


def series(run: RunView, name: str) -> Series:
    """A node's draw over time with its limits.

    Raises:
        ResultError: no such node, it was not metered, or a table is unreadable.
    """
    nodes = tree(run)
    found = nodes[nodes["name"] == name]
    if found.empty:
        raise ResultError(f"the run has no power node {name!r}")
    node = found.iloc[0]
    index = int(node["node"])
    if node["kind"] == "server":
        frame = some_draws(run, (index,))
    else:
        frame = loads(run)
        frame = frame[frame["node"] == index].reset_index(drop=True)
    frame = frame[["t_s", "mean_w", "max_w"]]
    if frame.empty:
        raise ResultError(f"the draw of {name} was not recorded")
    steps = limit_steps(run, node.to_dict())
    word = ""
    if steps["limit_w"].notna().any():
        budget = not np.isnan(node["budget_w"]) or len(steps) > 1
        word = "budget" if budget else "rating"
    rating = float(node["rating_w"])
    return Series(
        name=name,
        kind=str(node["kind"]),
        frame=frame,
        bin_s=bin_width_s(run),
        limits=steps,
        word=word,
        rating_w=None if np.isnan(rating) or word == "rating" else rating,
    )
