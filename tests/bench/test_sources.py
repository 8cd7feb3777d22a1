"""What a request costs before it is sent, as ratios of CPU time in one process.

The measure is drawing one float of a NumPy generator and summing it up: a source must draw at least
that for each request, whatever the machine. Nothing is asserted about time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from sim.workload import build_source
from sim.workload.plan import Workload
from tests.unit.workload import plain_source
from tests.unit.workload.conftest import make_synthetic, make_workload

REPEATS = 5
ROWS = 1 << 16
DIURNAL = tuple((h * 3600.0, 1.0 + 0.6 * math.sin(h / 24 * 2 * math.pi)) for h in range(24))


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of a few repeats."""
    best = math.inf
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def unit_s() -> float:
    """CPU seconds of drawing and summing one exponential number in NumPy."""
    rng = np.random.default_rng(1)
    return cpu_s(lambda: [rng.standard_exponential(ROWS).cumsum() for _ in range(20)]) / 20 / ROWS


def requests_in(workload: Workload, duration_s: float, chunks: int) -> int:
    """Draw up to so many chunks; how many requests they had."""
    source = build_source(workload, index=0, seed=3, duration_s=duration_s)
    return sum(len(chunk) for chunk in islice(source.chunks(), chunks))


@pytest.mark.bench
@pytest.mark.parametrize("name", ["synthetic-chat", "synthetic-code"])
@pytest.mark.parametrize(
    ("what", "changes", "duration_s"),
    [
        ("200 /s for an hour", {"rate_per_s": 200.0}, 3600.0),
        ("1,600 /s for 10 min", {"rate_per_s": 1600.0}, 600.0),
        ("31,250 /s for 10 min", {"rate_per_s": 31_250.0}, 600.0),
        ("2,000 clients", {"clients": 2000}, 600.0),
        ("1,600 /s, a tenth gives up",
         {"rate_per_s": 1600.0, "cancel_after_s": 5.0, "cancel_fraction": 0.1}, 600.0),
    ],
)  # fmt: skip
def test_what_a_request_costs(name, what, changes, duration_s) -> None:
    workload = make_workload(synthetic=make_synthetic(name), **changes)
    chunks = 300 if "rate_per_s" in changes else 20
    made = requests_in(workload, duration_s, chunks)
    each_s = cpu_s(lambda: requests_in(workload, duration_s, chunks)) / made
    print(f"\n{name}, {what}: {each_s * 1e9:.1f} ns a request, {each_s / unit_s():.1f} units")
    assert made > 100_000


@pytest.mark.bench
@pytest.mark.parametrize("name", ["synthetic-chat", "synthetic-code"])
def test_what_compiling_saves(name: str) -> None:
    workload = make_workload(synthetic=make_synthetic(name), rate_per_s=200.0)
    made = requests_in(workload, 1800.0, 100)
    compiled = cpu_s(lambda: requests_in(workload, 1800.0, 100))
    plain = cpu_s(lambda: sum(1 for _ in plain_source.source_chunks(workload, 3, 1800.0)))
    print(f"\n{name}, 200 /s for half an hour: plain NumPy takes {plain / compiled:.1f} x as long")
    assert made > 100_000


@pytest.mark.bench
@pytest.mark.parametrize("name", ["synthetic-chat", "synthetic-code"])
def test_an_hour_of_a_large_day(name: str) -> None:
    """12,000 /s on average over a day with a profile of 24 hours: 10⁹ requests."""
    synthetic = make_synthetic(name, profile=DIURNAL)
    workload = make_workload(synthetic=synthetic, rate_per_s=12_000.0)
    start = time.process_time()
    made = requests_in(workload, 3600.0, 10**6)
    each_s = (time.process_time() - start) / made
    print(f"\n{name}, {made:,} requests: {each_s * 1e9:.1f} ns each, {each_s / unit_s():.1f} units")
    assert made > 20_000_000
