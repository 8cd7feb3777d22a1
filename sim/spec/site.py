"""The ``site`` section: halls › rows › racks, of the catalog's rack types."""

from __future__ import annotations

from pydantic import Field

from sim.spec.types import Count, Identifier, Some, Spec


class RackSpec(Spec):
    """Racks of one type that stand side by side."""

    type: str = Field(description="a rack type that 'rackplan catalog racks' lists")
    count: Count = Field(default=1, description="how many of them")


class RowSpec(Spec):
    """A row of racks, fed by its own PDUs."""

    name: Identifier = Field(description="the row's name, unique in the site")
    racks: Some[RackSpec] = Field(description="the racks that stand in it")


class HallSpec(Spec):
    """A hall with its rows."""

    name: Identifier = Field(description="the hall's name")
    rows: Some[RowSpec] = Field(description="its rows")


class SiteSpec(Spec):
    """The building."""

    halls: Some[HallSpec] = Field(description="the halls")
