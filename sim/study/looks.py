"""How many seeds are enough: looks at 4, 8, 16, … of them, each at its share of the error.

Who adds seeds until an answer comes out errs far more often than once in twenty, unless every look
has a stricter level of its own. The levels here spend a total error α as Pocock-like spending does
(Lan and DeMets, Biometrika 1983): by the time that a share t of the most seeds is there,
α·ln(1 + (e − 1)·t) is spent. They are found by integrating the density of the sum of normal values
that no look has decided yet (Armitage, McPherson and Rowe, JRSS A 1969), and used as the levels of
Student's t, which errs a little more for few seeds: 5.0 % become 5.5 % for skewed values as tails
of latency are at 85 % load (``tests/theory/test_looks.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: A look at 4 seeds, then each time at twice as many.
FIRST_LOOK = 4
_POINTS = 1001
_WIDTH = 9.0  # standard deviations of the sum that the grid spans


def looks(most: int) -> tuple[int, ...]:
    """Numbers of seeds to look at: 4, 8, 16, … up to ``most``, which is the last."""
    found = []
    count = FIRST_LOOK
    while count < most:
        found.append(count)
        count *= 2
    return (*found, most)


@lru_cache(maxsize=32)
def levels(at: tuple[int, ...], error: float) -> tuple[float, ...]:
    """The two-sided level of each look, which together err with probability ``error``.

    Args:
        at: numbers of seeds, ascending.
        error: α, between 0 and 1.
    """
    spent = [error * math.log(1 + (math.e - 1) * n / at[-1]) for n in at]
    found: list[float] = []
    # The sum of no value is 0 for certain.
    grid, mass, last, before = np.zeros(1), np.ones(1), 0, 0.0
    for n, total in zip(at, spent, strict=True):
        sums = np.linspace(-_WIDTH, _WIDTH, _POINTS) * math.sqrt(n)
        step = float(sums[1] - sums[0])
        density = _normal(sums[:, None] - grid, n - last) @ mass
        bound = _bound(sums, density, step, total - before)
        found.append(math.erfc(bound / math.sqrt(2.0 * n)))
        grid, mass, last, before = sums, np.where(abs(sums) < bound, density, 0.0) * step, n, total
    return tuple(found)


def _normal(x: Floats, variance: float) -> Floats:
    density: Floats = np.exp(-(x**2) / (2.0 * variance)) / math.sqrt(2.0 * math.pi * variance)
    return density


def _bound(grid: Floats, density: Floats, step: float, tail: float) -> float:
    """Where |x| has ``tail`` of the density beyond it."""
    half = len(grid) // 2
    mass = density[half:] * step
    beyond = np.cumsum(mass[::-1])[::-1] - mass / 2  # trapezoids
    # Between grid points by the logarithm, in which tails of normals are almost straight.
    return float(np.interp(-math.log(tail / 2.0), -np.log(np.maximum(beyond, 1e-300)), grid[half:]))


def confidences(at: Sequence[int], confidence: float) -> tuple[float, ...]:
    """The confidence of each look's interval, for ``confidence`` over all of them."""
    return tuple(1.0 - level for level in levels(tuple(at), 1.0 - confidence))
