"""The tables of meters, written once at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from sim.engine.meters import WorkloadMeters
from sim.engine.power_meter import PowerMeter
from sim.engine.recorder import Recorder
from sim.engine.replica import Replica
from sim.engine.world import World

_MILLI = 1e-3


def write_meters(
    recorder: Recorder,
    world: World,
    replicas: Sequence[Replica],
    power: PowerMeter,
    charges: WorkloadMeters,
    end_s: float,
) -> None:
    """Write ``replicas``, ``workloads``, ``power_nodes`` and ``power_edges`` at ``end_s``."""
    _write_replicas(recorder, world, replicas)
    scenario = world.scenario
    recorder.write(
        "workloads",
        {
            "workload": [workload.name for workload in scenario.workloads],
            "pool": [workload.pool for workload in scenario.workloads],
            "energy_j": [energy_mj * _MILLI for energy_mj in charges.window_mj],
            "delivered_tokens": charges.window_delivered,
        },
    )
    measured_s = min(scenario.duration_s, end_s) - scenario.warm_up_s
    _write_power(recorder, world, power, measured_s)


def _write_replicas(recorder: Recorder, world: World, replicas: Sequence[Replica]) -> None:
    site = world.scenario.site
    meters = [replica.meters for replica in replicas]
    blocked = [[m.blocked[reason].window for m in meters] for reason in range(3)]
    recorder.write(
        "replicas",
        {
            "replica": [replica.index for replica in replicas],
            "pool": [world.scenario.pools[placed.pool].name for placed in world.replicas],
            "gpu": [placed.model.gpu for placed in world.replicas],
            "gpus": [" ".join(map(str, placed.gpus)) for placed in world.replicas],
            "node": [
                " ".join(site.node_names[server] for server, _ in placed.servers)
                for placed in world.replicas
            ],
            "kv_blocks": [placed.model.kv_blocks for placed in world.replicas],
            "busy_s": [m.busy.window for m in meters],
            "iterations": [m.iterations for m in meters],
            "prefill_tokens": [m.prefill_tokens for m in meters],
            "decode_tokens": [m.decode_tokens for m in meters],
            "preemptions": [m.preemptions for m in meters],
            "energy_j": [m.draw.window * _MILLI for m in meters],
            "kv_token_s": [m.kv_tokens.window for m in meters],
            "waiting_s": [m.waiting.window for m in meters],
            "running_s": [m.running.window for m in meters],
            "blocked_blocks_s": blocked[0],
            "blocked_sequences_s": blocked[1],
            "blocked_tokens_s": blocked[2],
        },
    )


def _write_power(recorder: Recorder, world: World, power: PowerMeter, measured_s: float) -> None:
    """A run that was stopped before the window opened has measured nothing: null, not zero."""
    tree = world.scenario.power
    measured = measured_s > 0.0
    meters = power.nodes
    losses = [node.loss for node in tree.nodes]
    recorder.write(
        "power_nodes",
        {
            "node": list(range(len(meters))),
            "name": [node.name for node in tree.nodes],
            "kind": [node.kind for node in tree.nodes],
            "rating_w": [node.rating_w for node in tree.nodes],
            "budget_w": [node.budget_w for node in tree.nodes],
            "limit_w": [m.limit_mw * _MILLI if m.limit_mw is not None else None for m in meters],
            "loss_rating_w": [loss and loss.rating_w for loss in losses],
            "loss_a": [loss and loss.a for loss in losses],
            "loss_b": [loss and loss.b for loss in losses],
            "loss_c": [loss and loss.c for loss in losses],
            "energy_j": [m.energy.window * _MILLI if measured else None for m in meters],
            "mean_w": [m.mean.window * _MILLI / measured_s if measured else None for m in meters],
            "peak_w": [m.window_peak_mw * _MILLI if measured else None for m in meters],
            "over_limit_s": [
                m.over.window if measured and m.limit_mw is not None else None for m in meters
            ],
            "energy_total_j": [m.energy.total * _MILLI for m in meters],
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
