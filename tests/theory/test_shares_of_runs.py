"""What is said of a probability errs no more often than it says, however often it is looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import betaln

from sim.study.intervals import share_bounds
from sim.study.sequence import first_look_at_share, seen_share

PATHS, MOST = 400, 80


@pytest.mark.parametrize(("p", "expected"), [(0.02, 0.05), (0.1, 0.1), (0.5, 0.2), (0.97, 0.9)])
def test_it_holds_the_truth_at_every_look_together(p: float, expected: float) -> None:
    rng = np.random.default_rng(17)
    hits = (rng.random((PATHS, MOST)) < p).cumsum(axis=1)
    kept: dict[tuple[int, int], bool] = {}

    def missed(n: int, count: int) -> bool:
        if (n, count) not in kept:
            found = seen_share(count, n, 0.05, expected)
            kept[n, count] = not found.low <= p <= found.high
        return kept[n, count]

    ever = [any(missed(n, int(path[n - 1])) for n in range(1, MOST + 1)) for path in hits]
    # Ville's inequality: at most 5 %; three standard errors of so many paths beyond.
    assert np.mean(ever) <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / PATHS)


def test_its_ends_are_where_the_mixture_says() -> None:
    """The likelihood ratio at both ends is 1/α, of Beta(1/2, 9/2) whose mean is a tenth."""
    hits, n = 7, 60
    found = seen_share(hits, n, 0.01, 0.1)
    for end in (found.low, found.high):
        log = betaln(0.5 + hits, 4.5 + n - hits) - betaln(0.5, 4.5)
        log -= hits * math.log(end) + (n - hits) * math.log1p(-end)
        assert log == pytest.approx(math.log(100.0), abs=1e-6)
    assert found.low < hits / n < found.high
    # Free looks cost width: a single look's interval lies inside.
    single = share_bounds(hits, n)
    assert found.low < single.low
    assert single.high < found.high
    mirrored = seen_share(n - hits, n, 0.01, 0.9)
    assert mirrored.low == pytest.approx(1.0 - found.high)


@pytest.mark.parametrize("limit", [0.01, 0.1, 0.95])
def test_how_many_seeds_a_risk_takes(limit: float) -> None:
    least = first_look_at_share(limit, 0.05 / 8)
    low = min(limit, 1.0 - limit)
    assert seen_share(0, least, 0.05 / 8, low).high <= low
    assert seen_share(0, least - 1, 0.05 / 8, low).high > low
    # Even a single look needs about ln(1/α)/limit of them.
    assert least > math.log(8 / 0.05) / -math.log1p(-low)
