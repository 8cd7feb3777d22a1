"""The ``cooling`` section: the plant, the weather outside it, and the CDUs of its liquid loop."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from sim.spec.hourly import Humidity, Outside
from sim.spec.types import Count, Identifier, PositiveNumber, Quantity, Shorthand, Spec, Watts

_Celsius: TypeAlias = Annotated[float, Quantity("temperature", least=0.0, most=80.0)]
_Kelvin: TypeAlias = Annotated[float, Quantity("temperature_difference", least=0.0, most=100.0)]
_SomeKelvin: TypeAlias = Annotated[float, Quantity("temperature_difference", above=0.0, most=100.0)]
_Share: TypeAlias = Annotated[float, Quantity("fraction", least=0.0, most=1.0)]
_SomeShare: TypeAlias = Annotated[float, Quantity("fraction", above=0.0, most=1.0)]
_Flow: TypeAlias = Annotated[float, Quantity("flow", above=0.0)]


class PlantSpec(Spec):
    """A cooling plant of the catalog, and what is different here."""

    preset: str = Field(default="modern", description="one that 'rackplan catalog plants' lists")
    air_supply: _Celsius | None = Field(default=None, description="air that reaches the servers")
    liquid_supply: _Celsius | None = Field(default=None, description="liquid that reaches the CDUs")
    rise: _SomeKelvin | None = Field(default=None, description="from supply to return")
    chiller_efficiency: _SomeShare | None = Field(default=None, description="share of Carnot's")
    evaporator_approach: _Kelvin | None = Field(
        default=None, description="evaporator below the supply"
    )
    condenser_rise: _Kelvin | None = Field(
        default=None, description="of the tower's water through the condenser"
    )
    condenser_approach: _Kelvin | None = Field(
        default=None, description="condensation above the water that leaves it"
    )
    least_lift: _SomeKelvin | None = Field(
        default=None, description="temperature lift below which compressors save no more"
    )
    part_load: Annotated[float, Quantity("fraction", least=0.0)] | None = Field(
        default=None, description="extra compressor power per cooling towards no load"
    )
    tower_approach: _Kelvin | None = Field(
        default=None, description="tower's water above the wet bulb"
    )
    exchanger_approach: _Kelvin | None = Field(
        default=None, description="economiser's water above the tower's"
    )
    air_fans: _Share | None = Field(default=None, description="at full flow, of the design heat")
    liquid_fans: _Share | None = Field(default=None, description="the same, of the liquid loop")
    pumps: _Share | None = Field(default=None, description="at full flow, of the design heat")
    tower_fans: _Share | None = Field(default=None, description="at full flow, of the design heat")
    least_flow: _Share | None = Field(
        default=None, description="fans and pumps turn no slower than this share of full flow"
    )
    flow_exponent: PositiveNumber | None = Field(
        default=None, description="power of fans and pumps grows with this power of flow"
    )
    auxiliary: _Share | None = Field(
        default=None, description="lights and controls at all times, of the design heat"
    )
    water: Annotated[float, Quantity("volume_per_energy", least=0.0)] | None = Field(
        default=None, description="that a wet tower evaporates per heat, such as 1.5 L/kWh"
    )
    coolant_heat: Annotated[float, Quantity("heat_capacity", above=0.0)] | None = Field(
        default=None, description="heat capacity of the liquid, such as 4.16 kJ/L/K"
    )


class WeatherSpec(Spec):
    """The air outside: its wet bulb, or what gives it."""

    wet_bulb: Outside | None = Field(default=None, description="wet-bulb temperature")
    dry_bulb: Outside | None = Field(default=None, description="temperature, with the humidity")
    relative_humidity: Humidity | None = Field(default=None, description="with the dry bulb")


class CdusSpec(Spec):
    """The coolant distribution units of every row."""

    per_row: Count = Field(default=1, description="CDUs that share the liquid heat of one row")
    rating: Watts = Field(description="heat that each can carry")
    flow: _Flow | None = Field(
        default=None, description="liquid through each; default: the plant's flow per rating"
    )
    rise: _SomeKelvin | None = Field(
        default=None, description="the most that the liquid may warm up; default: the plant's"
    )


class CoolingSpec(Spec):
    """What carries the site's heat away. With it, PUE, cooling energy and water are results."""

    plant: Annotated[PlantSpec, Shorthand("preset")] = Field(
        default=PlantSpec(), description="the plant: a preset, or a mapping that changes one"
    )
    weather: WeatherSpec = Field(description="the air outside")
    cdus: CdusSpec | None = Field(default=None, description="CDUs of every row")
    fed_by: Identifier | None = Field(
        default=None,
        description="the utility, switchboard or UPS that feeds the plant; left out: it is no load "
        "of the electrical tree",
    )
    air_capacity: Watts | None = Field(
        default=None, description="heat the air loop is built for; default: the site's at full draw"
    )
    liquid_capacity: Watts | None = Field(
        default=None, description="heat the liquid loop is built for; default: the site's"
    )
