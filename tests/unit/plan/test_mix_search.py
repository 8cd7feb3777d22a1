"""The cheapest mix against exhaustive evaluation, on evidence that was invented."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from sim.plan.margins import Objective
from sim.plan.mix.program import Program
from sim.plan.mix.search import MixFound, MixSearch, Reach
from sim.plan.mix.types import FEWER, MORE, OTHER, Choice, Cut, Kind, Limits, Mixes, Vector
from sim.results.metrics import lookup

DEFINITION = lookup("chat.ttft_p99", workloads=["chat"], pools=[], power_nodes=[])
SEEDS = 8


def line(name: str) -> Objective:
    return Objective(name, "chat.ttft_p99", DEFINITION, 0.01, False, "chat", "ttft", 2.0, 0.99)


@dataclass
class World:
    """Choices with an invented truth: shares of late requests that fall with replicas.

    ``needs``: replicas of each choice of each pool at which 1 % is late. With ``coupled`` a pool's
    share falls with the other pool's replicas too. ``power``: a line that more GPUs miss.
    """

    mixes: Mixes
    needs: list[list[float]]
    coupled: bool
    power: float | None
    noise: np.ndarray  # [lines, seeds]
    broken: tuple[Vector, ...] = ()
    vectors: list[Vector] = field(default_factory=list)
    seen: dict[int, int] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        pools = [f"late {name}" for name in self.mixes.pools]
        return pools if self.power is None else [*pools, "over budget"]

    @property
    def reach(self) -> dict[str, Reach]:
        every = tuple(range(len(self.mixes.pools)))
        found = {
            name: Reach(MORE, every if self.coupled else (p,))
            for p, name in enumerate(self.lines[: len(every)])
        }
        return found | {"over budget": Reach(FEWER, every)}

    def point_of(self, vector: Vector) -> int:
        if vector not in self.vectors:
            self.vectors.append(vector)
        return self.vectors.index(vector)

    def impossible(self, vector: Vector) -> tuple[str, str] | None:
        return ("no place", OTHER) if vector in self.broken else None

    def see(self, wanted: Mapping[int, int]) -> None:
        for point, seeds in wanted.items():
            self.seen[point] = max(seeds, self.seen.get(point, 0))

    def margins(self, point: int) -> Mapping[str, Sequence[float]]:
        return {
            name: of.tolist()[: self.seen[point]]
            for name, of in zip(self.lines, self.truth(self.vectors[point]), strict=True)
        }

    def truth(self, vector: Vector) -> np.ndarray:
        """[lines, seeds] margins."""
        short = [self.needs[p][c] - n for p, (c, n) in enumerate(vector)]
        if self.coupled:
            short = [s + 0.4 * sum(short[:p] + short[p + 1 :]) for p, s in enumerate(short)]
        rows = [
            0.01 * np.exp(np.clip(0.8 * s, -6, 4) + self.noise[p]) - 0.01
            for p, s in enumerate(short)
        ]
        if self.power is not None:
            gpus = sum(n * self.mixes.choices[p][c].gpus for p, (c, n) in enumerate(vector))
            rows.append(0.01 * np.exp(0.1 * (gpus - self.power) + self.noise[-1]) - 0.01)
        return np.array(rows)

    def fine(self, vector: Vector) -> bool:
        """By the means over all common seeds."""
        holds = (self.truth(vector).mean(axis=1) <= 0.0).all()
        return bool(holds) and vector not in self.broken

    def exhaustive(self) -> tuple[float, int]:
        """The least price of a mix that holds (infinite: none does), and how many mixes are."""
        each = [
            [(c, n) for c, choice in enumerate(of) for n in range(choice.least, choice.most + 1)]
            for of in self.mixes.choices
        ]
        every = [vector for vector in itertools.product(*each) if self.mixes.within(vector)]
        prices = [self.mixes.price(vector) for vector in every if self.fine(vector)]
        return min(prices, default=float("inf")), len(every)

    def search(self, runs: int = 100_000) -> MixFound:
        objectives = [line(name) for name in self.lines]
        return MixSearch(Program(self.mixes), objectives, self.reach, self, self, SEEDS, runs).run()


def drawn(seed: int, *, coupled: bool, power: bool = False) -> World:
    """Two pools, two or three kinds of racks, two parallelisms of each."""
    rng = np.random.default_rng(seed)
    kinds = tuple(
        Kind(f"kind-{k}", 16, float(rng.integers(60, 140)), float(rng.integers(18, 40)) * 1e3)
        for k in range(int(rng.integers(2, 4)))
    )
    choices, needs = [], []
    for _ in range(2):
        of, of_needs = [], []
        for k, gpus in itertools.product(range(len(kinds)), (2, 4)):
            fluid = float(rng.uniform(2.0, 6.0)) * (1.6 if gpus == 2 else 1.0)
            of.append(Choice(k, gpus, f"{k}x{gpus}", 1, int(fluid), int(fluid) + 1, 14, need=fluid))
            of_needs.append(fluid / float(rng.uniform(0.6, 0.98)))
        choices.append(tuple(of))
        needs.append(of_needs)
    limits = Limits(
        power_w=float(rng.integers(60, 240)) * 1e3 if rng.random() < 0.5 else np.inf,
        racks=float(rng.integers(2, 9)) if rng.random() < 0.5 else np.inf,
    )
    mixes = Mixes(("chat", "batch"), tuple(choices), kinds, limits)
    common, own = rng.normal(0, 1, (3, 1)), rng.normal(0, 1, (3, SEEDS))
    noise = 0.1 * (0.5 * common + own)[: 3 if power else 2]
    return World(mixes, needs, coupled, float(rng.uniform(24, 60)) if power else None, noise)


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("coupled", [False, True])
def test_the_same_price_as_exhaustive_evaluation(coupled: bool, power: bool) -> None:
    compare(range(5), coupled, power)


@pytest.mark.deep
@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("coupled", [False, True])
def test_the_same_price_in_many_more(coupled: bool, power: bool) -> None:
    compare(range(5, 100), coupled, power)


def compare(seeds: range, coupled: bool, power: bool) -> None:
    tested = every = impossible = 0
    for seed in seeds:
        world = drawn(seed, coupled=coupled, power=power)
        expected, mixes = world.exhaustive()
        found = world.search()
        assert found.complete
        every += mixes
        tested += len(found.seen)
        if found.best is None:
            assert expected == float("inf"), seed
            impossible += 1
            continue
        assert world.fine(found.best.vector)  # never infeasible on the common seeds
        assert world.mixes.within(found.best.vector)
        price = world.mixes.price(found.best.vector)
        assert price == pytest.approx(expected, rel=1e-9), seed
        assert found.bound <= found.sure <= price + 1e-6
    assert impossible < len(seeds)
    assert tested < 0.1 * every


def test_mixes_that_cannot_be_built_are_passed_over() -> None:
    world = drawn(3, coupled=False)
    first = world.search().best
    assert first is not None
    again = replace(world, broken=(first.vector,), vectors=[], seen={})
    found = again.search()
    assert [reason for _, reason in found.refused] == ["no place"]
    assert found.best is not None
    assert again.mixes.price(found.best.vector) == pytest.approx(again.exhaustive()[0])


def test_runs_that_are_used_up_leave_a_gap() -> None:
    world = drawn(1, coupled=False)
    whole = world.search()
    assert whole.best is not None
    found = replace(world, vectors=[], seen={}).search(runs=SEEDS)
    assert not found.complete
    assert len(found.seen) == 1
    assert found.sure <= world.mixes.price(whole.best.vector) + 1e-6


@pytest.mark.parametrize("side", [MORE, FEWER, OTHER])
def test_a_cut_in_the_program_excludes_what_it_says(side: str) -> None:
    """Every mix of a small program, one cut after the other, each by its own price."""
    choices = tuple(
        tuple(Choice(k, 1, f"{k}", most=2, need=1.0) for k in range(2)) for _ in range(2)
    )
    mixes = Mixes(("a", "b"), choices, (Kind("cheap", 1, 1.0), Kind("dear", 1, 1.31)))
    every = list(itertools.product(itertools.product(range(2), range(1, 3)), repeat=2))
    assert len(every) == 16
    program = Program(mixes)
    least = [[1, 1], [1, 1]]
    left = list(every)
    while True:
        found = program.cheapest(least)
        if found is None:
            break
        assert mixes.price(found) == pytest.approx(min(map(mixes.price, left)))
        assert found in left
        cut = Cut(dict(enumerate(found)), side)
        program.cuts.append(cut)
        left = [vector for vector in left if not cut.excludes(vector)]
    assert left == []


def test_room_is_shared_where_it_costs_nothing() -> None:
    """A rack of sixteen GPUs for 2 + 1 replicas of 4: the fourth goes where it is tighter."""
    choice = Choice(0, 4, "4", bound=1, least=1, most=8, need=1.0)
    pools = ((replace(choice, need=1.9, least=2),), (choice,))
    mixes = Mixes(("a", "b"), pools, (Kind("rack", 16, 100.0),))
    # (3, 1) leaves the second pool no room at all; (2, 2) has 2/1.9 and 2/1.
    assert Program(mixes).cheapest([[2], [1]]) == ((0, 2), (0, 2))
