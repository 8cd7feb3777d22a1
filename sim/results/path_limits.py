"""Whether users are too far away: misses by no more than the way to the pool and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from sim.results.bins import latency_middles
from sim.results.limit import TOUCH, Limit
from sim.results.result import RunResult
from sim.results.wording import percent
from sim.units import format_si

#: Objectives that both ways count for.
_FAMILIES = ("ttft", "e2e")


def paths_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Workload → its ``kinds``, ``ingress_s`` and ``egress_s``, for those that have a path."""
    resolved = manifest.get("resolved") or {}
    workloads = resolved.get("workload") if isinstance(resolved, dict) else None
    return {
        workload["name"]: workload["path"]
        for workload in (workloads if isinstance(workloads, list) else ())
        if workload.get("path")
    }


def path_limits(result: RunResult) -> Iterator[Limit]:
    """The path of each workload and each objective that it takes a part of.

    It comes before others where no request could meet the objective, however fast the pool.
    """
    paths = paths_of(result.manifest)
    for workload in result.manifest["workloads"]:
        path = paths.get(workload["name"])
        if path is None:
            continue
        both_s = path["ingress_s"] + path["egress_s"]
        for family in _FAMILIES:
            objective_s = workload["objectives"].get(family)
            if objective_s is not None and both_s > 0.0:
                yield _path(result, workload["name"], family, objective_s, both_s)


def _path(result: RunResult, name: str, family: str, objective_s: float, both_s: float) -> Limit:
    share = _missed_by(result, name, family, objective_s, both_s)
    word = family.upper()
    return Limit(
        kind="path",
        entity=name,
        binds=share >= TOUCH,
        share=share,
        use=both_s / objective_s,
        sentence=f"path of {name}: {format_si(both_s, 's')} of its {word} objective of "
        f"{format_si(objective_s, 's')} go to the way to the pool and back, and {percent(share)} "
        "of its requests missed it by no more than that",
        label=f"the path of {name} (of its {word} objective)",
        outranks=both_s >= objective_s and share >= TOUCH,
    )


def _missed_by(
    result: RunResult, name: str, family: str, objective_s: float, both_s: float
) -> float:
    """Share of a workload's arrivals above an objective by at most ``both_s``, by bins."""
    arrivals = result.metrics[f"{name}.arrivals"].value
    rows = result.tables["summary/latency"]
    mine = pc.and_(
        pc.equal(rows.column("workload"), name),
        pc.and_(rows.column("measured"), pc.equal(rows.column("metric"), family)),
    )
    rows = rows.filter(mine)
    if not arrivals or rows.num_rows == 0:
        return 0.0
    middles_s = latency_middles(rows.column("bin").to_numpy().astype(np.int64))
    missed = (middles_s > objective_s) & (middles_s <= objective_s + both_s)
    return float(rows.column("n").to_numpy()[missed].sum() / arrivals)
