"""What a mix of hardware is made of, in numbers alone: kinds of racks, choices of pools, cuts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

#: For each pool: which of its choices, and how many replicas.
Vector: TypeAlias = tuple[tuple[int, int], ...]

#: What evidence against a mix excludes beside it: every mix with as few replicas or fewer (more
#: would help), with as many or more (fewer would), or nothing but itself.
MORE, FEWER, OTHER = "more", "fewer", "other"


@dataclass(frozen=True)
class Kind:
    """Hardware that is bought in pieces: racks of one type, or single GPUs that are there already.

    Attributes:
        gpus: of one piece; ``price``: of one piece, in whatever the question counts.
        power_w: what a piece is rated.
        most: pieces that there are at most.
    """

    name: str
    gpus: int
    price: float
    power_w: float = 0.0
    most: float = math.inf


@dataclass(frozen=True)
class Choice:
    """One way to serve a pool: hardware and parallelism.

    Attributes:
        kind: its place among the kinds; ``gpus``: of one replica.
        text: in words, unlike any other's of the pool.
        first: the fewest that may be the answer.
        bound: with fewer replicas the mean load cannot be served; 1 where that is not known.
        least: with fewer the pool is near saturation, too.
        most: replicas that may be the answer.
        need: replicas that the mean load would keep busy without a pause; nan: not known.
    """

    kind: int
    gpus: int
    text: str
    first: int = 1
    bound: int = 1
    least: int = 1
    most: int = 1
    need: float = math.nan


@dataclass(frozen=True)
class Limits:
    """What all pools share; infinite where nothing is stated."""

    power_w: float = math.inf
    racks: float = math.inf
    cost: float = math.inf


@dataclass(frozen=True)
class Mixes:
    """All that may be chosen from.

    ``choices``: of each pool, in the order of ``pools``.
    """

    pools: tuple[str, ...]
    choices: tuple[tuple[Choice, ...], ...]
    kinds: tuple[Kind, ...]
    limits: Limits = field(default_factory=Limits)

    def pieces(self, vector: Vector) -> tuple[int, ...]:
        """How many pieces of each kind hold the replicas of a mix."""
        gpus = [0] * len(self.kinds)
        for pool, (choice, replicas) in enumerate(vector):
            chosen = self.choices[pool][choice]
            gpus[chosen.kind] += replicas * chosen.gpus
        return tuple(
            -(-of_kind // kind.gpus) for of_kind, kind in zip(gpus, self.kinds, strict=True)
        )

    def price(self, vector: Vector) -> float:
        """What a mix costs."""
        return math.fsum(
            n * kind.price for n, kind in zip(self.pieces(vector), self.kinds, strict=True)
        )

    def power_w(self, vector: Vector) -> float:
        """What its racks are rated."""
        return math.fsum(
            n * kind.power_w for n, kind in zip(self.pieces(vector), self.kinds, strict=True)
        )

    @property
    def tie(self) -> float:
        """Prices that differ by less are the same: a program in floating point cannot tell."""
        return 1e-4 * max(kind.price for kind in self.kinds)

    def within(self, vector: Vector) -> bool:
        """Whether a mix is inside of its ranges and of the limits."""
        pieces = self.pieces(vector)
        ranges = all(
            self.choices[p][c].least <= n <= self.choices[p][c].most
            for p, (c, n) in enumerate(vector)
        )
        return (
            ranges
            and all(n <= kind.most for n, kind in zip(pieces, self.kinds, strict=True))
            and sum(pieces) <= self.limits.racks
            and self.power_w(vector) <= self.limits.power_w * (1.0 + 1e-9)
            and self.price(vector) <= self.limits.cost * (1.0 + 1e-9)
        )


@dataclass(frozen=True)
class Cut:
    """What evidence against a mix excludes.

    Attributes:
        at: pool → (choice, replicas), of the pools that the evidence is about.
        side: ``MORE``, ``FEWER`` or ``OTHER``.
        sure: whether the evidence decided, or only the means over all common seeds.
        line: the text of the line that was missed; "": the mix cannot be built.
    """

    at: Mapping[int, tuple[int, int]]
    side: str
    sure: bool = True
    line: str = ""

    def excludes(self, vector: Vector) -> bool:
        """Whether a mix is one of those that are excluded."""
        return all(
            vector[pool][0] == choice and self._reaches(vector[pool][1], replicas)
            for pool, (choice, replicas) in self.at.items()
        )

    def _reaches(self, replicas: int, refuted: int) -> bool:
        if self.side == MORE:
            return replicas <= refuted
        return replicas >= refuted if self.side == FEWER else replicas == refuted
