"""Why no value meets every line: where each holds by itself, and which exclude each other.

Along an ordered line of points each objective holds from some point on, up to some point, or
between two: an interval. Of intervals that share no point two are disjoint already (Helly's theorem
on a line), so a minimal set of conflicting lines is one line that holds nowhere, or a pair. Where
all share a point, the answer was hidden behind points that miss, and is sought in what they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol

from sim.plan.margins import Objective

#: Where a line that misses at both ends may hold all the same.
_INSIDE = (0.5, 0.25, 0.75)


class Means(Protocol):
    """Where margins come from."""

    def see(self, wanted: Mapping[int, int]) -> None:
        """Make sure that so many common seeds of each point are there."""
        ...

    def margins(self, point: int) -> Mapping[str, Sequence[float]]:
        """Line → its margin under each seed seen so far; above 0 is a miss."""
        ...


@dataclass(frozen=True)
class Holding:
    """From which point to which a line holds in its means; None: at none that was looked at.

    ``nearest``: the point where it misses by least, or holds by most.
    """

    objective: Objective
    first: int | None
    last: int | None
    nearest: int


@dataclass(frozen=True)
class Conflict:
    """Lines that no value meets together: one, or two, as none of them could be left out."""

    lines: tuple[Holding, ...]


@dataclass
class Conflicts:
    """Looks where each line holds, by its means over the common seeds.

    Attributes:
        first, last: the hardest and the easiest point that may be looked at.
        seeds: common seeds of each point.
    """

    objectives: Sequence[Objective]
    evidence: Means
    first: int
    last: int
    seeds: int
    _margins: dict[int, dict[str, float]] = field(default_factory=dict)

    def holding(self) -> tuple[Holding, ...]:
        """Where each line holds."""
        return tuple(self._of(line) for line in self.objectives)

    def _of(self, line: Objective) -> Holding:
        ends = [self._holds(line, self.first), self._holds(line, self.last)]
        if ends == [True, True]:
            found: tuple[int | None, int | None] = (self.first, self.last)
        elif ends == [False, True]:
            found = self._edge(line, self.last, self.first), self.last
        elif ends == [True, False]:
            found = self.first, self._edge(line, self.first, self.last)
        else:
            inside = self._inside(line)
            if inside is None:
                found = None, None
            else:
                found = self._edge(line, inside, self.first), self._edge(line, inside, self.last)
        nearest = min(self._margins, key=lambda point: (self._margins[point][line.text], -point))
        return Holding(line, *found, nearest)

    def _inside(self, line: Objective) -> int | None:
        width = self.last - self.first
        looks = dict.fromkeys(self.first + round(share * width) for share in _INSIDE)
        return next((point for point in looks if self._holds(line, point)), None)

    def _edge(self, line: Objective, holding: int, missing: int) -> int:
        """The last point that holds on the way from one that does to one that does not."""
        while abs(holding - missing) > 1:
            middle = (holding + missing) // 2
            if self._holds(line, middle):
                holding = middle
            else:
                missing = middle
        return holding

    def _holds(self, line: Objective, point: int) -> bool:
        if point not in self._margins:
            self.evidence.see({point: self.seeds})
            self._margins[point] = {
                text: sum(values[: self.seeds]) / self.seeds
                for text, values in self.evidence.margins(point).items()
            }
        return self._margins[point][line.text] <= 0.0


def shared(found: Sequence[Holding]) -> tuple[int, int] | None:
    """The points where every line holds; None if there is none."""
    if any(one.first is None for one in found):
        return None
    low = max(one.first for one in found if one.first is not None)
    high = min(one.last for one in found if one.last is not None)
    return (low, high) if low <= high else None


def minimal(found: Sequence[Holding]) -> tuple[Conflict, ...]:
    """Every set of lines that share no point and of which none can be left out."""
    alone = [one for one in found if one.first is None]
    some = [one for one in found if one.first is not None]
    pairs = [pair for pair in combinations(some, 2) if shared(pair) is None]
    return tuple(Conflict((one,)) for one in alone) + tuple(Conflict(pair) for pair in pairs)
