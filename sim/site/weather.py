"""Wet bulb from dry bulb and relative humidity, at sea level."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Where the fit holds: dry bulb in °C and relative humidity as a share.
DRY_BULB_C = (-20.0, 50.0)
HUMIDITY = (0.05, 0.99)


def wet_bulb_c(dry_bulb_c: ArrayLike, humidity: ArrayLike) -> NDArray[np.float64]:
    """The wet bulb in °C by Stull's fit, within −1.0 and +0.65 K of the psychrometric equation.

    R. Stull, Wet-Bulb Temperature from Relative Humidity and Air Temperature, J. Appl. Meteor.
    Climatol. 50 (2011), equation 1, for 101.325 kPa; its coefficients are part of the formula. The
    paper leaves out the corner that is both dry and cold.

    Args:
        dry_bulb_c: °C, from −20 to 50.
        humidity: relative, 0.05 to 0.99.

    Raises:
        ValueError: beyond where the fit holds.
    """
    dry, wet = np.asarray(dry_bulb_c, np.float64), 100.0 * np.asarray(humidity, np.float64)
    if not np.all((dry >= DRY_BULB_C[0]) & (dry <= DRY_BULB_C[1])):
        raise ValueError("Stull's formula holds from -20 C to 50 C")
    if not np.all((wet >= 100.0 * HUMIDITY[0]) & (wet <= 100.0 * HUMIDITY[1])):
        raise ValueError("Stull's formula holds from 5 % to 99 % of relative humidity")
    return np.asarray(
        dry * np.arctan(0.151977 * np.sqrt(wet + 8.313659))
        + np.arctan(dry + wet)
        - np.arctan(wet - 1.676331)
        + 0.00391838 * wet**1.5 * np.arctan(0.023101 * wet)
        - 4.686035
    )
