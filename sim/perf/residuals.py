"""How errors of predicted speeds hang together, from residuals of held-out runs.

``data/calibration/stacks.yaml`` has them by error class (``sim.perf.expected`` picks one). A
residual is log(measured/predicted); it is taken as normal, of mean zero, and as the sum of three
independent parts: one that all runs of a serving stack share, one that all loads of a configuration
(GPU, LLM, precision, layout, lengths) share, and the rest of a run. Estimated by
``tools/stack_residuals.py``, where the choices are explained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sim.errors import DataError


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a residual's independent parts, as logarithms of a time."""

    stack: float
    configuration: float
    run: float

    @property
    def total(self) -> float:
        """Of their sum."""
        return math.hypot(self.stack, self.configuration, self.run)


@dataclass(frozen=True)
class Residuals:
    """The covariance of residuals.

    Attributes:
        decode: of the time per output token.
        prefill: of the time to first token of few clients, which hardly queue.
        correlation: between the two of one run, in [-1, 1].
        runs: held-out runs that they were estimated from.
    """

    decode: Spread
    prefill: Spread
    correlation: float
    runs: int


def parse_residuals(entry: Mapping[str, Any], place: str) -> Residuals:
    """One entry of the file.

    Raises:
        DataError: names ``place`` and what is not as it should be.
    """
    try:
        found = Residuals(
            Spread(**entry["decode"]), Spread(**entry["prefill"]), entry["correlation"],
            entry["runs"],
        )  # fmt: skip
        least = min(*_parts(found.decode), *_parts(found.prefill))
        if least < 0:
            raise DataError(place, f"residuals: a standard deviation is 0 or more, not {least}")
        if not -1 <= found.correlation <= 1:
            raise DataError(place, f"residuals: correlation {found.correlation} is not in -1..1")
    except KeyError as error:
        raise DataError(place, f"residuals: no {error}") from error
    except TypeError as error:
        raise DataError(place, f"residuals: {error}") from error
    return found


def widest(some: Sequence[Residuals]) -> Residuals:
    """Of several classes: the largest of each number, and the fewest runs."""
    return Residuals(
        _widest([one.decode for one in some]),
        _widest([one.prefill for one in some]),
        max(one.correlation for one in some),
        min(one.runs for one in some),
    )


def _widest(some: Sequence[Spread]) -> Spread:
    return Spread(*(max(values) for values in zip(*map(_parts, some), strict=True)))


def _parts(spread: Spread) -> tuple[float, ...]:
    return tuple(getattr(spread, field.name) for field in fields(spread))
