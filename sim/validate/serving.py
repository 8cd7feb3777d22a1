"""Predicts measured serving runs with the engine, and says how far off each prediction is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from sim.catalog.library import load
from sim.engine.predict import Prediction, Predictor, ServingQuery
from sim.perf.stacks import Stack
from sim.validate.runs import Run

METRICS = ("tpot", "throughput", "ttft")


@dataclass(frozen=True)
class Outcome:
    """A run and its prediction: TPOT in s, throughput in tokens/s, TTFT in s.

    ``predicted`` and ``measured`` hold None where there is nothing to compare; ``why_not`` says
    why a run could not be predicted.
    """

    run: Run
    stack: Stack
    predicted: tuple[float | None, float | None, float | None]
    measured: tuple[float | None, float | None, float | None]
    why_not: str = ""

    @property
    def errors(self) -> tuple[float | None, ...]:
        """Relative errors by metric: predicted over measured, less one."""
        return tuple(
            None if p is None or not m else p / m - 1
            for p, m in zip(self.predicted, self.measured, strict=True)
        )


@dataclass
class Evaluator:
    """Predicts runs one after another; replicas that several share are modelled once."""

    predictor: Predictor = field(default_factory=Predictor)

    def outcome(self, run: Run, stack: Stack) -> Outcome:
        """The prediction of one closed-loop run under the stack's protocol."""
        assert run.clients is not None
        catalog = load()
        answer = self.predictor.serving(
            catalog.llms[run.llm],
            catalog.gpus[run.gpu],
            ServingQuery(
                run.precision, run.layout.tensor_parallel, run.input_tokens, run.output_tokens,
                run.clients, pipeline_parallel=run.layout.pipeline_parallel, stack=stack.name,
                expert_parallel=run.layout.expert_parallel,
                data_parallel_attention=run.layout.data_parallel_attention,
            ),
            stack,
        )  # fmt: skip
        outputs = round(stack.protocol.length_share * run.output_tokens)
        measured = (run.tpot_s, run.throughput(outputs), run.ttft_s)
        if not answer.fits:
            return Outcome(run, stack, (None,) * 3, measured, answer.message or "does not fit")
        return Outcome(run, stack, _predicted(run, answer, outputs), measured)

    def outcomes(self, runs: Iterable[Run], stack_of: Callable[[Run], Stack]) -> list[Outcome]:
        """The outcomes of runs that can be simulated."""
        return [self.outcome(run, stack_of(run)) for run in runs if not run.not_simulated]


def _predicted(
    run: Run, answer: Prediction, outputs: int
) -> tuple[float | None, float | None, float | None]:
    """TPOT, throughput, TTFT; throughput counted as the measured one was."""
    throughput = answer.output_tokens_per_s
    if run.output_tokens_per_s is None and answer.ttft_s is not None and run.clients is not None:
        e2e_s = answer.ttft_s + (outputs - 1) * (answer.tpot_s or 0.0)
        throughput = run.clients * outputs / e2e_s
    return answer.tpot_s, throughput, answer.ttft_s


@dataclass(frozen=True)
class Score:
    """Errors of a set of runs: by metric median, P90 and bias, relative; and the ranking.

    ``tau``: Kendall's rank correlation of throughput per GPU, predicted against measured.
    """

    runs: int
    median: dict[str, float]
    p90: dict[str, float]
    bias: dict[str, float]
    tau: float | None


def score(outcomes: Sequence[Outcome]) -> Score:
    """The errors of runs with a prediction; metrics that no run has are left out."""
    have = [one for one in outcomes if not one.why_not]
    found: dict[str, NDArray[np.float64]] = {}
    for i, name in enumerate(METRICS):
        errors = [one.errors[i] for one in have]
        values = np.array([error for error in errors if error is not None])
        if len(values):
            found[name] = values
    return Score(
        len(have),
        {name: float(np.median(abs(off))) for name, off in found.items()},
        {name: float(np.percentile(abs(off), 90)) for name, off in found.items()},
        {name: float(np.median(off)) for name, off in found.items()},
        rank_correlation(have),
    )


def rank_correlation(outcomes: Sequence[Outcome]) -> float | None:
    """Kendall's tau of throughput per GPU; None with fewer than three runs."""
    pairs = [
        (one.predicted[1] / one.run.layout.gpus, one.measured[1] / one.run.layout.gpus)
        for one in outcomes
        if one.predicted[1] is not None and one.measured[1] is not None
    ]
    if len(pairs) < 3:
        return None
    return float(kendalltau(*zip(*pairs, strict=True)).statistic)
