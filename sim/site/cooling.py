"""A cooling plant: what it draws and evaporates by the heat it carries and the wet bulb outside.

Two loops, of air and of liquid, each with an economiser that the tower's water feeds and a chiller
for what that leaves. ``docs/cooling.md`` has the equations, their sources, and the proof that draw
never falls as the wet bulb rises. All functions are pure and take arrays as well as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.catalog.types import CoolingPlant

FloatArray = NDArray[np.float64]

_KELVIN = 273.15
#: Up to this share of its design heat a loop's equations hold, and are monotone.
MOST_LOAD = 1.2
#: ``part_load`` must be below it: y·(1 + k·(1 − y)) then rises for all y up to ``MOST_LOAD``.
PART_LOAD_BELOW = 1.0 / (2.0 * MOST_LOAD - 1.0)


@dataclass(frozen=True)
class Loop:
    """One loop: its temperatures, the heat it is designed for, its fans and pumps.

    ``moving`` is the power of fans, pumps and tower at full flow, as a share of the design heat.
    """

    supply_c: float
    rise_k: float  # from supply to return
    design_w: float  # 0: the site has no such loop
    moving: float


@dataclass(frozen=True)
class Plant:
    """A plant: its loops and what they share. Shares are of the design heat, 0 to 1."""

    air: Loop
    liquid: Loop
    chiller_efficiency: float  # share of Carnot
    evaporator_approach_k: float  # evaporator below the supply
    condenser_rise_k: float
    condenser_approach_k: float
    least_lift_k: float
    part_load: float  # k: extra compressor power per cooling towards no load
    tower_approach_k: float  # tower water above the wet bulb
    exchanger_approach_k: float  # economiser water above the tower water
    least_flow: float
    flow_exponent: float
    auxiliary: float
    water_m3_per_j: float  # evaporated per heat rejected

    def __post_init__(self) -> None:
        if not 0.0 <= self.part_load < PART_LOAD_BELOW:
            raise ValueError(
                f"part_load must be from 0 to below {PART_LOAD_BELOW:.3f}, not {self.part_load:g}: "
                "beyond it a chiller would draw less for more heat"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("air", "liquid") and value < 0.0:
                raise ValueError(f"{field.name} must not be below 0, not {value:g}")
        for loop in (self.air, self.liquid):
            if loop.moving < 0.0 or loop.design_w < 0.0:
                raise ValueError("a loop's fans, pumps and design heat must not be below 0")
            if loop.rise_k <= 0.0:
                raise ValueError(f"a loop's rise must be above 0 K, not {loop.rise_k:g} K")
        if self.least_lift_k == 0.0 or self.chiller_efficiency == 0.0:
            raise ValueError("least_lift_k and chiller_efficiency must be above 0")

    @property
    def design_w(self) -> float:
        """The heat that both loops are designed for."""
        return self.air.design_w + self.liquid.design_w


@dataclass(frozen=True)
class Cooling:
    """What a plant draws and evaporates: arrays of one shape."""

    chillers_w: FloatArray
    moving_w: FloatArray  # fans, pumps, tower
    auxiliary_w: FloatArray
    water_m3_per_s: FloatArray

    @property
    def total_w(self) -> FloatArray:
        """All that the plant draws."""
        return self.chillers_w + self.moving_w + self.auxiliary_w


def size(row: CoolingPlant, air_w: float, liquid_w: float) -> Plant:
    """The plant of a catalog row, built to carry ``air_w`` and ``liquid_w`` of heat.

    Raises:
        ValueError: parameters for which the equations are not monotone or have no meaning.
    """
    shared = row.pumps + row.tower_fans
    return Plant(
        air=Loop(row.air_supply_c, row.rise_k, air_w, row.air_fans + shared),
        liquid=Loop(row.liquid_supply_c, row.rise_k, liquid_w, row.liquid_fans + shared),
        chiller_efficiency=row.chiller_efficiency,
        evaporator_approach_k=row.evaporator_approach_k,
        condenser_rise_k=row.condenser_rise_k,
        condenser_approach_k=row.condenser_approach_k,
        least_lift_k=row.least_lift_k,
        part_load=row.part_load,
        tower_approach_k=row.tower_approach_k,
        exchanger_approach_k=row.exchanger_approach_k,
        least_flow=row.least_flow,
        flow_exponent=row.flow_exponent,
        auxiliary=row.auxiliary,
        water_m3_per_j=row.water_m3_per_j,
    )


def cooling(plant: Plant, air_w: ArrayLike, liquid_w: ArrayLike, wet_bulb_c: ArrayLike) -> Cooling:
    """What ``plant`` draws to carry heat away.

    Args:
        plant: its parameters.
        air_w: heat that the air takes up: all the site's intake that liquid does not.
        liquid_w: heat that the liquid takes up.
        wet_bulb_c: outside, °C.

    Raises:
        ValueError: heat below 0, beyond ``MOST_LOAD`` of a loop's design, or in a loop that is not.
    """
    air, liquid, wet_bulb = np.broadcast_arrays(
        *(np.asarray(value, np.float64) for value in (air_w, liquid_w, wet_bulb_c))
    )
    chillers, moving = _loop(plant, plant.air, "air", air, wet_bulb)
    liquid_chillers, liquid_moving = _loop(plant, plant.liquid, "liquid", liquid, wet_bulb)
    chillers = chillers + liquid_chillers
    return Cooling(
        chillers_w=chillers,
        moving_w=moving + liquid_moving,
        auxiliary_w=np.full_like(air, plant.auxiliary * plant.design_w),
        water_m3_per_s=(air + liquid + chillers) * plant.water_m3_per_j,
    )


def free_share(plant: Plant, loop: Loop, wet_bulb_c: FloatArray) -> FloatArray:
    """The share of a loop's heat that its economiser carries without a chiller, 0 to 1."""
    water_c = wet_bulb_c + plant.tower_approach_k + plant.exchanger_approach_k
    return np.clip((loop.supply_c + loop.rise_k - water_c) / loop.rise_k, 0.0, 1.0)


def performance(plant: Plant, loop: Loop, wet_bulb_c: FloatArray) -> FloatArray:
    """Heat moved per compressor power at full load: a share of Carnot's."""
    evaporator_c = loop.supply_c - plant.evaporator_approach_k
    condenser_c = (
        wet_bulb_c + plant.tower_approach_k + plant.condenser_rise_k + plant.condenser_approach_k
    )
    lift_k = np.maximum(condenser_c - evaporator_c, plant.least_lift_k)
    return plant.chiller_efficiency * (evaporator_c + _KELVIN) / lift_k


def _loop(
    plant: Plant, loop: Loop, name: str, heat_w: FloatArray, wet_bulb_c: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What one loop's chillers and its fans, pumps and tower draw."""
    least, most = float(heat_w.min(initial=0.0)), float(heat_w.max(initial=0.0))
    if least < 0.0 or most > MOST_LOAD * loop.design_w:
        raise ValueError(
            f"the {name} loop carries from 0 to {MOST_LOAD:g} x its design of "
            f"{loop.design_w:,.0f} W, not {least if least < 0.0 else most:,.0f} W"
        )
    if loop.design_w == 0.0:
        return np.zeros_like(heat_w), np.zeros_like(heat_w)
    chilled_w = heat_w * (1.0 - free_share(plant, loop, wet_bulb_c))
    extra = 1.0 + plant.part_load * (1.0 - chilled_w / loop.design_w)
    flow = np.maximum(heat_w / loop.design_w, plant.least_flow)
    chillers_w = chilled_w / performance(plant, loop, wet_bulb_c) * extra
    return chillers_w, loop.design_w * loop.moving * flow**plant.flow_exponent
