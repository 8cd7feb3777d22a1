"""Points drawn from what the axes of a study span."""

from __future__ import annotations

from collections.abc import Sequence

from sim.spec.axes import Axis, Level
from sim.spec.sampling import SamplingSpec

#: How points of a Latin hypercube are drawn, for who reads the results.
METHOD = "scipy.stats.qmc.LatinHypercube, scrambled, PCG64"


def latin_hypercube(axes: Sequence[Axis], sampling: SamplingSpec) -> list[tuple[Level, ...]]:
    """A level of each axis for every point; the same ones for the same seed.

    Of n points one lies in each n-th of every axis, at random in it; which parts go together is
    random too (McKay, Beckman and Conover, Technometrics 1979). An axis of levels is cut into as
    many parts as it has levels, so each of m levels comes up n/m times, up to one more or less.
    """
    import numpy as np
    from scipy.stats import qmc

    # Under this name of the argument, old and new versions of SciPy take a generator.
    drawn = qmc.LatinHypercube(d=len(axes), seed=np.random.default_rng(sampling.seed))
    return [
        tuple(axis.level(float(share)) for axis, share in zip(axes, shares, strict=True))
        for shares in drawn.random(sampling.points)
    ]
