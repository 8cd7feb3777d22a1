"""The ``site`` section: halls › rows › racks, of the catalog's rack types."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Count, Identifier, Quantity, Some, Spec, Watts

_Mass = Annotated[float, Quantity("mass", above=0.0)]


class RackSpec(Spec):
    """Racks of one type that stand side by side."""

    type: str = Field(description="a rack type that 'rackplan catalog racks' lists")
    count: Count = Field(default=1, description="how many of them")


class RowSpec(Spec):
    """A row of racks, fed by its own PDUs."""

    name: Identifier = Field(description="the row's name, unique in the site")
    racks: Some[RackSpec] = Field(description="the racks that stand in it")


class LimitsSpec(Spec):
    """What a hall's floor, rack positions and air can take; what is left out does not limit."""

    racks: Count | None = Field(default=None, description="positions for racks")
    rack_units: Count | None = Field(default=None, description="height of a rack at a position")
    rack_power: Watts | None = Field(default=None, description="what a rack may be rated")
    rack_weight: _Mass | None = Field(default=None, description="what a position carries")
    weight: _Mass | None = Field(default=None, description="what the hall's floor carries in all")
    rack_air_heat: Watts | None = Field(
        default=None, description="heat of a rack that the air can take up"
    )
    rack_liquid_heat: Annotated[float, Quantity("power", least=0.0)] | None = Field(
        default=None, description="heat of a rack that liquid can take up; 0 W: there is none"
    )


class HallSpec(Spec):
    """A hall with its rows."""

    name: Identifier = Field(description="the hall's name")
    rows: Some[RowSpec] = Field(description="its rows")
    limits: LimitsSpec | None = Field(default=None, description="of its floor, positions and air")


class SiteSpec(Spec):
    """The building."""

    halls: Some[HallSpec] = Field(description="the halls")
