"""Floor: what each rack draws, gives off and holds, and which is hot, idle or stranded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashboard.frames.bins import bin_width_s, power_nodes
from dashboard.frames.site import occupants, racks
from dashboard.frames.tree import loads, some_draws
from dashboard.load import RunView, ask, per_run

#: A rack counts as idle when its GPUs were outside iterations for so much of the window.
IDLE = 0.9


@dataclass(frozen=True)
class Hottest:
    """The rack that came nearest to its limit in [0, end), in the bin that starts at ``t_s``."""

    rack: str
    t_s: float
    peak_w: float
    limit_w: float

    @property
    def share(self) -> float:
        """Of its limit, 1 = all."""
        return self.peak_w / self.limit_w


@per_run
def rack_draws(run: RunView) -> pd.DataFrame:
    """What all racks drew in each bin: ``rack``, ``t_s``, ``mean_w``, ``max_w``.

    Racks that were not metered are not in it.

    Raises:
        RackplanError: see ``racks``, ``draws``.
    """
    floor = racks(run)
    names = floor.loc[floor["node"] >= 0].set_index("node")["rack"]
    frame = loads(run)
    frame = frame[frame["node"].isin(names.index)]
    frame = frame.assign(rack=frame["node"].map(names)).reset_index(drop=True)
    return frame[["rack", "t_s", "mean_w", "max_w"]]


@per_run
def hottest(run: RunView) -> Hottest | None:
    """The rack that came nearest to its limit; None where none was metered or has a limit.

    Raises:
        RackplanError: see ``rack_draws``.
    """
    frame = rack_draws(run).merge(racks(run)[["rack", "limit_w"]], on="rack")
    share = (frame["max_w"] / frame["limit_w"]).to_numpy(dtype=float)
    if not np.isfinite(share).any():
        return None
    first = frame.iloc[int(np.nanargmax(share))]
    return Hottest(
        str(first["rack"]), float(first["t_s"]), float(first["max_w"]), float(first["limit_w"])
    )


@per_run
def held(run: RunView) -> pd.DataFrame:
    """What each rack holds, in site order: ``rack``, ``gpus``, ``taken`` (GPUs with a replica at
    the end of the run), ``tenants`` (names, by GPUs), ``idle`` (share of the GPU-seconds of the
    window outside iterations; NaN where the window is empty) and ``stranded_w`` (the part of its
    limit that stands behind GPUs without a replica; NaN without a limit).

    Raises:
        RackplanError: see ``racks``, ``occupants``.
    """
    floor = racks(run)[["rack", "gpus", "limit_w"]]
    there = occupants(run)
    there["busy_gpu_s"] = there["busy_s"] * there["gpus"]
    sums = there.groupby("rack")[["gpus", "busy_gpu_s"]].sum()
    floor["taken"] = floor["rack"].map(sums["gpus"]).fillna(0).astype(int)
    by_size = there.groupby(["rack", "tenant"], as_index=False)["gpus"].sum()
    by_size = by_size.sort_values(["gpus", "tenant"], ascending=[False, True])
    names = by_size.groupby("rack")["tenant"].agg(list)
    floor["tenants"] = [names.get(rack, []) for rack in floor["rack"]]
    seconds = max(0.0, run.end_s - run.warm_up_s)
    offered = floor["gpus"] * seconds
    busy = floor["rack"].map(sums["busy_gpu_s"]).fillna(0.0)
    floor["idle"] = (1.0 - busy / offered.where(offered > 0.0)).clip(lower=0.0)
    floor["stranded_w"] = floor["limit_w"] * (floor["gpus"] - floor["taken"]) / floor["gpus"]
    return floor.drop(columns="limit_w")


def at_moment(run: RunView, t_s: float) -> pd.DataFrame:
    """What each rack did in the bin that starts at ``t_s``, in site order.

    All columns of ``racks``, and ``mean_w``, ``max_w``, ``air_w``, ``liquid_w`` (heat, of the mean
    draw); NaN where a rack was not metered.

    Raises:
        RackplanError: see ``rack_draws``.
    """
    everywhere = rack_draws(run)
    # The bins' starts are multiples of their width in floating point.
    near = (everywhere["t_s"] - t_s).abs() < 0.5 * bin_width_s(run)
    now = everywhere[near].set_index("rack")
    frame = racks(run)
    for column in ("mean_w", "max_w"):
        frame[column] = now[column].reindex(frame["rack"]).to_numpy(dtype=float)
    frame["liquid_w"] = frame["mean_w"] * frame["liquid_share"]
    frame["air_w"] = frame["mean_w"] - frame["liquid_w"]
    return frame


def most_heat(run: RunView, into: str) -> float:
    """The most heat in W that a rack gave off into "air" or "liquid" in any bin; 0 of none."""
    frame = rack_draws(run).merge(racks(run)[["rack", "liquid_share"]], on="rack")
    share = frame["liquid_share"] if into == "liquid" else 1.0 - frame["liquid_share"]
    heat = (frame["mean_w"] * share).dropna()
    return float(heat.max()) if len(heat) else 0.0


def servers_of(run: RunView, rack: str, t_s: float) -> pd.DataFrame:
    """A rack's servers in the bin from ``t_s``: ``name``, ``mean_w``, ``max_w``, ``limit_w``.

    Raises:
        ResultError: a table is unreadable.
    """
    nodes = power_nodes(run)
    index = nodes.loc[(nodes["kind"] == "rack") & (nodes["name"] == rack), "node"]
    below = ask(
        run,
        "select child from power_edges where parent = $rack",
        rack=int(index.iloc[0]) if len(index) else -1,
    )["child"]
    mine = nodes[nodes["node"].isin(below)].reset_index(drop=True)
    wanted = tuple(int(node) for node in mine["node"])
    if not wanted:
        return mine[["name", "limit_w"]].assign(mean_w=[], max_w=[])
    drawn = some_draws(run, wanted)
    now = drawn[(drawn["t_s"] - t_s).abs() < 0.5 * bin_width_s(run)].set_index("node")
    for column in ("mean_w", "max_w"):
        mine[column] = now[column].reindex(mine["node"]).to_numpy(dtype=float)
    return mine[["name", "mean_w", "max_w", "limit_w"]]


def replicas_of(run: RunView, rack: str) -> pd.DataFrame:
    """The replicas that have GPUs in a rack at the end of the run, as ``occupants``, and ``busy``:
    the share of the window that each was in iterations (NaN of an empty window).

    Raises:
        RackplanError: see ``occupants``.
    """
    mine = occupants(run)
    mine = mine[mine["rack"] == rack].reset_index(drop=True)
    seconds = run.end_s - run.warm_up_s
    mine["busy"] = mine["busy_s"] / seconds if seconds > 0.0 else np.nan
    return mine
