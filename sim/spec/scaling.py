"""The ``scaling`` section: how many replicas a pool has when, and what becomes of failed ones."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from sim.spec.types import Identifier, Many, PositiveSeconds, Seconds, Spec

_Replicas: TypeAlias = Annotated[int, Field(ge=0, le=10_000_000)]


class ScaleStepSpec(Spec):
    """So many replicas from then on."""

    at: Seconds = Field(description="when; with 'every', after each beginning")
    replicas: _Replicas = Field(description="how many the pool has from then on")


class ScalingSpec(Spec):
    """Replicas of one pool over time."""

    pool: Identifier = Field(description="a name of 'pools'")
    schedule: Many[ScaleStepSpec | None] = Field(
        default=(), description="what comes is placed and loaded; what goes finishes what it holds"
    )
    every: PositiveSeconds | None = Field(
        default=None, description="the schedule begins anew so often, such as 24 h; default: never"
    )
    replace_after: Seconds | None = Field(
        default=None,
        description="a replica that has been without power, or cut apart, for so long is placed "
        "elsewhere; default: it waits",
    )
