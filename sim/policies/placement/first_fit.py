"""First-fit placement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.policies.base import PlacementView, register
from sim.rng import KeyedBits


@register("placement", "first-fit")
@dataclass(frozen=True)
class FirstFit:
    """Put each replica on the first free GPUs in the order of the site."""

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PlacementView, state: None, rng: KeyedBits) -> Iterator[tuple[int, ...]]:
        """Every run of free GPUs in site order, as long as the replica needs."""
        free = np.flatnonzero(view.allowed).tolist()
        size = view.tensor_parallel * view.pipeline_parallel
        for start in range(len(free) - size + 1):
            yield tuple(free[start : start + size])

    @staticmethod
    def score(node: Any, pod: Any, known: Any) -> float:
        """The first node of the list on which a pod fits."""
        return -float(node.index)
