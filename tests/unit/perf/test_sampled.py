"""Draws of the errors of the fits: their distribution, and what they make of a model."""

from __future__ import annotations

import numpy as np
import pytest

from sim.catalog.library import load
from sim.perf.constants import DrawErrors
from sim.perf.residuals import Residuals, Spread
from sim.perf.sampled import Factors, factors, sampled
from sim.perf.step import Batch, ReplicaModel
from tests.unit.perf.test_stacks import replica

GPU = "h100-sxm"
RESIDUALS = Residuals(Spread(0.3, 0.1, 0.2), Spread(0.5, 0.2, 0.1), 0.6, 100)


DRAW = DrawErrors(0.07, 0.2, log_sd_llm=0.1, log_sd_run=0.098)


def draws(
    count: int, configuration: str = "a", stack: str = "pooled", llm: str = "l"
) -> np.ndarray:
    """[count, 3] logarithms of the factors on decode, prefill and draw."""
    found = [
        factors(n, RESIDUALS, DRAW, stack=stack, llm=llm, configuration=configuration)
        for n in range(1, count + 1)
    ]
    return np.log([[by.decode, by.prefill, by.draw] for by in found])


def test_draws_have_the_spread_and_the_correlation_of_the_residuals() -> None:
    logs = draws(4000)
    for got, sd in zip(logs.std(axis=0), (0.3742, 0.5477, 0.14), strict=True):
        assert got == pytest.approx(sd, rel=0.05)
    assert logs.mean(axis=0) == pytest.approx(0.0, abs=0.03)
    # The stack's part and the configuration's are each correlated by 0.6.
    shared = 0.6 * (0.3 * 0.5 + np.hypot(0.1, 0.2) * np.hypot(0.2, 0.1)) / (0.3742 * 0.5477)
    assert np.corrcoef(logs[:, 0], logs[:, 1])[0, 1] == pytest.approx(shared, abs=0.04)
    assert abs(np.corrcoef(logs[:, 0], logs[:, 2])[0, 1]) < 0.05


def test_configurations_share_what_their_stack_is_off_by() -> None:
    one, same_stack, other = draws(4000), draws(4000, "b"), draws(4000, "b", "another")
    shared = np.corrcoef(one[:, 0], same_stack[:, 0])[0, 1]
    assert shared == pytest.approx(0.3**2 / 0.3742**2, abs=0.05)
    assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.05


def test_layouts_of_one_llm_share_what_its_draw_is_off_by() -> None:
    one, same_llm, other = draws(4000), draws(4000, "b"), draws(4000, "b", llm="another")
    shared = np.corrcoef(one[:, 2], same_llm[:, 2])[0, 1]
    assert shared == pytest.approx(0.1**2 / 0.14**2, abs=0.05)
    assert abs(np.corrcoef(one[:, 2], other[:, 2])[0, 1]) < 0.05


def test_a_draw_is_the_same_each_time_and_the_zeroth_is_the_fit() -> None:
    again = factors(7, RESIDUALS, DRAW, stack="s", llm="l", configuration="c")
    assert again == factors(7, RESIDUALS, DRAW, stack="s", llm="l", configuration="c")
    assert again != factors(8, RESIDUALS, DRAW, stack="s", llm="l", configuration="c")
    assert factors(0, RESIDUALS, DRAW, stack="s", llm="l", configuration="c") == Factors()


def changed(by: Factors) -> tuple[ReplicaModel, ReplicaModel]:
    model = replica(None)
    return model, sampled(model, load().gpus[GPU], by)


def test_no_error_changes_nothing() -> None:
    model, same = changed(Factors())
    assert same == model


@pytest.mark.parametrize("level", [0, -1])
def test_decoding_and_prefill_take_their_own_factor(level: int) -> None:
    model, other = changed(Factors(decode=1.5, prefill=0.8))
    decoding = Batch(64, 64, 64 * 2000, 0, 0, 0)
    ratio = other.cost[level].iteration_s(decoding) / model.cost[level].iteration_s(decoding)
    assert ratio == pytest.approx(1.5, rel=1e-9)
    # Of a prompt all but the fixed part of an iteration.
    prompt = Batch(8192, 0, 0, 0, 8192**2, 0)
    fixed = model.cost[level].fixed_s
    before, after = (m.cost[level].iteration_s(prompt) for m in (model, other))
    assert after - 1.5 * fixed == pytest.approx(0.8 * (before - fixed), rel=1e-9)


def test_more_tokens_never_take_less_time() -> None:
    _, other = changed(Factors(decode=3.0, prefill=0.3))
    for cost in other.cost:
        assert all(a <= b for a, b in zip(cost.grid_s, cost.grid_s[1:], strict=False))


def test_the_draw_above_idle_is_scaled_up_to_the_tdp() -> None:
    model, less = changed(Factors(draw=0.5))
    idle = model.power[0].idle_mw
    assert less.power[0].idle_mw == idle
    before, after = model.power[0].decode_mw[11][64], less.power[0].decode_mw[11][64]
    assert after - idle == pytest.approx(0.5 * (before - idle), abs=1)
    _, more = changed(Factors(draw=10.0))
    assert more.power[0].most_mw == 1000 * load().gpus[GPU].tdp_w
    assert less.cost == model.cost
