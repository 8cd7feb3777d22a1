"""``path`` of a workload: what its requests pass between user and pool, summed up."""

from __future__ import annotations

from sim.check.collector import Collector
from sim.spec.nodes import Path
from sim.spec.workload import WorkloadSpec
from sim.units import format_si
from sim.workload.plan import UserPath


def check_path(spec: WorkloadSpec, path: Path, found: Collector) -> UserPath:
    """The ways of a workload in and out; steps that take no time are reported."""
    here: Path = (*path, "path")
    for place, way in enumerate(spec.path):
        if way.latency is None and way.per_request is None:
            found.error(
                (*here, place),
                "takes no time: write latency (one way, such as 20 ms), per_request (work on the "
                "way in, such as 2 ms) or both",
            )
    egress_s = sum((way.latency or 0.0 for way in spec.path), 0.0)
    ingress_s = egress_s + sum((way.per_request or 0.0 for way in spec.path), 0.0)
    _hopeless(spec, path, ingress_s + egress_s, found)
    return UserPath(tuple(way.kind for way in spec.path), ingress_s, egress_s)


def _hopeless(spec: WorkloadSpec, path: Path, both_s: float, found: Collector) -> None:
    """Warn where the ways alone leave no time for an answer."""
    if not both_s:
        return
    both = f"{format_si(both_s, 's')} to the pool and back"
    for name in ("ttft", "e2e"):
        objective_s = None if spec.slo is None else getattr(spec.slo, name)
        if objective_s is not None and objective_s <= both_s:
            found.warn((*path, "slo", name), f"no request can meet it: its path alone takes {both}")
    cancel = spec.cancel
    if cancel is not None and cancel.fraction == 1.0 and cancel.after <= both_s:
        found.warn(
            (*path, "cancel", "after"), f"nobody waits for an answer: the path alone takes {both}"
        )
