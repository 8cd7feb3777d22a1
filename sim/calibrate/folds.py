"""Cross-validation with whole shapes held out, and what an error is."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOLDS = 5


@dataclass(frozen=True)
class Errors:
    """Of |predicted/measured − 1|: the mean (MAPE), the median and the 90th percentile."""

    mean: float
    median: float
    p90: float


def errors_of(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> Errors:
    """The errors of predictions; both [n], n ≥ 1."""
    off = np.abs(predicted / measured - 1.0)
    return Errors(float(off.mean()), float(np.median(off)), float(np.quantile(off, 0.9)))


def folds(shapes: Sequence[Hashable]) -> Iterator[NDArray[np.bool_]]:
    """Masks of the rows to hold out, each row once, rows of one shape together.

    The shapes are dealt to five folds in an order drawn once and for all; with fewer shapes there
    are fewer folds, with one shape none.
    """
    different = list(dict.fromkeys(shapes))
    if len(different) < 2:
        return
    index = np.array([different.index(shape) for shape in shapes])
    order = np.random.default_rng(0).permutation(len(different))
    for fold in range(min(FOLDS, len(different))):
        yield np.isin(index, order[fold::FOLDS])
