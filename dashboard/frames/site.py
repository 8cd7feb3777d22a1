"""The floor as the scenario states it: which rack stands where, and whose replicas are in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dashboard.frames.bins import power_nodes
from dashboard.load import RunView, ask, per_run
from sim.errors import ResultError
from sim.site.build import build_site
from sim.site.types import HallPlan, RowPlan, Site

#: Racks of one row that stand in one line of the picture; longer rows are folded evenly.
LINE = 20


def site_of(run: RunView) -> Site:
    """The run's halls, rows, racks, nodes and GPUs, built again from its resolved scenario.

    Raises:
        RackplanError: the scenario in the manifest cannot be built, or this version's catalog
            builds another number of GPUs than the run had.
    """
    stated = run.manifest["resolved"]["site"]["halls"]
    site = build_site(
        [
            HallPlan(
                str(hall["name"]),
                tuple(
                    RowPlan(
                        str(row["name"]),
                        tuple((str(part["type"]), int(part["count"])) for part in row["racks"]),
                    )
                    for row in hall["rows"]
                ),
            )
            for hall in stated
        ]
    )
    had = int(run.manifest["site"]["gpus"])
    if site.gpus != had:
        raise ResultError(
            f"the run had {had:,} GPUs, but its racks have {site.gpus:,} in the catalog of this "
            "version of rackplan: show it with the version that made it"
        )
    return site


@per_run
def racks(run: RunView) -> pd.DataFrame:
    """All racks in site order, one row each.

    Columns: ``rack``, ``hall``, ``row``, ``place`` (in its row, from 1), ``line`` (label of its
    line in the picture), ``column`` (in that line, from 0), ``type``, ``nodes``, ``gpus``,
    ``liquid_share``, ``air_limit_w`` and ``liquid_limit_w`` (of heat, its hall's; NaN = none),
    ``node`` (index of its power node; -1 = none) and ``limit_w`` of that (NaN = none).

    Raises:
        RackplanError: see ``site_of``, ``power_nodes``.
    """
    site = site_of(run)
    row_of, count = site.rack_row, len(site.rack_names)
    hall_of = site.row_hall[row_of]
    place = np.arange(count) - np.searchsorted(row_of, row_of) + 1
    in_row = np.bincount(row_of)[row_of]
    folds = -(-in_row // LINE)
    width = -(-in_row // folds)
    fold = (place - 1) // width
    gpus = np.bincount(site.node_rack[site.gpu_node], minlength=count)
    frame = pd.DataFrame(
        {
            "rack": site.rack_names,
            "hall": [site.hall_names[hall] for hall in hall_of],
            "row": [site.row_names[row] for row in row_of],
            "place": place,
            "line": [
                _line_name(site.row_names[row], int(parts), int(part * wide), int(many))
                if parts > 1
                else site.row_names[row]
                for row, parts, part, wide, many in zip(
                    row_of, folds, fold, width, np.minimum((fold + 1) * width, in_row), strict=True
                )
            ],
            "column": (place - 1) % width,
            "type": [kind.name for kind in site.rack_types],
            "nodes": np.bincount(site.node_rack, minlength=count),
            "gpus": gpus,
            "liquid_share": [kind.liquid_share for kind in site.rack_types],
        }
    )
    limits = [hall.get("limits") or {} for hall in run.manifest["resolved"]["site"]["halls"]]
    for column, key in (("air_limit_w", "rack_air_heat"), ("liquid_limit_w", "rack_liquid_heat")):
        frame[column] = [_watts(limits[hall], key) for hall in hall_of]
    nodes = power_nodes(run)
    fed = nodes[nodes["kind"] == "rack"].set_index("name")
    found = fed.reindex(frame["rack"])
    frame["node"] = found["node"].fillna(-1).astype(int).to_numpy()
    frame["limit_w"] = found["limit_w"].to_numpy(dtype=float)
    return frame


def _line_name(row: str, parts: int, before: int, last: int) -> str:
    return f"{row} {before + 1}–{last}" if parts > 1 else row


def _watts(limits: Mapping[str, Any], key: str) -> float:
    value = limits.get(key)
    return np.nan if value is None else float(value)


@per_run
def occupants(run: RunView) -> pd.DataFrame:
    """What of a rack each replica has, at the end of the run: one row per replica and rack.

    Columns: ``replica``, ``pool``, ``tenant`` (the pool where it has none), ``rack`` (name),
    ``gpus`` (there), ``busy_s`` (of the replica: seconds in iterations over the window),
    ``decode_tokens`` and ``energy_j`` (of the replica). A replica without a place has no row.

    Raises:
        RackplanError: a table is unreadable, or names a GPU that the site does not have.
    """
    site = site_of(run)
    sql = "select replica, pool, gpus, busy_s, decode_tokens, energy_j from replicas"
    found = ask(run, sql)
    found["gpu"] = found.pop("gpus").fillna("").str.split()
    each = found.explode("gpu").dropna(subset="gpu")
    index = each["gpu"].astype(np.int64).to_numpy()
    if len(index) and not 0 <= index.min() <= index.max() < site.gpus:
        raise ResultError(f"table 'replicas' names GPU {index.max()} of {site.gpus}")
    each["rack"] = np.array(site.rack_names)[site.node_rack[site.gpu_node[index]]]
    each["gpus"] = 1
    whole = each.groupby(["replica", "rack"], sort=False, as_index=False).agg(
        pool=("pool", "first"), gpus=("gpus", "sum"), busy_s=("busy_s", "first"),
        decode_tokens=("decode_tokens", "first"), energy_j=("energy_j", "first"),
    )  # fmt: skip
    whole.insert(2, "tenant", whole["pool"].map(tenants(run)).fillna(whole["pool"]))
    return whole


def tenants(run: RunView) -> dict[str, str]:
    """Pool → whose replicas it has: its tenant, or the pool itself where none is stated."""
    return {
        str(pool["name"]): str(pool.get("tenant") or pool["name"])
        for pool in run.manifest["resolved"]["pools"]
    }
