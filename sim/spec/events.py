"""The ``events`` section: what happens to the site at stated times."""

from __future__ import annotations

from pydantic import Field

from sim.spec.types import Identifier, Seconds, Spec


class EventSpec(Spec):
    """One event: something fails, or is restored."""

    at: Seconds = Field(description="when it happens")
    fail: Identifier | None = Field(
        default=None, description="a node of the power tree, such as ups-a, that fails"
    )
    restore: Identifier | None = Field(
        default=None, description="one that failed or tripped, and is whole again"
    )
