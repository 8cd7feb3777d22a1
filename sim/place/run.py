"""One run of a placement scenario: replay, measure, judge, and make the result final."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.place.replay import Outcome
from sim.place.report import PolicyReport, replay_once, together
from sim.place.rules import REASONS
from sim.place.scenario import REPLAY, PlacementScenario
from sim.policies.base import kind_of
from sim.results.expectations import ExpectationOutcome, evaluate
from sim.results.manifest import FORMAT, plain, versions
from sim.results.metrics import Metric
from sim.results.placement_metrics import FAILURES, PLACEMENT_METRICS, STEPS
from sim.results.placement_tables import PLACEMENTS
from sim.results.result import RunResult, metrics_json
from sim.results.sink import Store

#: How numbers were made; the same sentences for every run of one seed.
DEFINITIONS: Mapping[str, str] = {
    "arrival": "pods are shuffled and drawn again until demand is the stated share of all GPUs (or "
    "come once, as listed); each is placed or lost for good, and none departs",
    "share": "shares are of all GPUs, in thousandths of each",
    "interval": "none: one seed",
}


def run_placement(
    scenario: PlacementScenario, seed: int, sink: Store, inputs: Mapping[str, str | None]
) -> RunResult:
    """Let pods arrive under ``seed``; rows and the result go to ``sink``.

    ``inputs``: what was read → SHA-256, for the manifest.

    Raises:
        RackplanError: the policy chose what it may not, or is not what numba compiles.
        ResultError: the sink cannot be written.
    """
    policy = scenario.placement
    steps, outcome, fragmented = replay_once(
        scenario.cluster, policy, seed, scenario.arrival, scenario.quotas
    )
    report = together(kind_of(policy), steps, [outcome], [fragmented])
    metrics = measure_placement(report)
    _write(scenario, outcome, sink)
    judged = evaluate(scenario.expectations, metrics)
    rows = sink.close(0.0).rows
    manifest = plain(_manifest(scenario, seed, rows, judged, inputs))
    folder = sink.publish(manifest, metrics_json(metrics))
    return RunResult(sink.tables(), manifest, folder=folder, metrics=metrics)


def measure_placement(report: PolicyReport) -> dict[str, Metric]:
    """Name → metric of the first seed of a report."""
    failures = {name: int(counts[0]) for name, counts in report.failures.items()}
    idle = dict(zip(report.shares, report.unallocated[0].tolist(), strict=True))
    found: dict[str, float | None] = {
        "unallocated": float(report.unallocated[0, -1]),
        **{name: idle.get(share) for name, share in STEPS.items()},
        "fragmentation": float(report.fragmentation[0, -1]),
        "placed": float(report.placed[0]),
        "failed": float(sum(failures.values())),
        **{name: float(failures[reason]) for name, reason in FAILURES.items()},
    }
    return {
        name: Metric(
            found[name], "", definition,
            "" if found[name] is not None else _not_reached(report.shares[-1]),
        )
        for name, definition in PLACEMENT_METRICS.items()
    }  # fmt: skip


def _not_reached(demand: float) -> str:
    return f"pods arrive until demand is {100 * demand:.4g} % of the GPUs, and no further"


def _write(scenario: PlacementScenario, outcome: Outcome, sink: Store) -> None:
    pods, nodes = scenario.cluster.pods.names, scenario.cluster.nodes.names
    at = outcome.node.tolist()
    reasons = np.array(REASONS)[outcome.why]
    sink.write(
        PLACEMENTS,
        {
            "pod": [pods[pod] for pod in outcome.pods.tolist()],
            "node": [None if node < 0 else nodes[node] for node in at],
            "gpu_bits": [
                None if node < 0 else bits
                for node, bits in zip(at, outcome.gpus.tolist(), strict=True)
            ],
            "outcome": reasons.tolist(),
        },
    )


def _manifest(
    scenario: PlacementScenario,
    seed: int,
    rows: Mapping[str, int],
    judged: list[ExpectationOutcome],
    inputs: Mapping[str, str | None],
) -> dict[str, Any]:
    nodes, pods = scenario.cluster.nodes, scenario.cluster.pods
    return {
        "format": FORMAT,
        "outcome": "complete",
        "reason": None,
        "scenario": scenario.name,
        "seed": seed,
        "seeds": 1,
        "engine": REPLAY,
        "definitions": DEFINITIONS,
        "nodes": {"count": len(nodes), "gpus": nodes.gpu_milli // 1000},
        "pods": {
            "count": len(pods),
            "demand": float(pods.request.sum()) / nodes.gpu_milli,
        },
        "workloads": [],
        "pools": [],
        "expectations": judged,
        "warnings": list(scenario.warnings),
        "tables": dict(rows),
        "versions": versions(),
        "inputs": dict(inputs),
        "sources": [],
        "resolved": scenario.resolved,
        "written": scenario.written,
    }
