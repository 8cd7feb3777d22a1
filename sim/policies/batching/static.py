"""Static: see ``sim.engine.replica`` for the plan that each mode makes at a boundary."""

from __future__ import annotations

from dataclasses import dataclass

from sim.policies.base import register
from sim.policies.batching.limits import BatchLimits


@register("batching", "static")
@dataclass(frozen=True)
class Static(BatchLimits):
    """Form a batch when the replica is empty; admit nobody until all of it has ended.

    Admission stays open through the prefill iterations of the batch and closes at its first decode.
    """

    @property
    def mode(self) -> str:
        """The name by which the engine knows this plan."""
        return "static"
