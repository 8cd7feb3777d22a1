"""A checked question for the cheapest mix: choices of each pool, points that are run, prices."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim import catalog
from sim.check.scenario import Scenario
from sim.engine.build import build
from sim.errors import BuildError, Mark, Problem, ScenarioError
from sim.plan.lines import (
    as_subject,
    at_label,
    checked,
    lines_of,
    objectives_of,
    source_of,
    too_few_seeds,
)
from sim.plan.load import Loads
from sim.plan.margins import Objective
from sim.plan.mix.choices import KnownChoices
from sim.plan.mix.draft import Draft, Option, options_of
from sim.plan.mix.lay import in_words
from sim.plan.mix.names import GPUS, prices_of, refuse_names, rows_of
from sim.plan.mix.prices import RackPrice
from sim.plan.mix.reach import reach_of
from sim.plan.mix.search import Reach
from sim.plan.mix.types import FEWER, OTHER, Choice, Kind, Limits, Mixes, Vector
from sim.spec.merge import change_of
from sim.spec.mix import MixSpec, read_mix


@dataclass
class Mix:
    """A checked question.

    Attributes:
        options: of each pool, in the order of ``mixes.choices``.
        reach: line's text → what it says where it misses.
        prices: kind → its price; empty where GPUs are counted.
        left_out: choices that are none, each with the reason.
        coupled: pools share a network or a power policy, so that none is judged alone.
    """

    spec: MixSpec
    mixes: Mixes
    options: tuple[tuple[Option, ...], ...]
    objectives: tuple[Objective, ...]
    reach: dict[str, Reach]
    seeds: tuple[int, ...]
    prices: dict[str, RackPrice]
    left_out: tuple[str, ...]
    coupled: bool
    handed: dict[int, int]
    warnings: tuple[str, ...]
    _draft: Draft
    _vectors: list[Vector] = field(default_factory=list)
    _made: dict[tuple[int, str], Scenario] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @property
    def bought(self) -> bool:
        """Whether racks are bought, or GPUs counted that are there."""
        return bool(self.prices)

    def point_of(self, vector: Vector) -> int:
        """The number of a mix, which it keeps."""
        if vector not in self._vectors:
            self._vectors.append(vector)
        return self._vectors.index(vector)

    def vector(self, point: int) -> Vector:
        """The mix with a number."""
        return self._vectors[point]

    def label(self, point: int) -> str:
        """A point in words."""
        return self.text(self._vectors[point])

    def text(self, vector: Vector) -> str:
        """A mix in words: ``chat 24 × tensor_parallel 4 on dgx-h100-4; batch …``."""
        parts = [
            in_words(self.mixes.pools[p], n, self.mixes.choices[p][c].text)
            for p, (c, n) in enumerate(vector)
        ]
        return "; ".join(parts)

    def scenario(self, point: int, sets: Sequence[str] = ()) -> Scenario:
        """What is run at a point.

        Raises:
            ScenarioError: this mix makes no sense.
        """
        key = (point, "\n".join(sets))
        if key not in self._made:
            chosen = [(self.options[p][c], n) for p, (c, n) in enumerate(self._vectors[point])]
            try:
                self._made[key] = self._draft.scenario(chosen, tuple(map(change_of, sets)))
            except ScenarioError as error:
                label = self.label(point)
                raise ScenarioError(at_label(p, label) for p in error.problems) from None
        return self._made[key]

    def impossible(self, vector: Vector) -> tuple[str, str] | None:
        """Why a mix cannot be built, and what else cannot; None if it can."""
        try:
            build(self.scenario(self.point_of(vector)), self.seeds[0])
        except ScenarioError as error:
            problem = error.problems[0]
            crowded = problem.path.startswith(("site", "power"))
            return f"{problem.path}: {problem.message}", FEWER if crowded else OTHER
        except BuildError as error:
            return str(error), OTHER
        return None


def load_mix(
    path: str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    seeds: int | None = None,
    allow_outside: bool = False,
) -> Mix:
    """Read a question for a mix, and look at every choice of every pool.

    Args:
        path, sets, seeds, allow_outside: as ``sim.plan.least.question.load_question`` has them.

    Raises:
        ScenarioError: everything that is wrong; or no choice of some pool can serve.
    """
    spec = read_mix(path, allow_outside=allow_outside)
    source = source_of(spec, sets, allow_outside)
    document = source.document(sets)
    refuse_names(spec, document)
    prices = prices_of(spec, document)
    draft = Draft(spec, source, tuple(sets), document, rows_of(spec, document))
    every = [options_of(pool) for pool in spec.pools]
    known = KnownChoices(draft, every)
    chosen, scenario = known.any_scenario()
    objectives = _objectives(draft, chosen)
    loads = Loads(objectives)
    choices: list[tuple[Choice, ...]] = []
    options: list[tuple[Option, ...]] = []
    left_out: list[str] = []
    kinds = _kinds(spec, prices, scenario)
    for p, pool in enumerate(spec.pools):
        fine = [
            (option, choice)
            for o, option in enumerate(every[p])
            if (choice := known.choice(p, o, loads, kinds, left_out)) is not None
        ]
        if not fine:
            reasons = [text for text in left_out if text.startswith(f"{pool.name}: ")]
            message = "none of its choices can serve: " + "; ".join(reasons)
            raise ScenarioError([Problem(pool.mark, f"question.cheapest.{pool.name}", message)])
        options.append(tuple(option for option, _ in fine))
        choices.append(tuple(choice for _, choice in fine))
    limits = Limits(
        **{{"power": "power_w"}.get(key, key): value for key, value in spec.limits.items()}
    )
    names = tuple(pool.name for pool in spec.pools)
    reach, coupled = reach_of(objectives, scenario, names)
    count = spec.seeds if seeds is None else seeds
    if count < 2:
        raise ScenarioError([Problem(Mark("--seeds"), "", "a plan needs 2 seeds at least")])
    handed = {
        names.index(pool.name): names.index(pool.decode.pool)
        for pool in scenario.pools
        if pool.decode is not None and pool.name in names and pool.decode.pool in names
    }
    return Mix(
        spec, Mixes(names, tuple(choices), kinds, limits), tuple(options), objectives, reach,
        tuple(range(scenario.seed, scenario.seed + count)), prices, tuple(left_out), coupled,
        handed, (*scenario.warnings, *too_few_seeds(objectives, count)), draft,
    )  # fmt: skip


def _kinds(spec: MixSpec, prices: dict[str, RackPrice], scenario: Scenario) -> tuple[Kind, ...]:
    if not prices:
        mine = {pool.name for pool in spec.pools}
        others = sum(
            pool.replicas * pool.tensor_parallel * pool.pipeline_parallel
            for pool in scenario.pools
            if pool.name not in mine
        )
        return (Kind(GPUS, 1, 1.0, most=float(scenario.site.gpus - others)),)
    found = []
    for name, price in prices.items():
        rack = catalog.rack_type(name)
        gpus = rack.nodes * catalog.node_type(rack.node_type).gpus
        found.append(Kind(name, gpus, price.usd, rack.rating_w, math.inf))
    return tuple(found)


def _objectives(draft: Draft, chosen: Sequence[tuple[Option, int]]) -> tuple[Objective, ...]:
    """The lines as means over seeds, checked against a scenario of some choices.

    Raises:
        ScenarioError: a line is wrong.
    """
    spec = draft.spec
    try:
        changes = [*draft.changes(chosen), *lines_of(spec)]
        with_lines = checked(draft.source, draft.sets, changes)
    except ScenarioError as error:
        raise ScenarioError(as_subject(spec, problem) for problem in error.problems) from None
    return objectives_of(spec, draft.source, draft.sets, with_lines)
