"""The tables of meters, written once at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine.limits import Limits
from sim.engine.recorder import Recorder
from sim.engine.world import PlacedReplica, World

_MILLI = 1e-3

Values = Sequence[float] | NDArray[Any]


@dataclass(frozen=True)
class Readings:
    """Every meter of an engine at the end of a run; [n] each, milliwatts and millijoules.

    Attributes:
        replicas: by column of the ``replicas`` table, ``energy_mj`` for ``energy_j``: over the
            window, but iterations, tokens and preemptions over the whole run.
        workload_energy_mj, workload_tokens: charged and delivered in the window.
        node_energy_mj, node_judged_mj, node_peak_mw, node_over_s: of power nodes in the window:
            intake; what is compared with the limit; its peak; time above the limit.
        node_total_mj: intake over the whole run.
    """

    replicas: Mapping[str, Values]
    workload_energy_mj: Values
    workload_tokens: Values
    node_energy_mj: Values
    node_judged_mj: Values
    node_peak_mw: Values
    node_over_s: Values
    node_total_mj: Values


def write_meters(
    recorder: Recorder,
    world: World,
    placed: Sequence[PlacedReplica],
    readings: Readings,
    limits: Limits,
    end_s: float,
) -> None:
    """Write ``replicas``, ``workloads``, ``power_nodes`` and ``power_edges`` at ``end_s``.

    ``placed``: every replica where it is then.
    """
    _write_replicas(recorder, world, placed, readings)
    scenario = world.scenario
    recorder.write(
        "workloads",
        {
            "workload": [workload.name for workload in scenario.workloads],
            "pool": [workload.pool for workload in scenario.workloads],
            "energy_j": np.asarray(readings.workload_energy_mj) * _MILLI,
            "delivered_tokens": readings.workload_tokens,
        },
    )
    measured_s = min(scenario.duration_s, end_s) - scenario.warm_up_s
    _write_power(recorder, world, readings, limits, measured_s)


def _write_replicas(
    recorder: Recorder, world: World, replicas: Sequence[PlacedReplica], readings: Readings
) -> None:
    site = world.scenario.site
    meters = dict(readings.replicas)
    energy_mj = meters.pop("energy_mj")
    recorder.write(
        "replicas",
        {
            "replica": list(range(len(replicas))),
            "pool": [world.scenario.pools[placed.pool].name for placed in replicas],
            "gpu": [placed.model.gpu for placed in replicas],
            "gpus": [" ".join(map(str, placed.gpus)) for placed in replicas],
            "node": [
                " ".join(site.node_names[server] for server, _ in placed.servers)
                for placed in replicas
            ],
            "kv_blocks": [placed.model.kv_blocks for placed in replicas],
            "energy_j": np.asarray(energy_mj) * _MILLI,
            **meters,
        },
    )


def _write_power(
    recorder: Recorder, world: World, readings: Readings, limits: Limits, measured_s: float
) -> None:
    """A run that was stopped before the window opened has measured nothing: null, not zero."""
    tree = world.scenario.power
    measured = measured_s > 0.0
    losses = [node.loss for node in tree.nodes]
    peaks_mw = np.asarray(readings.node_peak_mw).tolist()
    near = [limits.nearest(node, peak_mw) for node, peak_mw in enumerate(peaks_mw)]
    limits_w = [None if one.limit_mw is None else one.limit_mw * _MILLI for one in near]
    nothing = [None] * len(tree.nodes)
    recorder.write(
        "power_nodes",
        {
            "node": list(range(len(tree.nodes))),
            "name": [node.name for node in tree.nodes],
            "kind": [node.kind for node in tree.nodes],
            "rating_w": [node.rating_w for node in tree.nodes],
            "budget_w": [
                limit_w if one.changed else node.budget_w
                for node, one, limit_w in zip(tree.nodes, near, limits_w, strict=True)
            ],
            "limit_w": limits_w,
            "loss_rating_w": [loss and loss.rating_w for loss in losses],
            "loss_a": [loss and loss.a for loss in losses],
            "loss_b": [loss and loss.b for loss in losses],
            "loss_c": [loss and loss.c for loss in losses],
            "energy_j": np.asarray(readings.node_energy_mj) * _MILLI if measured else nothing,
            "mean_w": (
                np.asarray(readings.node_judged_mj) * _MILLI / measured_s if measured else nothing
            ),
            "peak_w": [one.peak_mw * _MILLI for one in near] if measured else nothing,
            "nearest_w": [one.draw_mw * _MILLI for one in near] if measured else nothing,
            "over_limit_s": [
                float(over_s) if measured and limit_w is not None else None
                for over_s, limit_w in zip(readings.node_over_s, limits_w, strict=True)
            ],
            "energy_total_j": np.asarray(readings.node_total_mj) * _MILLI,
        },
    )
    recorder.write(
        "power_edges",
        {
            "child": [child for child, _, _ in tree.edges],
            "parent": [parent for _, parent, _ in tree.edges],
            "share": [share / 256 for _, _, share in tree.edges],
        },
    )
