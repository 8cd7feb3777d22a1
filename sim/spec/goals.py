"""What a study is for: ``objective``, ``constraints`` and ``budget``.

``objective: {minimise: chat.ttft_p99}`` or ``maximise``; ``objectives:`` is a list of two or more
of them. ``constraints`` are lines as in ``expect:``. ``budget: {runs: 500, time: 10 min}`` is what
one call may spend.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import Mark
from sim.spec.axes import Findings
from sim.spec.nodes import Node, Path, show, show_path
from sim.spec.quantity import read_quantity
from sim.units import UnitError

MINIMISE, MAXIMISE = "minimise", "maximise"
_INSTEAD = {"minimize": MINIMISE, "maximize": MAXIMISE, "min": MINIMISE, "max": MAXIMISE}


@dataclass(frozen=True)
class GoalSpec:
    """A metric that is to be as small or as large as can be, and where it is named."""

    goal: str
    metric: str
    mark: Mark
    path: str

    @property
    def sign(self) -> float:
        """1 where less is better, −1 where more is."""
        return 1.0 if self.goal == MINIMISE else -1.0

    @property
    def text(self) -> str:
        """``minimise chat.ttft_p99``."""
        return f"{self.goal} {self.metric}"


@dataclass(frozen=True)
class BudgetSpec:
    """What one call of a study may spend; None = no such bound.

    Attributes:
        runs: that are made, those that are there not counted.
        time_s: after which none is begun; those that run come to their end.
    """

    runs: int | None
    time_s: float | None


def read_objectives(
    one: Node | None, several: Node | None, found: Findings
) -> tuple[GoalSpec, ...]:
    """The objectives of a study; what is wrong goes to ``found``."""
    if one is not None and several is not None:
        found.add(several, ("objectives",), "a study has an objective or objectives, not both")
        return ()
    if one is not None:
        goal = _goal(one, ("objective",), found)
        return () if goal is None else (goal,)
    if several is None:
        return ()
    if not isinstance(several.value, tuple) or len(several.value) < 2:
        message = "expected a list of two or more, such as [{minimise: chat.ttft_p99}, …]"
        found.add(several, ("objectives",), f"{message}; a single one is 'objective: {{…}}'")
        return ()
    goals = [_goal(node, ("objectives", i), found) for i, node in enumerate(several.value)]
    named: set[str] = set()
    for goal in goals:
        if goal is not None and goal.metric in named:
            found.add(several, ("objectives",), f"{goal.metric!r} is named twice")
        named.add("" if goal is None else goal.metric)
    return tuple(goal for goal in goals if goal is not None)


def _goal(node: Node, path: Path, found: Findings) -> GoalSpec | None:
    example = "{minimise: METRIC} or {maximise: METRIC}"
    if isinstance(node.value, dict):
        for key in node.value:
            if key in _INSTEAD:
                entry = node.value[key]
                message = f"unknown key {key!r} (did you mean {_INSTEAD[key]!r}?)"
                found.add(Node(entry.key, None), (*path, key), message)
                return None
    before = len(found.problems)
    parts = found.mapping(node, path, (MINIMISE, MAXIMISE))
    if len(parts) != 1:
        if len(found.problems) == before:
            found.add(node, path, f"expected {example}")
        return None
    ((goal, named),) = parts.items()
    where = (*path, goal)
    if not isinstance(named.value, str) or not named.value:
        message = f"expected the name of a metric, not {show(named.plain())}"
        found.add(named, where, message)
        return None
    return GoalSpec(goal, named.value, named.mark, show_path(where))


def read_budget(node: Node, found: Findings) -> BudgetSpec:
    """The ``budget`` of a study; what is wrong goes to ``found``."""
    before = len(found.problems)
    parts = found.mapping(node, ("budget",), ("runs", "time"))
    if not parts and len(found.problems) == before:
        found.add(node, ("budget",), "expected {runs: 500}, {time: 10 min} or both")
    runs, time_s = None, None
    if "runs" in parts:
        runs = parts["runs"].value
        if type(runs) is not int or runs < 1:
            message = f"expected a whole number from 1, not {show(parts['runs'].plain())}"
            found.add(parts["runs"], ("budget", "runs"), message)
            runs = None
    if "time" in parts:
        try:
            time_s = read_quantity(parts["time"].plain(), "time")
            if time_s <= 0.0:
                raise UnitError("expected a time above 0")
        except UnitError as error:
            found.add(parts["time"], ("budget", "time"), str(error))
    assert runs is None or isinstance(runs, int)
    return BudgetSpec(runs, time_s)
