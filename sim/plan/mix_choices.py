"""What is known of each choice of a pool before any run: whether it can be, and bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sim.check.scenario import Scenario
from sim.errors import ScenarioError
from sim.plan.handover import every_load
from sim.plan.load import Loads, PoolLoad
from sim.plan.mix_draft import Draft, Option
from sim.plan.mix_names import GPUS
from sim.plan.mix_types import Choice, Kind


class KnownChoices:
    """What checking each choice says, beside choices of the other pools that make sense."""

    def __init__(self, draft: Draft, every: Sequence[Sequence[Option]]) -> None:
        self._draft, self._every = draft, every
        self._pools = draft.spec.pools
        self._last: ScenarioError | None = None
        self.chosen: list[tuple[Option, int]] = []

    def any_scenario(self) -> Scenario:
        """A scenario of some choices, the first that makes sense.

        Raises:
            ScenarioError: none does.
        """
        for o in range(len(self._every[0])):
            found = self._beside(0, o)
            if isinstance(found, Scenario):
                return found
        assert self._last is not None
        raise self._last

    def choice(
        self, p: int, o: int, loads: Loads, kinds: Sequence[Kind], left_out: list[str]
    ) -> Choice | None:
        """What is known of a choice of a pool before any run; None and a reason if it is none."""
        pool, option = self._pools[p], self._every[p][o]
        found = self._beside(p, o)
        if not isinstance(found, Scenario):
            left_out.append(f"{pool.name}: {option.text}: {found}")
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
            left_out.append(f"{pool.name}: {option.text}: {most.infeasible}")
            return None
        bound = _first(pool.first, pool.last, lambda n: not load(n).infeasible)
        least = _first(bound, pool.last + 1, lambda n: not load(n).near_saturation)
        return replace(choice, bound=bound, least=least, need=pool.last * most.utilisation)

    def _beside(self, p: int, o: int) -> Scenario | str:
        """A scenario with this choice, or what is wrong with the choice."""
        reason = ""
        for turn in range(max(len(of) for of in self._every)):
            chosen = [
                (of[o if q == p else turn % len(of)], self._pools[q].first)
                for q, of in enumerate(self._every)
            ]
            try:
                found = self._draft.scenario(chosen)
            except ScenarioError as error:
                self._last = error
                mine = self._mine(error, p)
                if mine:
                    return mine
                reason = error.problems[0].message
            else:
                self.chosen = chosen
                return found
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
