"""How far users are from their pools: a line of the summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.results.path_limits import paths_of
from sim.units import format_si


def path_sentence(manifest: Mapping[str, Any]) -> str:
    """The ways of each workload that has some, which its latencies include; empty without any."""
    ways = [
        f"{name} {format_si(path['ingress_s'], 's')} to its pool and "
        f"{format_si(path['egress_s'], 's')} back ({', '.join(path['kinds'])})"
        for name, path in paths_of(manifest).items()
    ]
    return f"Path: {'; '.join(ways)}; TTFT and E2E include both ways" if ways else ""
