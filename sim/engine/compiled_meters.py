"""The meters of the compiled plane, read at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from sim.engine.meter_tables import Readings
from sim.kernels.power_state import node_meters
from sim.kernels.state import State


def readings(state: State, window: Mapping[str, NDArray[Any]]) -> Readings:
    """Every meter at the end of the run."""
    blocked = ("blocked_blocks_s", "blocked_sequences_s", "blocked_tokens_s", "blocked_held_s")
    nodes = node_meters(state.power)
    return Readings(
        replicas={name: window[name] for name in ("busy_s", "cap_bound_s")}
        | {name: window[name] for name in ("kv_token_s", "waiting_s", "running_s")}
        | {name: window[name] for name in blocked}
        | {"energy_mj": window["energy_mj"]}
        | {
            name: state.replica[name].copy()
            for name in ("iterations", "prefill_tokens", "decode_tokens", "preemptions")
        },
        workload_energy_mj=window["workload_energy_mj"],
        workload_tokens=window["workload_delivered"],
        node_energy_mj=nodes.energy_mj,
        node_judged_mj=nodes.judged_mj,
        node_peak_mw=nodes.peak_mw,
        node_over_s=nodes.over_s,
        node_total_mj=nodes.energy_total_mj,
    )
