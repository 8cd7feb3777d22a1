"""A path drawn for each flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import register
from sim.policies.paths.base import Path, PathView, over_nvlink
from sim.policies.paths.ecmp import hashed_path
from sim.rng import KeyedBits


@register("paths", "random")
@dataclass(frozen=True)
class Random:
    """Draw one of the equally short links at each switch, keyed by the flow's id."""

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PathView, state: None, rng: KeyedBits) -> Iterator[Path]:
        """NVLink inside a domain, else the path that is drawn."""
        yield from over_nvlink(view)
        yield hashed_path(view, (view.flow,), view.source, rng)
