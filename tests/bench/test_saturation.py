"""The rate at which the benches' replicas saturate, which their loads are fractions of."""

from __future__ import annotations

from dataclasses import replace

import pytest

import sim
from tests.bench.figures import Figures
from tests.bench.sites import SATURATION_PER_S, Bench

DURATION_S = 1200.0
#: Longest wait of 99 in 100 low-priority requests that counts as keeping up.
MOST_WAIT_S = 1.0


def keeps_up(bench: Bench, rate_per_s: float) -> bool:
    """Whether 8 replicas serve this rate each without a queue that grows."""
    known = SATURATION_PER_S[bench.llm, bench.tensor_parallel]
    scenario = replace(bench, load=rate_per_s / known).scenario(DURATION_S)
    wait_s = sim.run_scenario(scenario, engine="compiled").metrics["background.queue_p99"].value
    return wait_s is not None and wait_s <= MOST_WAIT_S


@pytest.mark.bench
@pytest.mark.parametrize(("llm", "tensor_parallel"), SATURATION_PER_S)
def test_saturation(llm: str, tensor_parallel: int, figures: Figures) -> None:
    """By bisection to 1 %; loads of the other benches rest on what is written in ``sites``."""
    bench = Bench(8, llm=llm, tensor_parallel=tensor_parallel)
    low, high = 1.0, 100.0
    while high > 1.01 * low:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if keeps_up(bench, middle) else (low, middle)
    figures.add(f"saturation/{llm} on {tensor_parallel}", low, "requests/s a replica")
    assert low == pytest.approx(SATURATION_PER_S[llm, tensor_parallel], rel=0.03)
