"""When breakers open and UPSs give up: closed forms between changes of load.

Between two changes a device's load is constant, so what it has gathered by any later time, and when
that reaches its limit, are exact expressions. Loads are multiples of the device's rating.

* Thermal breaker: heat θ' = (i² − θ)/τ, from θ₀ to i² + (θ₀ − i²)·e^(−Δ/τ); it opens where θ passes
  θ_trip, after τ·ln((i² − θ₀)/(i² − θ_trip)), and never at i² ≤ θ_trip. IEC 60898 and 60947-2 say
  what it must hold and when it must open.
* Electronic trip unit: above its pickup p the energy q grows by (i² − p²)·Δ/K and it opens at
  q = 1; below, q falls linearly, from full to none in its cooling time.
* UPS overload: the vendor's sheet gives steps, so many seconds up to so much load. The share of
  the allowed time that is used up adds over the steps (Miner's rule): D grows by Δ/t(i), the UPS
  gives up at D = 1, and D falls by Δ/t_recovery where the load is carried for ever.
* Battery: a charge of 1 lasts the ride-through time at the rating; at another load that time is
  multiplied by i^(−k) (Peukert's rule; k = 1 for lithium cells).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NEVER_S = math.inf


@dataclass(frozen=True)
class Thermal:
    """A thermal-magnetic breaker, or the thermal side of one."""

    trip_heat: float  # θ_trip
    tau_s: float

    def after(self, heat: float, load: float, dt_s: float) -> float:
        """The heat after ``dt_s`` at ``load``."""
        return heat + (load * load - heat) * -math.expm1(-dt_s / self.tau_s)

    def seconds_left(self, heat: float, load: float) -> float:
        """How long it holds ``load``, inf = for ever; strictly above θ_trip only does it open."""
        above = load * load - self.trip_heat
        if above <= 0.0:
            return NEVER_S
        return self.tau_s * math.log1p(max(self.trip_heat - heat, 0.0) / above)

    def steady(self, load: float) -> float:
        """The heat that it tends to at ``load``."""
        return load * load


@dataclass(frozen=True)
class Electronic:
    """The long-time element of an electronic trip unit."""

    pickup: float
    energy_s: float  # K: (i² − p²)·t that opens it
    cooling_s: float

    def after(self, energy: float, load: float, dt_s: float) -> float:
        """The share of its energy after ``dt_s`` at ``load``."""
        above = load * load - self.pickup * self.pickup
        if above > 0.0:
            return energy + above * dt_s / self.energy_s
        return max(0.0, energy - dt_s / self.cooling_s)

    def seconds_left(self, energy: float, load: float) -> float:
        """How long it holds ``load``, inf = for ever."""
        above = load * load - self.pickup * self.pickup
        if above <= 0.0:
            return NEVER_S
        return max(1.0 - energy, 0.0) * self.energy_s / above

    def steady(self, load: float) -> float:
        """A load that it holds for ever leaves nothing."""
        return 0.0


@dataclass(frozen=True)
class Breaker:
    """A breaker of some rating; ``magnetic``: from what load on it opens at once."""

    name: str
    element: Thermal | Electronic
    magnetic: float

    def seconds_left(self, gathered: float, load: float) -> float:
        """How long it holds ``load``, from what its element has gathered."""
        return 0.0 if load >= self.magnetic else self.element.seconds_left(gathered, load)


@dataclass(frozen=True)
class Overload:
    """A table of overloads: (load, seconds) ascending in load; the first is carried for ever."""

    steps: tuple[tuple[float, float], ...]
    beyond_s: float  # above the last step
    recovery_s: float  # 0: what was used is available again as soon as the overload ends

    @property
    def continuous(self) -> float:
        """The load that is carried for ever."""
        return self.steps[0][0]

    def allowed_s(self, load: float) -> float:
        """How long ``load`` is carried by a UPS that nothing was asked of before."""
        return next((seconds for most, seconds in self.steps if load <= most), self.beyond_s)

    def after(self, used: float, load: float, dt_s: float) -> float:
        """The share of the allowance that is used up after ``dt_s`` at ``load``."""
        if load > self.continuous:
            allowed_s = self.allowed_s(load)
            return 1.0 if allowed_s == 0.0 else used + dt_s / allowed_s
        if self.recovery_s == 0.0:
            return 0.0
        return max(0.0, used - dt_s / self.recovery_s)

    def seconds_left(self, used: float, load: float) -> float:
        """How long ``load`` is carried, inf = for ever."""
        if load <= self.continuous:
            return NEVER_S
        return max(1.0 - used, 0.0) * self.allowed_s(load)


@dataclass(frozen=True)
class Battery:
    """What carries a UPS's load without its input."""

    ride_through_s: float  # at the rating
    exponent: float = 1.0  # Peukert's k
    recharge_s: float = 36_000.0  # from empty to full
    recharge_share: float = 0.1  # of the rating, drawn beside the load while it charges

    def rate(self, load: float) -> float:
        """What part of the charge ``load`` takes in a second."""
        return float(load**self.exponent) / self.ride_through_s

    def after(self, charge: float, load: float, dt_s: float) -> float:
        """The charge after ``dt_s`` of carrying ``load``."""
        return charge - self.rate(load) * dt_s

    def seconds_left(self, charge: float, load: float) -> float:
        """How long it carries ``load``."""
        return NEVER_S if load == 0.0 else charge / self.rate(load)


@dataclass(frozen=True)
class UpsProduct:
    """What a vendor's sheet says of a UPS, by what feeds its load."""

    name: str
    inverter: Overload
    battery: Overload
    bypass: Overload
