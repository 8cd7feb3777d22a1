"""What one step more of each resource buys: differences under common seeds.

Each step is run under the same seeds as the point itself, and the line that binds there is compared
seed by seed, so that requests and their times are the same on both sides. What it is worth in
requests a second follows from the slope of the same line over the rate:

    worth = −Δ(value by the step) / (Δ(value by the rate) / Δrate),

with the jackknife's interval over the seeds. It is the first order: lines bend upwards near their
limit, so a whole step is rather worth more (a plan with that step says how much). Runs that are
equal under every seed are a proof that the resource does not bind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.check.scenario import Pool, Scenario
from sim.errors import ScenarioError
from sim.plan.least.find import Plan
from sim.plan.least.question import Question
from sim.plan.margins import Objective
from sim.plan.runs import PlanRuns
from sim.study.intervals import CONFIDENCE, Interval, alike, student

#: Seeds that a step gets, as far as the plan has so many.
SEEDS = 8
#: The rate is lowered by this share to see how a line answers to it.
RATE_STEP = 0.02
_MORE = 1.25  # more of what is not counted in pieces


@dataclass(frozen=True)
class Step:
    """A little more of something: in words, and as ``--set`` takes it."""

    text: str
    change: str


@dataclass(frozen=True)
class Worth:
    """What a step buys.

    Attributes:
        change, interval: of the binding line's value, step less point, by Student's t over pairs.
        equal: no run differs in it.
        rate_per_s, rate_interval: what that is worth in requests of ``workload`` a second; None
            where the line does not answer to the rate, or nobody states one.
    """

    step: Step
    change: float
    interval: Interval
    equal: bool
    rate_per_s: float | None = None
    rate_interval: Interval | None = None


@dataclass(frozen=True)
class Shadows:
    """Steps from one point, and the line that they move."""

    at: object
    line: Objective
    workload: str
    seeds: int
    worths: tuple[Worth, ...]


def steps_of(scenario: Scenario) -> list[Step]:
    """A step of each resource that the scenario states in numbers."""
    found: list[Step] = []
    for pool in scenario.pools:
        path = f"pools[{pool.name}]"
        found.append(
            Step(f"one more replica of {pool.name}", f"{path}.replicas={pool.replicas + 1}")
        )
        found += _of_batching(pool, path)
    budget_w = next((n.budget_w for n in scenario.power.nodes if n.kind == "utility"), None)
    if budget_w:
        text = f"{_MORE - 1:.0%} more power contracted".replace("%", " %")
        found.append(Step(text, f"power.utility.budget={_MORE * budget_w:.9g} W"))
    return found


def _of_batching(pool: Pool, path: str) -> list[Step]:
    """Larger limits of a pool's batch; all parameters are written out, for those of the pool."""
    from sim.check.resolved import plain_policy

    stated = plain_policy(pool.batching)

    def step(text: str, **changes: object) -> Step:
        parts = ", ".join(f"{key}: {value}" for key, value in {**stated, **changes}.items())
        return Step(f"{text} of {pool.name}", f"{path}.policies.batching={{{parts}}}")

    sequences = round(_MORE * stated["max_sequences"])
    tokens = 2 * stated["max_batch_tokens"]
    found = [
        step(f"max_sequences {sequences}", max_sequences=sequences),
        step(f"max_batch_tokens {tokens}", max_batch_tokens=tokens),
    ]
    memory = round(stated["memory_utilisation"] + 0.02, 6)
    if memory <= 1.0:
        text = f"memory_utilisation {memory:g}"
        found.append(step(text, memory_utilisation=memory))
    return found


def shadows(plan: Plan, runs: PlanRuns) -> Shadows | None:
    """What steps from the last point that misses buy, else from the answer; None if none was run.

    Steps that this site has no room for are left out.

    Raises:
        RunFailed: a run came to no end.
    """
    question = plan.question
    before = plan.beside(-1)
    at = before if before is not None and before.lines else plan.answer
    if at is None or not at.lines:
        return None
    line = (at.worst or at.lines[0]).objective
    scenario = question.scenario(at.point)
    seeds = question.seeds[: min(SEEDS, len(question.seeds))]
    workload, rate_per_s, slower = _slower(scenario, line)
    steps = [step for step in steps_of(scenario) if _possible(question, at.point, step)]
    changes = [step.change for step in steps] + ([slower] if slower else [])
    found = runs.changed(at.point, changes, seeds)
    values = {key: [seed[line.text] for seed in of_key] for key, of_key in found.items()}
    point = values[""]
    by_rate = None
    if slower:
        by_rate = [
            (line.margin(here) - line.margin(there)) / (RATE_STEP * rate_per_s)
            for here, there in zip(point, values[slower], strict=True)
        ]
    worths = tuple(_worth(line, step, point, values[step.change], by_rate) for step in steps)
    return Shadows(at.value, line, workload, len(seeds), worths)


def _slower(scenario: Scenario, line: Objective) -> tuple[str, float, str]:
    """The workload whose rate is the measure, its rate, and a change that lowers it a little."""
    name = line.workload or line.metric.rpartition(".")[0] or scenario.workloads[0].name
    for workload in scenario.workloads:
        if workload.name == name and workload.rate_per_s is not None:
            rate = workload.rate_per_s * (1.0 - RATE_STEP)
            return name, workload.rate_per_s, f"workload[{name}].rate={rate:.9g} /s"
    return name, math.nan, ""


def _possible(question: Question, point: int, step: Step) -> bool:
    from sim.engine.build import build
    from sim.errors import BuildError

    try:
        build(question.scenario(point, (step.change,)), question.seeds[0])
    except (ScenarioError, BuildError):
        return False
    return True


def _worth(
    line: Objective,
    step: Step,
    point: Sequence[float],
    changed: Sequence[float],
    by_rate: Sequence[float] | None,
) -> Worth:
    differences = [after - before for before, after in zip(point, changed, strict=True)]
    mean = math.fsum(differences) / len(differences)
    equal = all(difference == 0.0 for difference in differences)
    interval = Interval(mean, mean) if alike(differences) else student(differences).interval
    if equal or by_rate is None or not _answers(by_rate):
        return Worth(step, mean, interval, equal)
    better = [d if line.more else -d for d in differences]
    rate, rate_interval = _ratio(better, by_rate)
    return Worth(step, mean, interval, equal, rate, rate_interval)


def _answers(by_rate: Sequence[float]) -> bool:
    """Whether the line surely answers to the rate: else a ratio to that slope means nothing."""
    return not alike(by_rate) and student(by_rate).interval.low > 0.0


def _ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, Interval]:
    """The ratio of two means over the same seeds, with the jackknife's interval."""
    n = len(above)
    total, slope = math.fsum(above), math.fsum(below)
    left_out = [(total - a) / (slope - b) for a, b in zip(above, below, strict=True)]
    pseudo = [n * total / slope - (n - 1) * one for one in left_out]
    if alike(pseudo):
        return total / slope, Interval(total / slope, total / slope)
    found = student(pseudo, confidence=CONFIDENCE)
    return total / slope, found.interval
