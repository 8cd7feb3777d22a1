"""Prefix ids for any source: a few chains of blocks, so that prompts begin alike and branch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from sim.engine.world import World
from sim.policies.routing.prefix_aware import PrefixAware
from sim.rng import mix64
from sim.workload.types import RequestChunk, RequestSource

#: Ids of a chain; prompts of random worlds are shorter than its tokens.
LONGEST = 24
#: Ids of different chains are so far apart.
STRIDE = 1 << 20


@dataclass(frozen=True)
class Prefixed:
    """A source whose prompts begin with blocks of chains; which ones depends on the row number.

    ``branches[k]`` says how many ids chain k shares with chain 0 before it goes its own way.
    """

    source: RequestSource
    block_tokens: int
    branches: tuple[int, ...]
    salt: int

    @property
    def closed(self) -> bool:
        """As the source."""
        return self.source.closed

    @property
    def notes(self) -> tuple[str, ...]:
        """As the source."""
        return self.source.notes

    def chunks(self) -> Iterator[RequestChunk]:
        """The chunks of the source, with ids."""
        first = 0
        for chunk in self.source.chunks():
            rows = [
                self._ids(first + place, tokens)
                for place, tokens in enumerate(chunk.input_tokens.tolist())
            ]
            yield replace(
                chunk,
                prefix_ptr=np.cumsum([0, *map(len, rows)]),
                prefix_ids=np.array([one for ids in rows for one in ids], dtype=np.int64),
                prefix_block_tokens=self.block_tokens,
            )
            first += len(chunk)

    def _ids(self, number: int, tokens: int) -> list[int]:
        """Mostly as many ids as the prompt has blocks; in some rows fewer, or one too many."""
        word = mix64(self.salt ^ number)
        chain = word % len(self.branches)
        most = min(tokens // self.block_tokens + (word >> 8) % 2, LONGEST)
        count = most if (word >> 16) % 4 else (word >> 24) % (most + 1)
        shared = self.branches[chain]
        return [place if place < shared else chain * STRIDE + place for place in range(count)]


def with_prefixes(rng: Random, world: World) -> World:
    """The world with prefix ids in most workloads; some pools have no cache, some route by them."""
    pools = tuple(
        replace(
            pool,
            prefix_cache=rng.randrange(5) > 0,
            routing=pool.routing if rng.randrange(3) else random_router(rng),
        )
        for pool in world.scenario.pools
    )
    sources = tuple(
        Prefixed(source, rng.choice([16, 16, 32, 64]), random_branches(rng), rng.randrange(1 << 30))
        if rng.randrange(6)
        else source
        for source in world.sources
    )
    return replace(world, scenario=replace(world.scenario, pools=pools), sources=sources)


def random_router(rng: Random) -> PrefixAware:
    """A router that knows prefixes, with an index from tiny to roomy."""
    return PrefixAware(
        index_blocks=rng.choice([1, 5, 1000]),
        imbalance=rng.choice([1.0, 1.5, 10.0]),
        least_match=rng.choice([0.0, 0.5]),
    )


def random_branches(rng: Random) -> tuple[int, ...]:
    """One chain or a few."""
    return (LONGEST, *(rng.randrange(8) for _ in range(rng.choice([0, 1, 3]))))
