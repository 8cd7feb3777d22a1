"""Overloads as people write them: ``112 % continuous``, then ``125 % for 600 s``, ascending."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from sim.units import UnitError, parse_quantity

#: (load as a multiple of the rating, seconds that it is carried; inf = for ever).
Steps = tuple[tuple[float, float], ...]


def parse_steps(texts: Sequence[str]) -> Steps:
    """``["112 % continuous", "125 % for 600 s"]`` → ``((1.12, inf), (1.25, 600.0))``.

    Raises:
        UnitError: a step of another form, or loads that do not ascend, or times that do not fall.
    """
    steps = tuple(_step(text) for text in texts)
    if not steps:
        raise UnitError("needs at least one step such as '100 % continuous'")
    for (low, longer), (high, shorter) in pairwise(steps):
        if not low < high:
            raise UnitError(f"loads must ascend: {high:.4g} does not come after {low:.4g}")
        if not longer > shorter:
            raise UnitError(f"a load of {high:.4g} cannot be carried longer than one of {low:.4g}")
    return steps


def _step(text: str) -> tuple[float, float]:
    load, found, time = text.partition(" for ")
    if found:
        return _load(load, text), parse_quantity(time, "time")
    load, found, rest = text.partition(" continuous")
    if not found or rest.strip():
        raise UnitError(f"{text!r} is no step: write '125 % for 600 s' or '100 % continuous'")
    return _load(load, text), math.inf


def _load(load: str, text: str) -> float:
    if "%" not in load:
        raise UnitError(f"{text!r} needs its load in per cent of the rating, such as '125 %'")
    value = parse_quantity(load, "fraction")
    if value <= 0.0:
        raise UnitError(f"{text!r}: a load is above 0 %")
    return value
