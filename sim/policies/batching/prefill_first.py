"""PrefillFirst: see ``sim.engine.replica`` for the plan that each mode makes at a boundary."""

from __future__ import annotations

from dataclasses import dataclass

from sim.policies.base import register
from sim.policies.batching.limits import BatchLimits


@register("batching", "prefill-first")
@dataclass(frozen=True)
class PrefillFirst(BatchLimits):
    """While there is prefill to do, iterations carry prefill only and decodes wait.

    The older behaviour of continuous batching (vLLM before V1): shorter time to first token, long
    gaps between tokens.
    """

    @property
    def mode(self) -> str:
        """The name by which the engine knows this plan."""
        return "prefill-first"
