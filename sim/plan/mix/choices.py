"""What is known of each choice of a pool before any run: whether it can be, and bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sim.check.scenario import Scenario
from sim.errors import Problem, ScenarioError
from sim.plan.load import Loads, PoolLoad
from sim.plan.mix.draft import Draft, Option
from sim.plan.mix.handover import every_load
from sim.plan.mix.names import GPUS
from sim.plan.mix.types import Choice, Kind


class KnownChoices:
    """What checking each choice says, beside choices of the other pools that make sense."""

    def __init__(self, draft: Draft, every: Sequence[Sequence[Option]]) -> None:
        self._draft, self._every = draft, every
        self._pools = draft.spec.pools
        self._last: ScenarioError | None = None
        #: Option of each pool → a scenario with them, of those that make sense.
        self._made: dict[tuple[Option, ...], Scenario] = {}
        self._own: set[str] = set()  # reasons that are a pool's own
        for turn in range(max(len(of) for of in every)):
            self._try([of[turn % len(of)] for of in every])

    def any_scenario(self) -> tuple[list[tuple[Option, int]], Scenario]:
        """Choices that make sense together, and the scenario of them.

        Raises:
            ScenarioError: there are none.
        """
        for o in range(len(self._every[0])):
            if isinstance(self._beside(0, o), Scenario):
                break
        for options, scenario in self._made.items():
            return list(self._numbered(options)), scenario
        raise self._none()

    def _none(self) -> ScenarioError:
        """Why no choices make sense together: of a pool without any that do, all reasons."""
        problems = []
        for p, pool in enumerate(self._pools):
            reasons = [self._beside(p, o) for o in range(len(self._every[p]))]
            mine = [
                f"{option.text or 'as in the base'}: {reason}"
                for option, reason in zip(self._every[p], reasons, strict=True)
                if isinstance(reason, str) and reason in self._own
            ]
            if len(mine) == len(reasons) > 1:
                path = f"question.cheapest.{pool.name}"
                message = f"none of its choices makes sense: {'; '.join(mine)}"
                problems.append(Problem(pool.mark, path, message))
        assert self._last is not None
        return ScenarioError(problems) if problems else self._last

    def _numbered(self, options: Sequence[Option]) -> list[tuple[Option, int]]:
        return [(one, pool.first) for one, pool in zip(options, self._pools, strict=True)]

    def _try(self, options: Sequence[Option]) -> Scenario | ScenarioError:
        """The scenario of these choices, each with the fewest replicas; or why there is none."""
        key = tuple(options)
        if key not in self._made:
            try:
                self._made[key] = self._draft.scenario(self._numbered(options))
            except ScenarioError as error:
                self._last = error
                return error
        return self._made[key]

    def choice(
        self, p: int, o: int, loads: Loads, kinds: Sequence[Kind], left_out: list[str]
    ) -> Choice | None:
        """What is known of a choice of a pool before any run; None and a reason if it is none."""
        pool, option = self._pools[p], self._every[p][o]
        found = self._beside(p, o)
        if not isinstance(found, Scenario):
            left_out.append(f"{pool.name}: {option.text or 'as in the base'}: {found}")
            return None
        kind = next(k for k, kind in enumerate(kinds) if kind.name == (option.rack or GPUS))
        choice = Choice(
            kind, self._draft.gpus(pool.name, option), option.text, pool.first, pool.first,
            pool.first, pool.last,
        )  # fmt: skip

        def load(replicas: int) -> PoolLoad:
            pools = tuple(
                replace(one, replicas=replicas) if one.name == pool.name else one
                for one in found.pools
            )
            return every_load(loads, replace(found, pools=pools)).get(
                pool.name, PoolLoad(pool.name, replicas, unknown="no workload is sent to it")
            )

        most = load(pool.last)
        if most.unknown:
            return choice
        if most.infeasible:
            left_out.append(f"{pool.name}: {option.text or 'as in the base'}: {most.infeasible}")
            return None
        bound = _first(pool.first, pool.last, lambda n: not load(n).infeasible)
        least = _first(bound, pool.last + 1, lambda n: not load(n).near_saturation)
        return replace(choice, bound=bound, least=least, need=pool.last * most.utilisation)

    def _beside(self, p: int, o: int) -> Scenario | str:
        """A scenario with this choice, or what is wrong with the choice."""
        for options, scenario in self._made.items():
            if options[p] == self._every[p][o]:
                return scenario
        reason = ""
        for turn in range(max(len(of) for of in self._every)):
            beside = [of[o if q == p else turn % len(of)] for q, of in enumerate(self._every)]
            found = self._try(beside)
            if isinstance(found, Scenario):
                return found
            mine = self._mine(found, p)
            if mine:
                self._own.add(mine)
                return mine
            reason = found.problems[0].message
        return reason

    def _mine(self, error: ScenarioError, p: int) -> str:
        """What is wrong with a pool itself; "" if it is something else that is wrong."""
        names = [name for _, name in self._draft.document.declared("pools")]
        path = f"pools[{names.index(self._pools[p].name)}]"
        return next((x.message for x in error.problems if x.path.startswith(path)), "")


def _first(low: int, high: int, fine: Callable[[int], bool]) -> int:
    """The first number from ``low`` on that is fine, by bisection; ``high`` if none before is."""
    while low < high:
        middle = (low + high) // 2
        if fine(middle):
            high = middle
        else:
            low = middle + 1
    return low
