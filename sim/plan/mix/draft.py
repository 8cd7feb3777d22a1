"""Scenarios of a question for a mix: the base with racks laid and pools told to use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from sim import catalog
from sim.check.scenario import Scenario
from sim.plan.lines import checked, plain_runs
from sim.plan.mix.lay import dealt, laid_into, pool_changes, rack_names
from sim.spec.document import Document
from sim.spec.merge import Change
from sim.spec.mix import MixSpec, PoolMix
from sim.spec.reader import Source


@dataclass(frozen=True)
class Option:
    """One way to serve a pool, before anything is known of it; ``rack`` "": the base's hardware."""

    rack: str
    degrees: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """``tensor_parallel 4 on dgx-h100-4``."""
        degrees = ", ".join(f"{key} {value}" for key, value in self.degrees)
        return " on ".join(part for part in (degrees, self.rack) if part)


def options_of(pool: PoolMix) -> list[Option]:
    """Every choice of a pool, in the order in which they are listed."""
    racks = [named.text for named in pool.racks] or [""]
    keys = [key for key, _ in pool.degrees]
    return [
        Option(rack, tuple(zip(keys, values, strict=True)))
        for rack in racks
        for values in product(*(of for _, of in pool.degrees))
    ]


@dataclass(frozen=True)
class Draft:
    """Makes scenarios of choices: the base with racks laid and pools told to use them."""

    spec: MixSpec
    source: Source
    sets: tuple[str, ...]
    document: Document
    rows: tuple[str, ...]

    def scenario(
        self, chosen: Sequence[tuple[Option, int]], more: Sequence[Change] = ()
    ) -> Scenario:
        """The scenario of a choice and its replicas for each pool, as plans run it.

        Raises:
            ScenarioError: it makes no sense.
        """
        changes = [*self.changes(chosen), *plain_runs(self.spec.mark), *more]
        return checked(self.source, self.sets, changes)

    def changes(self, chosen: Sequence[tuple[Option, int]]) -> Iterator[Change]:
        """What makes the base such a mix."""
        mark = self.spec.mark
        names: dict[str, list[str]] = {}
        if self.rows:
            laid = dealt(self._racks(chosen), self.rows)
            names = rack_names(laid)
            halls = self.document.root.at(("site", "halls"))
            assert halls is not None
            yield Change("site.halls", laid_into(halls, laid, mark))
        for pool, (option, replicas) in zip(self.spec.pools, chosen, strict=True):
            yield from pool_changes(
                pool.name, option.degrees, replicas, option.rack, names.get(option.rack, ()), mark
            )

    def _racks(self, chosen: Sequence[tuple[Option, int]]) -> list[str]:
        """Types of the racks that hold the replicas, in the order in which they are listed."""
        gpus: dict[str, int] = {}
        for pool, (option, replicas) in zip(self.spec.pools, chosen, strict=True):
            gpus[option.rack] = gpus.get(option.rack, 0) + replicas * self.gpus(pool.name, option)
        racks: list[str] = []
        for name, number in gpus.items():
            rack = catalog.rack_type(name)
            each = rack.nodes * catalog.node_type(rack.node_type).gpus
            racks += [name] * -(-number // each)
        return racks

    def gpus(self, pool: str, option: Option) -> int:
        """GPUs of a replica."""
        stated = next(s for s in self.document.spec.pools if s is not None and s.name == pool)
        degrees = dict(option.degrees)
        tensor = degrees.get("tensor_parallel", stated.tensor_parallel)
        return int(tensor * degrees.get("pipeline_parallel", stated.pipeline_parallel))
