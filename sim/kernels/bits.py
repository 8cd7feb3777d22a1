"""The bits of a float64: 1 of sign, 11 of exponent (which 1023 is added to), 52 of mantissa.

Bits of numbers that are not negative, as integers, have the order of the numbers.
"""

from __future__ import annotations

import numpy as np

from sim.kernels.jit import kernel

MANTISSA_BITS = 52


@kernel
def bits_of(value: float) -> int:
    """The bits of a value, as an integer."""
    return np.float64(value).view(np.int64)  # type: ignore[return-value]


@kernel
def value_of(bits: int) -> float:
    """The value that has these bits."""
    return np.int64(bits).view(np.float64)


@kernel
def exponent_of(value: float) -> int:
    """The exponent of a positive normal value, as of ``math.frexp``: mantissas from ½ to 1."""
    return (bits_of(value) >> MANTISSA_BITS) - 1022
