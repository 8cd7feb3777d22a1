"""The ``record`` section: how much a run writes down."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Count, OneOf, Spec

#: How much a run can write down.
RECORDS = ("full", "sampled", "summary")
#: How the draw of power nodes can be written down.
POWER_RECORDS = ("changes", "minutes")


class RecordSpec(Spec):
    """How much a run writes down."""

    level: Annotated[str, OneOf(RECORDS)] = Field(
        default="full", description="full: every request; sampled: some; summary: counts only"
    )
    every: Count = Field(default=100, description="sampled: one request in this many")
    iterations: bool = Field(default=False, description="write every iteration too (large)")
    power: Annotated[str, OneOf(POWER_RECORDS)] = Field(
        default="changes",
        description="changes: every change of every power node's draw (of a large site more rows "
        "than requests); minutes: lowest, mean and highest draw a minute only",
    )
