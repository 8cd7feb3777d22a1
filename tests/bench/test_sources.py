"""What a request costs before it is sent, as ratios of CPU time in one process.

The measure is drawing one float of a NumPy generator and summing it up: a source must draw at least
that for each request, whatever the machine. Nothing is asserted about time.
"""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest

from sim.workload import build_source
from sim.workload.plan import Workload
from tests.bench.figures import Figures, cpu_s
from tests.unit.workload import plain_source
from tests.unit.workload.conftest import make_synthetic, make_workload

ROWS = 1 << 16
DIURNAL = tuple((h * 3600.0, 1.0 + 0.6 * math.sin(h / 24 * 2 * math.pi)) for h in range(24))


def unit_s() -> float:
    """CPU seconds of drawing and summing one exponential number in NumPy."""
    rng = np.random.default_rng(1)
    return cpu_s(lambda: [rng.standard_exponential(ROWS).cumsum() for _ in range(20)]) / 20 / ROWS


def note(figures: Figures, name: str, each_s: float) -> None:
    """What one takes, in time and in draws of a float."""
    figures.add(f"sources/{name}", each_s * 1e9, "ns")
    figures.add(f"sources/{name}, in draws", each_s / unit_s(), "x a float of NumPy's")


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
def test_what_a_request_costs(name, what, changes, duration_s, figures: Figures) -> None:
    workload = make_workload(synthetic=make_synthetic(name), **changes)
    chunks = 300 if "rate_per_s" in changes else 20
    made = requests_in(workload, duration_s, chunks)
    each_s = cpu_s(lambda: requests_in(workload, duration_s, chunks)) / made
    note(figures, f"{name}, {what}", each_s)
    assert made > 100_000


@pytest.mark.bench
@pytest.mark.parametrize("name", ["synthetic-chat", "synthetic-code"])
def test_what_compiling_saves(name: str, figures: Figures) -> None:
    workload = make_workload(synthetic=make_synthetic(name), rate_per_s=200.0)
    made = requests_in(workload, 1800.0, 100)
    compiled = cpu_s(lambda: requests_in(workload, 1800.0, 100))
    plain = cpu_s(lambda: sum(1 for _ in plain_source.source_chunks(workload, 3, 1800.0)))
    figures.add(f"sources/{name}, plain NumPy", plain / compiled, "x compiled")
    assert made > 100_000


@pytest.mark.bench
@pytest.mark.parametrize("name", ["synthetic-chat", "synthetic-code"])
def test_an_hour_of_a_large_day(name: str, figures: Figures) -> None:
    """12,000 /s on average over a day with a profile of 24 hours: 10⁹ requests."""
    synthetic = make_synthetic(name, profile=DIURNAL)
    workload = make_workload(synthetic=synthetic, rate_per_s=12_000.0)
    made: list[int] = []
    taken_s = cpu_s(lambda: made.append(requests_in(workload, 3600.0, 10**6)), repeats=1)
    note(figures, f"{name}, an hour at 12,000 /s with a profile", taken_s / made[0])
    assert made[0] > 20_000_000
