"""The ``power`` section: utility, generators, switchboards, UPSs, PDUs; what they carry and for how
long."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import (
    Count,
    Identifier,
    Many,
    OneOf,
    PositiveSeconds,
    Quantity,
    Seconds,
    Shorthand,
    Spec,
    Watts,
)


class BreakerSpec(Spec):
    """A breaker: a preset of the catalog and the rating that it protects."""

    preset: str | None = Field(default=None, description="a breaker of the catalog, such as mccb")
    rating: Watts | None = Field(default=None, description="its own rating; else the gear's")


#: ``breaker: mccb`` or ``breaker: {preset: mccb, rating: 400 kW}``.
Breaker = Annotated[BreakerSpec, Shorthand("preset")]


class UtilitySpec(Spec):
    """The grid connection. The budget is compared with what the site takes from the grid."""

    budget: Watts | None = Field(default=None, description="contracted power")
    rating: Watts | None = Field(default=None, description="what the connection can carry")
    breaker: Breaker | None = Field(default=None, description="the main breaker")


class GeneratorSpec(Spec):
    """A generator; it carries nothing while the utility does."""

    name: Identifier = Field(description="the generator's name")
    rating: Watts = Field(description="what it can deliver")
    start: Seconds = Field(default=12.0, description="from the loss of mains to carrying load")
    feeds: Many[Identifier] = Field(default=(), description="switchboards behind it (all)")
    breaker: Breaker | None = Field(default=None, description="its breaker; none: it carries all")


class MsbSpec(Spec):
    """A main switchboard with its transformer, between the utility and UPSs."""

    name: Identifier = Field(description="the switchboard's name")
    rating: Watts = Field(description="what it can deliver")
    budget: Watts | None = Field(default=None, description="what it should deliver at most")
    breaker: Breaker | None = Field(default=None, description="its breaker")


class BatterySpec(Spec):
    """What carries a UPS's load without its input."""

    ride_through: PositiveSeconds = Field(description="how long it carries the rating")
    exponent: Annotated[float, Quantity("count", least=1.0)] = Field(
        default=1.0, description="Peukert's: 1 for lithium cells, 1.1 to 1.2 for lead"
    )
    recharge: PositiveSeconds = Field(default=36_000.0, description="from empty to full")
    recharge_share: Annotated[float, Quantity("fraction", least=0.0, most=1.0)] = Field(
        default=0.1, description="of the rating, drawn beside the load while it charges"
    )


class ModulesSpec(Spec):
    """Equal modules side by side, which share the load of a UPS evenly."""

    count: Count = Field(description="modules installed")
    needed: Count = Field(description="modules that deliver the rating, such as one less (N+1)")


class UpsSpec(Spec):
    """One UPS; its rating and budget are what it delivers."""

    name: Identifier = Field(description="the UPS's name")
    rating: Watts = Field(description="what it can deliver")
    budget: Watts | None = Field(default=None, description="what it should deliver at most")
    fed_by: Identifier | None = Field(default=None, description="its switchboard (the next one)")
    product: str | None = Field(
        default=None, description="a UPS of the catalog: how long it carries an overload"
    )
    battery: Annotated[BatterySpec, Shorthand("ride_through")] | None = Field(
        default=None, description="its battery: how long it carries the rating"
    )
    modules: ModulesSpec | None = Field(
        default=None, description="the modules that it consists of; left out: it is one piece"
    )
    reserve: Identifier | None = Field(
        default=None, description="the UPS that takes its loads over when it fails"
    )
    breaker: Breaker | None = Field(default=None, description="the breaker of its output")


class PduSpec(Spec):
    """The PDUs (or busways) of every row."""

    per_row: Count = Field(default=1, description="PDUs that feed one row")
    rating: Watts | None = Field(default=None, description="what each can deliver")
    budget: Watts | None = Field(default=None, description="what each should deliver at most")
    redundancy: Annotated[str, OneOf(("N", "2N"))] = Field(
        default="N", description="N: one feed for each rack; 2N: two, on different UPSs"
    )
    breaker: Breaker | None = Field(default=None, description="the breaker of each")


class RackPowerSpec(Spec):
    """What is before every rack."""

    breaker: Breaker | None = Field(
        default=None, description="one breaker before each rack, on the sum of its feeds"
    )


class PowerSpec(Spec):
    """The electrical tree above the racks; left out, nothing limits the draw."""

    utility: UtilitySpec | None = Field(default=None, description="the grid connection")
    generators: Many[GeneratorSpec] = Field(default=(), description="what starts when mains fail")
    msbs: Many[MsbSpec] = Field(default=(), description="main switchboards with transformers")
    ups: Many[UpsSpec] = Field(default=(), description="the UPSs, side by side")
    pdus: PduSpec | None = Field(default=None, description="the PDUs of every row")
    racks: RackPowerSpec | None = Field(default=None, description="what is before every rack")
    restart: Seconds = Field(
        default=300.0, description="from the return of power to a replica serving again"
    )
