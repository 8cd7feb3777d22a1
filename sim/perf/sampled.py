"""Other calibrations that the measurements allow: a replica's model with the fits' errors drawn.

The errors are those of held-out runs (``sim.perf.residuals``): how far, in logarithms, measured
times and draws were from predicted ones. One draw has three factors for a replica: on the time of
what decodes, on the time of what prefills, and on the draw above idle. What a stack does to all
of its runs, and what is common to one configuration, are normal draws of their own, so two pools
of one stack are off together, as far as its runs were; decoding and prefill are correlated as
their errors were.

What is not drawn: network, cooling, memory (each has its own account of how far to trust it), and
steps that were measured rather than predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from math import exp, hypot, sqrt

import numpy as np

from sim.catalog.types import Gpu
from sim.perf.calibration import draw_errors
from sim.perf.constants import DrawErrors
from sim.perf.expected import expected_error
from sim.perf.residuals import Residuals
from sim.perf.stacks import prefilling
from sim.perf.step import ReplicaModel, StepCost, StepPower
from sim.rng import generator


@dataclass(frozen=True)
class Factors:
    """What one draw multiplies: times of decoding and of prefill, draw above idle."""

    decode: float = 1.0
    prefill: float = 1.0
    draw: float = 1.0


@dataclass(frozen=True)
class Configuration:
    """What has an error of its own: an LLM on a GPU type in a layout, under a serving stack."""

    stack: str  # full name
    llm: str
    precision: str
    gpu: str
    tensor_parallel: int
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    data_parallel_attention: int = 1

    def factors(self, sample: int) -> Factors:
        """The ``sample``-th draw from the errors of its class, from 1 on; 0 has the fitted values.

        Raises:
            DataError: the records of the fits are not what their tools write.
        """
        expected = expected_error(
            self.stack, llm=self.llm, gpu=self.gpu, tensor_parallel=self.tensor_parallel
        )
        name = "/".join(map(str, astuple(self)))
        return factors(
            sample, expected.residuals, draw_errors(self.gpu),
            stack=self.stack, llm=f"{self.gpu}/{self.llm}", configuration=name,
        )  # fmt: skip


def factors(
    sample: int,
    residuals: Residuals,
    draw: DrawErrors,
    *,
    stack: str,
    llm: str,
    configuration: str,
) -> Factors:
    """The ``sample``-th draw, from 1 on; 0 has the fitted values.

    Args:
        residuals: of an error class.
        draw: of the draw above idle.
        stack: whose times are off together.
        llm: on its GPU type: whose draws are off together.
        configuration: tells what has an error of its own from what else runs on the stack.
    """
    if sample == 0:
        return Factors()
    decode, prefill = residuals.decode, residuals.prefill
    common = _correlated(sample, f"calibration/stack/{stack}", residuals.correlation)
    name = f"calibration/configuration/{configuration}"
    own = _correlated(sample, name, residuals.correlation)
    of_llm, of_run = (
        float(generator(sample, f"calibration/draw/{key}").standard_normal())
        for key in (llm, configuration)
    )
    return Factors(
        decode=exp(decode.stack * common[0] + hypot(decode.configuration, decode.run) * own[0]),
        prefill=exp(prefill.stack * common[1] + hypot(prefill.configuration, prefill.run) * own[1]),
        draw=exp(draw.log_sd_llm * of_llm + draw.log_sd_run * of_run),
    )


def _correlated(sample: int, name: str, correlation: float) -> tuple[float, float]:
    """Two standard normal draws of a stream, correlated."""
    first, second = map(float, generator(sample, name).standard_normal(2))
    return first, correlation * first + sqrt(1.0 - correlation**2) * second


def sampled(model: ReplicaModel, gpu: Gpu, by: Factors, pipeline_parallel: int = 1) -> ReplicaModel:
    """``model`` with times and draws multiplied; the draw stays at or below the GPU's TDP."""
    return replace(
        model,
        cost=tuple(_cost(cost, by, pipeline_parallel) for cost in model.cost),
        power=tuple(_power(power, by.draw, round(1000 * gpu.tdp_w)) for power in model.power),
    )


def _cost(cost: StepCost, by: Factors, passes: int) -> StepCost:
    """Passes of few tokens decode, those of many prefill: the same division as of a stack's scales.

    More tokens never take less time, whatever the two factors.
    """
    share = np.maximum(np.asarray(cost.grid_tokens, dtype=float), 1.0) / passes
    scale = by.decode + (by.prefill - by.decode) * prefilling(share)
    grid = np.maximum.accumulate(np.asarray(cost.grid_s) * scale)
    return replace(
        cost,
        fixed_s=cost.fixed_s * by.decode,
        grid_s=tuple(grid.tolist()),
        per_decode_s=cost.per_decode_s * by.decode,
        per_kv_token_s=cost.per_kv_token_s * by.decode,
        per_windowed_kv_token_s=cost.per_windowed_kv_token_s * by.decode,
        per_prefill_pair_s=cost.per_prefill_pair_s * by.prefill,
        per_windowed_prefill_pair_s=cost.per_windowed_prefill_pair_s * by.prefill,
    )


def _power(power: StepPower, factor: float, most_mw: int) -> StepPower:
    idle = power.idle_mw

    def scaled(row: Sequence[int]) -> tuple[int, ...]:
        return tuple(min(round(idle + (mw - idle) * factor), max(most_mw, mw)) for mw in row)

    return replace(
        power,
        decode_mw=tuple(scaled(row) for row in power.decode_mw),
        prefill_mw=scaled(power.prefill_mw),
    )
