"""Power: which nodes were over or near their limits, what flows, what controllers did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashboard.frames.bins import bin_width_s
from dashboard.frames.events import bands
from dashboard.frames.tree import at_moment, edges, peaks, tree
from dashboard.load import RunView, ask

#: Bars of the ladder: all nodes above the racks as far as there is room, then the fullest racks.
_ABOVE, _BARS, _LEAST_RACKS, _MOST_RACKS = 16, 20, 4, 10


@dataclass(frozen=True)
class Over:
    """A node that drew more than its limit in [0, end).

    Attributes:
        name: of the node.
        peak_w, limit_w: at its worst.
        seconds, times: above the limit, in all.
        longest_s, longest_at_s: the longest stretch, and its start.
        first_s, last_s: start of the first stretch, end of the last.
    """

    name: str
    peak_w: float
    limit_w: float
    seconds: float
    times: int
    longest_s: float
    longest_at_s: float
    first_s: float
    last_s: float


_OVER = """
    select node, arg_max(peak_mw, peak_mw / limit_mw) / 1000.0 as peak_w,
           arg_max(limit_mw, peak_mw / limit_mw) / 1000.0 as limit_w,
           sum(least(end_s, $end) - start_s) as seconds, count(*) as times,
           max(least(end_s, $end) - start_s) as longest_s,
           arg_max(start_s, least(end_s, $end) - start_s) as longest_at_s,
           min(start_s) as first_s, max(least(end_s, $end)) as last_s
    from over_limit where start_s < $end group by node
    order by max(peak_mw / limit_mw) desc, node
"""


def over(run: RunView) -> list[Over]:
    """Nodes that were above their limit, the worst first.

    Raises:
        ResultError: a table is unreadable.
    """
    names = tree(run).set_index("node")["name"]
    found = ask(run, _OVER, end=run.end_s)
    return [
        Over(str(names[row["node"]]), row["peak_w"], row["limit_w"], row["seconds"],
             int(row["times"]), row["longest_s"], row["longest_at_s"], row["first_s"],
             row["last_s"])
        for row in found.to_dict("records")
    ]  # fmt: skip


@dataclass(frozen=True)
class Ladder:
    """The bars of the ladder.

    Attributes:
        frame: in the order of the tree: ``node``, ``name``, ``kind``, ``depth``, ``feeds``,
            ``rating_w``, ``budget_w``, ``t_s``, ``mean_w``, ``max_w``, ``limit_w``, ``share``,
            ``note`` ("failed" or the like, what the node was then; "").
        more: nodes above the racks, and racks, that are left out.
        fullest: highest share that one of those left out reached; None of none.
    """

    frame: pd.DataFrame
    more: tuple[int, int]
    fullest: float | None


def ladder(
    run: RunView, t_s: float | None, also: str = "", said: Mapping[str, str] | None = None
) -> Ladder:
    """Nodes against their limits in the bin from ``t_s``, or each at its own peak (None).

    The fullest ones by their peaks, so that the choice does not change with the moment; and the
    node ``also``. ``said``: what nodes were then (``notes``).

    Raises:
        ResultError: a table is unreadable.
    """
    nodes = tree(run)
    nodes = nodes[nodes["kind"] != "server"]
    highest = peaks(run).set_index("node")["share"]
    rank = nodes["node"].map(highest).fillna(-1.0).to_numpy()
    is_rack = (nodes["kind"] == "rack").to_numpy()
    order = np.argsort(-rank, kind="stable")
    above = [place for place in order if not is_rack[place]][:_ABOVE]
    racks = [place for place in order if is_rack[place]]
    racks = racks[: min(_MOST_RACKS, max(_LEAST_RACKS, _BARS - len(above)))]
    shown = np.zeros(len(nodes), bool)
    shown[[*above, *racks]] = True
    shown |= (nodes["name"] == also).to_numpy()
    left = ~shown
    values = peaks(run) if t_s is None else at_moment(run, t_s)
    frame = nodes.loc[shown, ["node", "name", "kind", "depth", "feeds", "rating_w", "budget_w"]]
    frame = frame.merge(values, on="node", how="left")
    frame["note"] = [(said or {}).get(name, "") for name in frame["name"]]
    fullest = float(rank[left].max()) if left.any() else -1.0
    return Ladder(
        frame,
        (int((left & ~is_rack).sum()), int((left & is_rack).sum())),
        fullest if fullest >= 0.0 else None,
    )


def notes(run: RunView, t_s: float) -> dict[str, str]:
    """Node → the states that it was in for some of the bin from ``t_s``."""
    found = bands(run)
    here = found[(found["start_s"] < t_s + bin_width_s(run)) & (found["end_s"] > t_s)]
    return {
        str(entity): ", ".join(dict.fromkeys(mine["state"]))
        for entity, mine in here.groupby("entity")
    }


def flows(run: RunView, t_s: float) -> pd.DataFrame:
    """What each feed carried in the bin from ``t_s``: ``parent``, ``child``, ``w``.

    A child takes in what it delivers and its own loss (rating · (a + b·x + c·x²), x its share of
    that rating), of which each feed carries its share; one whose feed was dead, by the others'.
    """
    nodes = tree(run).set_index("node")
    now = at_moment(run, t_s).set_index("node")["mean_w"]
    wires = edges(run)
    wires = wires[wires["child"].isin(now.index) & wires["parent"].isin(now.index)].copy()
    out = wires["child"].map(now)
    of = wires["child"].map(nodes["loss_rating_w"])
    a, b, c = (wires["child"].map(nodes[f"loss_{letter}"]) for letter in "abc")
    loss = (of * (a + b * (out / of) + c * (out / of) ** 2)).fillna(0.0)
    intake = (out + loss).where(out > 0.0, 0.0)
    share = wires["share"].where(wires["parent"].map(now) > 0.0, 0.0)
    whole = share.groupby(wires["child"]).transform("sum")
    wires["w"] = intake * (share / whole.where(whole > 0.0)).fillna(0.0)
    return wires[["parent", "child", "w"]].reset_index(drop=True)


def standby(run: RunView) -> list[tuple[str, str]]:
    """Feeds that carry nothing while the others live: (what feeds, what is fed), by name."""
    power = run.manifest["resolved"].get("power") or {}
    boards = [str(part["name"]) for part in power.get("msbs") or ()]
    found = [
        (str(part["name"]), str(fed))
        for part in power.get("generators") or ()
        for fed in (part.get("feeds") or boards)
    ]
    found += [
        (str(part["reserve"]), str(part["name"]))
        for part in power.get("ups") or ()
        if part.get("reserve")
    ]
    return found
