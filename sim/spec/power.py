"""The ``power`` section: utility feed › UPS › PDU, their ratings and contracted budgets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Count, Identifier, Many, OneOf, Spec, Watts


class UtilitySpec(Spec):
    """The grid connection. The budget is compared with what the site takes from the grid."""

    budget: Watts | None = Field(default=None, description="contracted power")
    rating: Watts | None = Field(default=None, description="what the connection can carry")


class UpsSpec(Spec):
    """One UPS; its rating and budget are what it delivers."""

    name: Identifier = Field(description="the UPS's name")
    rating: Watts = Field(description="what it can deliver")
    budget: Watts | None = Field(default=None, description="what it should deliver at most")


class PduSpec(Spec):
    """The PDUs (or busways) of every row."""

    per_row: Count = Field(default=1, description="PDUs that feed one row")
    rating: Watts | None = Field(default=None, description="what each can deliver")
    budget: Watts | None = Field(default=None, description="what each should deliver at most")
    redundancy: Annotated[str, OneOf(("N", "2N"))] = Field(
        default="N", description="N: one feed for each rack; 2N: two, on different UPSs"
    )


class PowerSpec(Spec):
    """The electrical tree above the racks; left out, nothing limits the draw."""

    utility: UtilitySpec | None = Field(default=None, description="the grid connection")
    ups: Many[UpsSpec] = Field(default=(), description="the UPSs, side by side")
    pdus: PduSpec | None = Field(default=None, description="the PDUs of every row")
