"""When a load exceeds a capacity: by the forecast's quantiles and the capacity's own interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.plan.growth.forecast import Floats, Forecast

#: What is known of the crossing. The site: exceeded in the past or now; within the months looked
#: at, by the P50; or not.
EXCEEDED, WITHIN, NOT_WITHIN = "already exceeded", "exceeded within", "not within"


@dataclass(frozen=True)
class Capacity:
    """The largest load that the site takes.

    Attributes:
        low, high: between which values it lies; ``high`` is infinite where nothing above the
            answer was looked at.
        notes: on where it comes from.
    """

    value: float
    low: float
    high: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Crossing:
    """The first month whose peak is above the capacity.

    Attributes:
        status: one of the words above.
        earliest: by the P90 of the load and the low end of the capacity.
        middle: by the P50 and the capacity itself.
        latest: by the P10 and the high end; each None: not in the months looked at.
    """

    status: str
    earliest: int | None
    middle: int | None
    latest: int | None


def crossing(forecast: Forecast, capacity: Capacity) -> Crossing:
    """First months in which the running maximum of each curve, past included, is too high."""
    past = np.empty(0) if forecast.past is None else forecast.past.loads[:-1]
    first = forecast.start - len(past)

    def over(curve: Floats, limit: float) -> int | None:
        above = np.concatenate([past, curve]) > limit
        return first + int(above.argmax()) if above.any() else None

    low, middle, high = forecast.curves
    found = over(middle, capacity.value)
    status = NOT_WITHIN
    if found is not None:
        status = EXCEEDED if found <= forecast.start else WITHIN
    return Crossing(status, over(high, capacity.low), found, over(low, capacity.high))
