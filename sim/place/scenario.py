"""A checked scenario of ``kind: placement``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.place.cluster import Cluster
from sim.results.expectations import ExpectationLike
from sim.spec.expect import BetterSpec

#: The engine of a placement's run, in its manifest.
REPLAY = "replay"


@dataclass(frozen=True)
class PlacementScenario:
    """Pods that arrive on nodes one at a time, and the policy that places them.

    What it has in common with a ``sim.check.Scenario`` has the same name there.

    Attributes:
        nodes_file, pods_file: where the lists are.
        cluster: both of them, read.
        arrival: demand until which pods arrive, as part of all GPUs; None: each once, as listed.
        quotas: tenant → most GPUs at a time.
        placement: a policy object.
        written: the scenario as it was written, after `extends` and `--set`.
    """

    name: str
    file: str
    seed: int
    nodes_file: Path
    pods_file: Path
    cluster: Cluster
    arrival: float | None
    quotas: Mapping[str, float]
    placement: Any
    expectations: tuple[ExpectationLike, ...]
    comparisons: tuple[BetterSpec, ...]
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]
    resolved: Mapping[str, Any]
    written: Mapping[str, Any]
