"""The cheapest mix that meets every line: a program proposes, evidence verifies, cuts exclude.

The program of ``sim.plan.mix.program`` knows the mean load only, so what it calls cheapest may miss
a line. Evidence against a mix excludes all that are sure to be no better (``Cut``), and the program
is solved again. Two phases:

1. *Up*: the cheapest mix that is not excluded, until one holds.
2. *Down*: from the first mix that holds, the one with most room among all that cost less and are
   not excluded. What refutes it excludes as much as one mix can. If none is
   left, nothing cheaper holds as far as evidence and its order go; if the runs are used up, the
   price of the cheapest that is left is the bound, and the difference the gap.

The *envelope* says what is likely beside what is proven: once a choice of a pool was refuted with n
replicas, its efficiency (replicas that the mean load keeps busy over those that are needed) is at
most need/(n + 1), and no other choice of the pool is taken to be much better than the best
efficiency seen. It is a guess and never excludes anything. Nor are proposals made from it: hardware
that is paid for being used, they were no fewer with it (8.2 mixes to 7.5 over twelve invented sites
of 40 replicas).

Every mix that is tested has a share of the error of 5 % (``sim.plan.search.share_of``); as there,
the means over all common seeds have the last word, so that no answer is infeasible on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sim.plan.margins import Objective
from sim.plan.mix.program import Program
from sim.plan.mix.types import MORE, Cut, Mixes, Vector
from sim.plan.search import Evidence, LineSeen, Tested, certify, judged, share_of
from sim.study.judge import NO, YES
from sim.study.sequence import first_look

#: No choice of a pool is taken to be more efficient than the best one seen by more than this.
_OPTIMISM = 1.01
#: Mixes that turn out impossible to build, after which the search ends.
MOST_REFUSED = 200


class Places(Protocol):
    """Which point of the evidence a mix is, and whether it can be built."""

    def point_of(self, vector: Vector) -> int:
        """The point that stands for a mix."""
        ...

    def impossible(self, vector: Vector) -> tuple[str, str] | None:
        """Why a mix cannot be built, and what else cannot (a side of ``Cut``); None if it can."""
        ...


@dataclass(frozen=True)
class Reach:
    """What a line that misses says: on which side of a mix others miss too, by which pools alone.

    ``side``: ``MORE``, ``FEWER`` or ``OTHER``.
    """

    side: str
    pools: tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """A mix with evidence.

    ``holds``: every mean over all common seeds meets its line. ``sure``: that, or that it does not,
    is decided at the mix's share of the error.
    """

    vector: Vector
    tested: Tested
    holds: bool
    sure: bool


@dataclass
class MixFound:
    """What a search says.

    Attributes:
        best: the cheapest mix that holds; None if none was found.
        complete: nothing cheaper is left to be tested; False: the runs were used up.
        seen: mixes with evidence in their order; ``refused``: mixes that cannot be built, and why.
        bound: the price that nothing is below that serves the mean load (inf: nothing does).
        sure: the price of the cheapest that certain evidence has left, near saturation or not.
        certifiable: the same, of those that are not near saturation.
        likely: the price of the cheapest that all evidence and the envelope have left.
        looked: runs that were looked at.
    """

    best: Seen | None
    complete: bool
    seen: list[Seen]
    refused: list[tuple[Vector, str]]
    bound: float
    sure: float
    certifiable: float
    likely: float
    looked: int


@dataclass
class MixSearch:
    """One search.

    Attributes:
        reach: line's text → what it says where it misses.
        most: common seeds that a mix gets at most; ``runs``: that are looked at at most.
    """

    program: Program
    objectives: Sequence[Objective]
    reach: Mapping[str, Reach]
    evidence: Evidence
    places: Places
    most: int
    runs: int
    seen: dict[Vector, Seen] = field(default_factory=dict)
    refused: list[tuple[Vector, str]] = field(default_factory=list)
    looked: int = 0

    @property
    def mixes(self) -> Mixes:
        """What is chosen from."""
        return self.program.mixes

    def run(self) -> MixFound:
        """Find it."""
        best: Seen | None = None
        complete = False
        while self.left():
            vector = self._next(best)
            if vector is None:
                complete = True
                break
            if self.holds(vector):
                best = self.seen[vector]
        bound = self._price(self.program.cheapest(self.bounds, cuts=()))
        decided = [cut for cut in self.program.cuts if cut.sure]
        return MixFound(
            best=best,
            complete=complete,
            seen=list(self.seen.values()),
            refused=self.refused,
            bound=bound,
            sure=self._price(self.program.cheapest(self.bounds, cuts=decided)),
            certifiable=self._price(self.program.cheapest(self.least, cuts=decided)),
            likely=self._price(self.program.cheapest(self.envelope())),
            looked=self.looked,
        )

    @property
    def least(self) -> list[list[int]]:
        """Replicas that a choice needs so as not to be near saturation."""
        return [[choice.least for choice in choices] for choices in self.mixes.choices]

    @property
    def bounds(self) -> list[list[int]]:
        """Replicas that serve the mean load at least."""
        return [[choice.bound for choice in choices] for choices in self.mixes.choices]

    def left(self) -> bool:
        """Whether there are runs left for one more mix, and not too many could not be built."""
        if len(self.refused) >= MOST_REFUSED:
            return False
        return self.looked + min(self.most, first_look(share_of(len(self.seen)))) <= self.runs

    def _price(self, vector: Vector | None) -> float:
        return math.inf if vector is None else self.mixes.price(vector)

    def _next(self, best: Seen | None) -> Vector | None:
        if best is not None:
            return self.program.below(self.least, self.mixes.price(best.vector))
        return self.program.cheapest(self.least)

    def envelope(self) -> list[list[int]]:
        """Replicas that each choice is likely to need at least, by the best efficiency seen."""
        found = []
        for pool, choices in enumerate(self.mixes.choices):
            refuted: dict[int, int] = {}
            for cut in self.program.cuts:
                if cut.side == MORE and list(cut.at) == [pool]:
                    choice, replicas = cut.at[pool]
                    refuted[choice] = max(replicas, refuted.get(choice, 0))
            known = [choices[c].need / (n + 1) for c, n in refuted.items() if choices[c].need > 0.0]
            efficiency = min(1.0, _OPTIMISM * max(known, default=1.0))
            found.append(
                [
                    max(choice.least, math.ceil(choice.need / efficiency - 1e-9))
                    if choice.need > 0.0
                    else choice.least
                    for choice in choices
                ]
            )
        return found

    def holds(self, vector: Vector) -> bool:
        """Whether a mix meets every line, by evidence; what it excludes is cut away."""
        if vector in self.seen:
            return self.seen[vector].holds
        wrong = self.places.impossible(vector)
        if wrong is not None:
            reason, side = wrong
            self.refused.append((vector, reason))
            self.program.cuts.append(Cut(dict(enumerate(vector)), side))
            return False
        point, error = self.places.point_of(vector), share_of(len(self.seen))
        tested = certify(self.objectives, self.evidence, {point: error}, self.most, {})[point]
        decided = tested
        if tested.answer == YES and tested.seeds < self.most:
            tested = self._whole(point, error)
        self.looked += tested.seeds
        holds = decided.answer != NO and tested.holds
        sure = decided.answer == NO or (holds and decided.answer == YES)
        self.seen[vector] = Seen(vector, tested, holds, sure)
        if not holds:
            self._exclude(vector, tested.lines, sure)
        return holds

    def _whole(self, point: int, error: float) -> Tested:
        """The means over all common seeds, after a yes that some of them were enough for."""
        self.evidence.see({point: self.most})
        margins = {k: v[: self.most] for k, v in self.evidence.margins(point).items()}
        _, lines = judged(self.objectives, margins, error)
        return Tested(point, self.most, YES, lines, error)

    def _exclude(self, vector: Vector, lines: Sequence[LineSeen], sure: bool) -> None:
        for line in lines:
            if line.answer == NO if sure else line.mean > 0.0:
                reach = self.reach[line.objective.text]
                at = {pool: vector[pool] for pool in reach.pools}
                cut = Cut(at, reach.side, sure, line.objective.text)
                if cut not in self.program.cuts:
                    self.program.cuts.append(cut)
