"""The limits that all batching policies share."""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import RackplanError


@dataclass(frozen=True)
class BatchLimits:
    """Limits of one replica's batch.

    Attributes:
        max_batch_tokens: token budget of one iteration.
        max_sequences: most sequences running at once.
        memory_utilisation: share of the GPU's memory that weights and KV cache may fill.
    """

    max_batch_tokens: int = 8192
    max_sequences: int = 256
    memory_utilisation: float = 0.9

    def __post_init__(self) -> None:
        """Refuse limits under which decode-first batching is undefined.

        Raises:
            RackplanError: a limit below 1, more sequences than tokens, or a share outside (0, 1].
        """
        for name in ("max_batch_tokens", "max_sequences"):
            if getattr(self, name) < 1:
                raise RackplanError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_sequences > self.max_batch_tokens:
            raise RackplanError(
                f"max_sequences ({self.max_sequences}) must not exceed max_batch_tokens "
                f"({self.max_batch_tokens}): each running sequence needs a token per iteration"
            )
        if not 0.0 < self.memory_utilisation <= 1.0:
            raise RackplanError(
                f"memory_utilisation must be above 0 % and at most 100 %, "
                f"not {100 * self.memory_utilisation:g} %"
            )
