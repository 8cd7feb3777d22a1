"""Compares step times of aiconfigurator-core with measured serving runs, beside our own.

    python tools/compare_silicon.py SERVING_TABLE.csv [--runs 130] [--fitted]

Each run is predicted under the protocol of its harness four times: with the parameters of its
stack, with the pooled ones, with step times of aiconfigurator-core and what `silicon:` adds to them
for the host, and with those step times alone. Runs are drawn evenly over the stacks, by a hash of
their place, from the half that no parameter was fitted on, or with --fitted from the other one.
Needs the extra 'silicon'. docs/silicon.md has what it printed.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from sim.catalog.library import load
from sim.engine.predict import Predictor, ServingQuery
from sim.perf.calibration import overheads
from sim.perf.silicon import SiliconError, silicon_named
from sim.perf.stacks import POOLED, Stack, stack_named
from sim.perf.step import ReplicaModel
from sim.validate.runs import Run, read_runs, stack_for
from sim.validate.serving import METRICS, Evaluator, Outcome, score

VARIANTS = ("stack", "pooled", "silicon", "silicon alone")


@dataclass
class SiliconPredictor(Predictor):
    """Predicts with the kernels of the backend that is named last."""

    backend: str = ""
    host: bool = True

    def serving(self, llm: Any, gpu: Any, query: ServingQuery, stack: Stack | None = None) -> Any:
        asked = replace(query, silicon=silicon_named(self.backend))
        return super().serving(llm, gpu, asked, stack)

    def _model(self, *args: Any) -> ReplicaModel:
        model = super()._model(*args)
        if self.host:
            return model
        over, groups = overheads(), args[2].data_parallel_attention
        bare = [
            replace(
                cost,
                fixed_s=cost.fixed_s - over.iteration_s,
                per_decode_s=cost.per_decode_s - over.sequence_s / groups,
            )
            for cost in model.cost
        ]
        return replace(model, cost=tuple(bare))


@dataclass
class Comparison:
    """Outcomes by variant, of the runs that all variants can predict."""

    own: Evaluator = field(default_factory=Evaluator)
    host: SiliconPredictor = field(default_factory=SiliconPredictor)
    alone: SiliconPredictor = field(default_factory=lambda: SiliconPredictor(host=False))
    outcomes: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, run: Run) -> None:
        stack = stack_for(run)
        pooled = replace(stack_named(POOLED), protocol=stack.protocol)
        bare = replace(pooled, parameters=replace(pooled.parameters, request_s=0.0))
        self.host.backend = self.alone.backend = run.stack.split("-")[0]
        try:
            found = [
                Evaluator(self.host).outcome(run, pooled),
                Evaluator(self.alone).outcome(run, bare),
            ]
        except SiliconError as error:
            self.refused[f"{run.stack}: {error}"] += 1
            return
        found = [self.own.outcome(run, stack), self.own.outcome(run, pooled), *found]
        if why := next((one.why_not for one in found if one.why_not), ""):
            self.refused[f"{run.stack}: {why}"] += 1
            return
        for name, outcome in zip(VARIANTS, found, strict=True):
            self.outcomes[name].append(outcome)


def drawn(runs: list[Run], most: int) -> Iterator[Run]:
    """Runs of one stack after the other, by the hash of their place, ``most`` in all."""
    waiting: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda one: sha256(f"{one.place}x".encode()).hexdigest()):
        waiting[run.stack].append(run)
    count = 0
    while any(waiting.values()):
        for name in sorted(waiting):
            if waiting[name] and count < most:
                count += 1
                yield waiting[name].pop(0)
        if count == most:
            return


def report(comparison: Comparison) -> None:
    for prefix in ("", "trtllm", "vllm", "sglang"):
        for name in VARIANTS:
            some = [o for o in comparison.outcomes[name] if o.run.stack.startswith(prefix)]
            s = score(some)
            errors = ", ".join(
                f"{metric} {100 * s.median[metric]:.1f} % (P90 {100 * s.p90[metric]:.0f} %, bias "
                f"{100 * s.bias[metric]:+.0f} %)"
                for metric in METRICS
            )
            print(f"{prefix or 'all':8}{name:15}{s.runs:4} runs: {errors}")
    for why, count in comparison.refused.items():
        print(f"{count} not predicted: {why}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("--runs", type=int, default=130)
    parser.add_argument("--fitted", action="store_true")
    asked = parser.parse_args()
    known = load()
    runs = [
        run
        for run in read_runs(asked.table)
        if not run.not_simulated
        and run.llm in known.llms
        and run.layout.pipeline_parallel == 1
        and run.held_out != asked.fitted
    ]
    comparison = Comparison()
    for run in drawn(runs, asked.runs):
        comparison.add(run)
    report(comparison)


if __name__ == "__main__":
    main()
