"""The meters of the reference plane, read at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from sim.engine.meter_tables import Readings
from sim.engine.meters import BLOCKS, HELD, SEQUENCES, TOKENS, ReplicaMeters, WorkloadMeters
from sim.engine.power_meter import PowerMeter


def readings(
    meters: Sequence[ReplicaMeters], charges: WorkloadMeters, power: PowerMeter
) -> Readings:
    """Every meter at the end of the run."""
    nodes = power.nodes
    return Readings(
        replicas={
            "busy_s": [m.busy.window for m in meters],
            "cap_bound_s": [m.cap_bound.window for m in meters],
            "kv_token_s": [m.kv_tokens.window for m in meters],
            "waiting_s": [m.waiting.window for m in meters],
            "running_s": [m.running.window for m in meters],
            "blocked_blocks_s": [m.blocked[BLOCKS].window for m in meters],
            "blocked_sequences_s": [m.blocked[SEQUENCES].window for m in meters],
            "blocked_tokens_s": [m.blocked[TOKENS].window for m in meters],
            "blocked_held_s": [m.blocked[HELD].window for m in meters],
            "energy_mj": [m.draw.window for m in meters],
            "iterations": [m.iterations for m in meters],
            "prefill_tokens": [m.prefill_tokens for m in meters],
            "decode_tokens": [m.decode_tokens for m in meters],
            "preemptions": [m.preemptions for m in meters],
        },
        workload_energy_mj=charges.window_mj,
        workload_tokens=charges.window_delivered,
        node_energy_mj=[node.energy.window for node in nodes],
        node_judged_mj=[node.mean.window for node in nodes],
        node_peak_mw=[node.window_peak_mw for node in nodes],
        node_over_s=[node.over.window for node in nodes],
        node_total_mj=[node.energy.total for node in nodes],
    )
