"""Prefill against decode: for each number of replicas of one pool the fewest of the other."""

from __future__ import annotations

from dataclasses import dataclass

from sim.plan.mix.search import MixSearch
from sim.plan.mix.types import Vector

#: How many numbers of prefilling replicas are looked at on either side of the answer's.
AROUND = 2


@dataclass(frozen=True)
class Step:
    """A step of the staircase.

    Attributes:
        first: replicas that prefill; ``second``: the fewest that may decode for them; None: none
            was found, and ``reason`` says why.
        vector: the mix with both; None likewise.
    """

    first: int
    second: int | None
    vector: Vector | None
    reason: str = ""


def stairs(search: MixSearch, best: Vector, first: int, second: int) -> list[Step]:
    """The staircase around an answer, all other pools as they are in it.

    Every step is tested as a mix of its own. With fewer that decode than the load keeps busy
    nothing is run, nor what evidence excluded already.

    Args:
        search: that found the answer.
        best: the answer.
        first, second: the pools that prefill and that decode.
    """
    (c, prefills), (d, decodes) = best[first], best[second]
    choice = search.mixes.choices[first][c]
    ends = max(choice.least, prefills - AROUND), min(choice.most, prefills + AROUND)
    found = {}
    for side in (range(prefills, ends[0] - 1, -1), range(prefills, ends[1] + 1)):
        guess = decodes
        for replicas in side:
            if replicas not in found:
                found[replicas] = _step(search, best, (first, c, replicas), (second, d, guess))
            guess = found[replicas].second or guess
    return [found[replicas] for replicas in sorted(found)]


def _step(
    search: MixSearch, best: Vector, one: tuple[int, int, int], other: tuple[int, int, int]
) -> Step:
    """From a guess down as long as it holds, else up until it does."""
    second, d, guess = other
    choice = search.mixes.choices[second][d]

    def mix(replicas: int) -> Vector:
        changed = list(best)
        changed[one[0]] = (one[1], one[2])
        changed[second] = (d, replicas)
        return tuple(changed)

    def fine(replicas: int) -> bool | None:
        """Whether a number holds; None: no runs are left to tell."""
        vector = mix(replicas)
        if vector in search.seen:
            return search.seen[vector].holds
        if any(cut.excludes(vector) for cut in search.program.cuts):
            return False
        return search.holds(vector) if search.left() else None

    at = guess
    while choice.least <= at <= choice.most and search.mixes.within(mix(at)):
        verdict = fine(at)
        if verdict is None:
            return Step(one[2], None, None, "no runs were left")
        if verdict:
            while at > choice.least and (less := fine(at - 1)):
                at -= 1
            reason = "no runs were left for fewer" if at > choice.least and less is None else ""
            return Step(one[2], at, mix(at), reason)
        at += 1
    why = "more than there are GPUs for" if at <= choice.most else f"more than {choice.most}"
    return Step(one[2], None, None, why)
