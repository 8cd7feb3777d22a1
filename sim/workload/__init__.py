"""Where requests come from: traces, fitted and plain synthetic sources, closed loops."""

from __future__ import annotations

from sim.workload.fitted import FittedSource, fitted_source, synthetic_names
from sim.workload.source import build_source
from sim.workload.traces import probe_trace, read_trace

__all__ = [
    "FittedSource",
    "build_source",
    "fitted_source",
    "probe_trace",
    "read_trace",
    "synthetic_names",
]
