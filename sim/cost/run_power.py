"""Where a run's power went on average, from its tables: means over the measurement window, W."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sim import catalog
from sim.errors import ResultError

if TYPE_CHECKING:
    from sim.results.result import RunResult

#: Gear whose losses are told apart.
_LOSSY = ("msb", "ups", "pdu", "server")


@dataclass(frozen=True)
class RunPower:
    """Mean powers of one run, W.

    What was drawn: ``site_w`` from utility and generators; of it ``cooling_w``, ``losses_w`` by
    kind of gear, ``rest_w`` by servers without their GPUs, ``parked_w`` by GPUs without a replica,
    ``idling_w`` by replicas between iterations, and ``missed_w`` for requests that missed.

    What was not drawn of the GPUs' TDP: ``unallocated_w`` of GPUs without a replica, ``idle_w`` of
    replicas between iterations, ``clocked_w`` and ``bound_w`` while iterations ran.
    """

    site_w: float
    cooling_w: float
    losses_w: Mapping[str, float]
    rest_w: float
    parked_w: float
    idling_w: float
    missed_w: float
    unallocated_w: float
    idle_w: float
    clocked_w: float
    bound_w: float

    @classmethod
    def mean(cls, runs: Sequence[RunPower]) -> RunPower:
        """The mean of several runs, number by number."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            each = [getattr(run, field.name) for run in runs]
            if field.name == "losses_w":
                values[field.name] = {
                    kind: sum(one.get(kind, 0.0) for one in each) / len(each) for kind in _LOSSY
                }
            else:
                values[field.name] = sum(each) / len(each)
        return cls(**values)


def run_power(result: RunResult) -> RunPower:
    """Where the power of ``result`` went.

    Raises:
        ResultError: the run has no meters, or nothing was measured.
    """
    window_s = float(result.manifest["window"]["measured_s"])
    nodes = result.tables["power_nodes"].to_pylist()
    if window_s <= 0.0 or not nodes or any(node["energy_j"] is None for node in nodes):
        raise ResultError(f"{result.name} measured no power: it has no window, or no meters")
    taken_w: dict[str, float] = {}  # by kind of node
    given_w: dict[str, float] = {}
    for node in nodes:
        kind = node["kind"]
        taken_w[kind] = taken_w.get(kind, 0.0) + node["energy_j"] / window_s
        given_w[kind] = given_w.get(kind, 0.0) + node["mean_w"]
    gpus = _gpus(result, window_s)
    return RunPower(
        site_w=taken_w["utility"] + given_w.get("generator", 0.0),
        cooling_w=taken_w.get("cooling", 0.0),
        losses_w={kind: taken_w[kind] - given_w[kind] for kind in _LOSSY if kind in taken_w},
        rest_w=given_w["server"] - gpus.pop("all_w") - gpus["parked_w"],
        **gpus,
    )


def _gpus(result: RunResult, window_s: float) -> dict[str, float]:
    """What GPUs drew and did not, by why."""
    missed = _missed(result)
    held = _held(result, window_s)
    found = dict.fromkeys(("all_w", "idling_w", "missed_w", "idle_w", "clocked_w", "bound_w"), 0.0)
    left = _installed(result)
    for row in result.tables["replicas"].to_pylist():
        gpu, number = catalog.gpu(row["gpu"]), len((row["gpus"] or "").split())
        left[gpu.name] = left.get(gpu.name, 0) - number
        drawn_w = row["energy_j"] / window_s
        busy = min(row["busy_s"] / window_s, 1.0)
        share = min(held[row["pool"]] + row["cap_bound_s"] / window_s, 1.0)
        idling_w = min(number * gpu.loaded_idle_w * (1.0 - busy), drawn_w)
        below_w = max(0.0, number * gpu.tdp_w * busy - (drawn_w - idling_w))
        found["all_w"] += drawn_w
        found["idling_w"] += idling_w
        found["missed_w"] += (drawn_w - idling_w) * missed[row["pool"]]
        found["idle_w"] += max(0.0, number * gpu.tdp_w * (1.0 - busy) - idling_w)
        found["clocked_w"] += share * below_w
        found["bound_w"] += (1.0 - share) * below_w
    spare = [(catalog.gpu(name), max(0, number)) for name, number in left.items()]
    found["parked_w"] = sum(number * gpu.parked_w for gpu, number in spare)
    found["unallocated_w"] = sum(number * (gpu.tdp_w - gpu.parked_w) for gpu, number in spare)
    return found


def _installed(result: RunResult) -> dict[str, int]:
    """GPU type → how many the site has."""
    found: dict[str, int] = {}
    for hall in result.manifest["resolved"]["site"]["halls"]:
        for row in hall["rows"]:
            for racks in row["racks"]:
                rack = catalog.rack_type(racks["type"])
                node = catalog.node_type(rack.node_type)
                name = catalog.canonical_gpu(node.gpu)
                found[name] = found.get(name, 0) + racks["count"] * rack.nodes * node.gpus
    return found


def _held(result: RunResult, window_s: float) -> dict[str, float]:
    """Pool → share of its replicas' time in which a policy kept clocks below the highest."""
    held = dict.fromkeys((pool["name"] for pool in result.manifest["pools"]), 0.0)
    rows = result.tables["clocks"].to_pylist() if "clocks" in result.tables else []
    for row in rows:
        held[row["pool"]] = row["capped_s"] / (row["replicas"] * window_s)
    return held


def _missed(result: RunResult) -> dict[str, float]:
    """Pool → share of delivered tokens that were of requests that missed an objective.

    A pool that decodes for others has theirs; one that delivered nothing missed everything.
    """
    pool_of = {workload["name"]: workload["pool"] for workload in result.manifest["workloads"]}
    decodes = {pool["name"]: pool["decode"] for pool in result.manifest["pools"]}
    tokens = {name: [0, 0] for name in decodes}  # met, all
    columns = ["workload", "cause", "measured", "delivered_tokens"]
    counts = result.tables.select("summary/counts", columns)
    counts = counts.filter(counts["measured"])
    summed = counts.group_by(["workload", "cause"]).aggregate([("delivered_tokens", "sum")])
    for row in summed.to_pylist():
        pool: str | None = pool_of[row["workload"]]
        while pool is not None:
            tokens[pool][0] += row["delivered_tokens_sum"] if row["cause"] == "met" else 0
            tokens[pool][1] += row["delivered_tokens_sum"]
            pool = decodes[pool]
    return {name: 1.0 - met / total if total else 1.0 for name, (met, total) in tokens.items()}
