"""The ``policies`` section: a kind and its parameters for each role.

Which kinds there are and what parameters they take is known to the policies themselves and is
checked later; here only the shape is.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from sim.spec.types import Spec


class PolicySpec(Spec):
    """``{kind: power-of-two, choices: 2}``."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="the policy's kind")

    @property
    def parameters(self) -> dict[str, Any]:
        """Every key besides ``kind``."""
        return dict(self.model_extra or {})


class PoolPoliciesSpec(Spec):
    """The roles that a pool may fill differently from the site."""

    routing: PolicySpec | None = Field(default=None, description="chooses a replica for a request")
    batching: PolicySpec | None = Field(default=None, description="forms a replica's batches")


class PoliciesSpec(Spec):
    """The policies of the site, one for each role."""

    placement: PolicySpec | None = Field(default=None, description="chooses GPUs for a replica")
    routing: PolicySpec | None = Field(default=None, description="chooses a replica for a request")
    batching: PolicySpec | None = Field(default=None, description="forms a replica's batches")
    paths: PolicySpec | None = Field(
        default=None, description="chooses the path of a flow in the network"
    )
    power: PolicySpec | None = Field(default=None, description="keeps the draw within its limits")
