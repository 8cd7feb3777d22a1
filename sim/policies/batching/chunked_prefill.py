"""ChunkedPrefill: see ``sim.engine.replica`` for the plan that each mode makes at a boundary."""

from __future__ import annotations

from dataclasses import dataclass

from sim.policies.base import register
from sim.policies.batching.limits import BatchLimits


@register("batching", "chunked-prefill")
@dataclass(frozen=True)
class ChunkedPrefill(BatchLimits):
    """Decode first, then prefill in arrival order, chunked to what the token budget leaves.

    Stall-free batching as in Sarathi-Serve (arXiv 2403.02310) and vLLM's V1 scheduler, with one
    difference: the blocks of a whole prompt are reserved at admission.
    """

    @property
    def mode(self) -> str:
        """The name by which the engine knows this plan."""
        return "chunked-prefill"
