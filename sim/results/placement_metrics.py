"""What is measured of a placement: metrics of ``kind: placement``, and how their names are read."""

from __future__ import annotations

from collections.abc import Mapping

from sim.errors import nearest
from sim.results.metrics import DEFINITIONS, MetricDefinition, UnknownMetric

SCOPE = "placement"
#: Shares of the GPUs that have arrived at which a metric of its own says what is not allocated: a
#: policy can look good at the end by starving pods that few nodes take.
STEPS: Mapping[str, float] = {
    "unallocated_at_90": 0.9, "unallocated_at_95": 0.95, "unallocated_at_100": 1.0,
}  # fmt: skip
#: Metric → the reason that it counts (``sim.place.rules.REASONS``).
FAILURES: Mapping[str, str] = {
    "failed_gpu_type": "gpu_type", "failed_gpu": "gpu", "failed_cpu": "cpu",
    "failed_memory": "memory", "failed_isolation": "isolation", "failed_quota": "quota",
    "failed_preempted": "preempted",
}  # fmt: skip

_IDLE = "share of all GPUs, in thousandths of each, on which no pod was placed"
_CLOSEST = "pods without a place for which, on the node that came closest, {} stood in the way"
_ROWS = (
    ("unallocated", "fraction", "lower", f"{_IDLE} when the last pod had arrived"),
    *(
        (name, "fraction", "lower", f"{_IDLE} when demand had first reached {100 * at:g} % of them")
        for name, at in STEPS.items()
    ),
    ("fragmentation", "fraction", "lower", "share of all GPUs that is not allocated and that "
     "typical pods cannot use (FGD), in the mean over them, when the last pod had arrived"),
    ("placed", "count", "higher", "pods that have a place at the end"),
    ("failed", "count", "lower", "pods that found no place, or lost it"),
    ("failed_gpu_type", "count", "lower", "pods without a place that would have fitted on a node "
     "that they may not use"),
    *((f"failed_{what}", "count", "lower", _CLOSEST.format(text))
      for what, text in (("gpu", "GPUs"), ("cpu", "CPU"), ("memory", "memory"))),
    ("failed_isolation", "count", "lower", "pods without a place for want of a node, rack or leaf "
     "that no other tenant uses"),
    ("failed_quota", "count", "lower", "pods without a place because of their tenant's quota"),
    ("failed_preempted", "count", "lower", "pods that lost their place to more urgent ones"),
)  # fmt: skip

#: Name → definition, in the order in which metrics are listed.
PLACEMENT_METRICS: Mapping[str, MetricDefinition] = {
    name: MetricDefinition(name, "", dimension, better, text, None, SCOPE)
    for name, dimension, better, text in _ROWS
}


def lookup_placement(name: str) -> MetricDefinition:
    """The definition behind a name.

    Raises:
        UnknownMetric: a placement has no such metric; the message has the nearest.
    """
    if name in PLACEMENT_METRICS:
        return PLACEMENT_METRICS[name]
    close = nearest(name, PLACEMENT_METRICS)
    known = f"metrics of a placement: {', '.join(PLACEMENT_METRICS)}"
    if name.rpartition(".")[2] in {base for _, base in DEFINITIONS}:
        raise UnknownMetric(name, f"{name!r} is a metric of 'kind: serving'; {known}")
    if close is not None:
        raise UnknownMetric(name, f"unknown metric {name!r} (did you mean {close!r}?)")
    raise UnknownMetric(name, f"unknown metric {name!r}; {known}")
