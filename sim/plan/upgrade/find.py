"""The best next upgrade: how much more each option carries than the site as it is, for a dollar.

The capacity of the site and of the site with each option is found by the same search under the same
seeds (``sim.plan.least``). A capacity has values around it that are not excluded, so a gain has the
hull of their differences. Capacity is not linear near its limit, so options are tried as whole
steps, never extrapolated; and one at a time, as two of them together may do more or less.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.check.scenario import Scenario
from sim.cost import CostError, capital_of
from sim.errors import Problem, ScenarioError
from sim.plan.least.find import Plan, make_plan
from sim.plan.least.question import Question, checked_question
from sim.plan.runs import Making, PlanRuns
from sim.spec.upgrade import OptionSpec, UpgradeSpec, read_upgrade
from sim.study.intervals import Interval


@dataclass(frozen=True)
class Option:
    """An upgrade, checked: the question with it, and what it costs; ``reckoned``: from prices."""

    name: str
    question: Question
    cost_usd: float
    reckoned: bool


@dataclass(frozen=True)
class Upgrades:
    """A checked study: the site as it is, and the options."""

    spec: UpgradeSpec
    question: Question
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Capacity:
    """The most that meets every line, and what is not excluded around it; NaN: none does.

    ``at_least``: it is the last value of the range, so it may be more.
    """

    value: float
    interval: Interval
    at_least: bool
    binding: str

    @property
    def known(self) -> bool:
        """Whether any value meets the lines."""
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Upgraded:
    """An option with what it adds.

    ``gain``, ``gain_interval``: in the question's own unit; ``per_usd``, ``per_usd_interval``:
    divided by the cost, infinite where it costs nothing.
    """

    option: Option
    plan: Plan
    capacity: Capacity
    gain: float
    gain_interval: Interval

    @property
    def per_usd(self) -> float:
        """Gain for each dollar."""
        return _over(self.gain, self.option.cost_usd)

    @property
    def per_usd_interval(self) -> Interval:
        """Its interval."""
        low, high = self.gain_interval.low, self.gain_interval.high
        return Interval(_over(low, self.option.cost_usd), _over(high, self.option.cost_usd))

    @property
    def gains(self) -> bool:
        """Whether it surely adds anything."""
        return self.capacity.known and self.gain_interval.low > 0.0


@dataclass(frozen=True)
class UpgradePlan:
    """The site as it is, and every option, the most gain per dollar first."""

    upgrades: Upgrades
    plan: Plan
    base: Capacity
    options: tuple[Upgraded, ...]

    @property
    def best(self) -> Upgraded | None:
        """The first option if it gains anything in the means; None if no option does."""
        return next((one for one in self.options if one.gain > 0.0), None)

    @property
    def rivals(self) -> tuple[Upgraded, ...]:
        """Options that are not told apart from the best: their intervals per dollar overlap."""
        best = self.best
        if best is None:
            return ()
        low = best.per_usd_interval.low
        return tuple(
            one for one in self.options
            if one is not best and one.capacity.known and one.per_usd_interval.high >= low
        )  # fmt: skip


def _over(gain: float, cost_usd: float) -> float:
    if cost_usd > 0.0:
        return gain / cost_usd
    return math.copysign(math.inf, gain) if gain else 0.0


def load_upgrades(
    path: str | os.PathLike[str], *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> Upgrades:
    """Read such a study and check the site and every option at both ends of the range.

    Raises:
        ScenarioError: everything that is wrong; of an option with its name.
    """
    spec = read_upgrade(path, allow_outside=allow_outside)

    def checked(changed: UpgradeSpec) -> Question:
        return checked_question(
            changed.question, sets=sets, seeds=seeds, allow_outside=allow_outside
        )

    base = checked(spec)
    options, problems = [], []
    for option in spec.options:
        changes = (*spec.question.changes, *option.changes)
        changed = replace(spec, question=replace(spec.question, changes=changes))
        try:
            question = checked(changed)
            options.append(_priced(option, base, question))
        except ScenarioError as error:
            problems += [
                Problem(p.mark, p.path, f"{p.message} (with {option.name!r})")
                for p in error.problems
            ]
        except CostError as error:
            problems.append(
                Problem(option.mark, "question.upgrade.options", f"{option.name}: {error}")
            )
    if problems:
        raise ScenarioError(problems)
    return Upgrades(spec, base, tuple(options))


def _priced(option: OptionSpec, base: Question, question: Question) -> Option:
    if option.cost_usd is not None:
        return Option(option.name, question, option.cost_usd, False)
    before, after = (capital_of(_site(one)).total_usd for one in (base, question))
    return Option(option.name, question, after - before, True)


def _site(question: Question) -> Scenario:
    return question.scenario(question.last)


def best_upgrade(upgrades: Upgrades, making: Making) -> UpgradePlan:
    """Find the capacity of the site as it is and with each option.

    Raises:
        RunFailed, RackplanError: as ``make_plan``.
    """
    plan = make_plan(upgrades.question, PlanRuns(upgrades.question, making))
    base = capacity_of(plan)
    found = []
    for option in upgrades.options:
        changed = make_plan(option.question, PlanRuns(option.question, making))
        capacity = capacity_of(changed)
        found.append(Upgraded(option, changed, capacity, *_gain(base, capacity)))
    found.sort(key=lambda one: (-one.per_usd if one.gain > 0.0 else math.inf, -one.gain))
    return UpgradePlan(upgrades, plan, base, tuple(found))


def _gain(base: Capacity, option: Capacity) -> tuple[float, Interval]:
    if not option.known:
        return -math.inf if base.known else 0.0, Interval(-math.inf, 0.0)
    before = base if base.known else Capacity(0.0, Interval(0.0, 0.0), False, "")
    low = option.interval.low - before.interval.high
    return option.value - before.value, Interval(low, option.interval.high - before.interval.low)


def capacity_of(plan: Plan) -> Capacity:
    """The answer of a question for the most, as numbers of its own unit."""
    binding = str(plan.binding[0]["label"]) if plan.binding else "none"
    if plan.answer is None:
        return Capacity(math.nan, Interval(math.nan, math.nan), False, binding)
    value = _number(plan.answer.value)
    ends = [_number(end) for end in (plan.low, plan.high) if end is not None]
    at_least = plan.answer.point == 0
    high = math.inf if at_least else max([value, *ends])
    # Where no value was certified below, the answer holds in the means of the common seeds only.
    low = min([value, *ends])
    return Capacity(value, Interval(low, high), at_least, binding)


def _number(label: object) -> float:
    return float(str(label).split()[0])
