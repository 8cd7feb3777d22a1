"""System prompts: requests of a synthetic workload that begin alike.

Each request belongs to one of a number of prompts, drawn by its row: prompt k (from 1 on) with a
probability in proportion to k^−skew (Zipf's law; a skew of 0 makes all alike). Its input is the
prompt and, after it, the input that its source draws. A prefix cache shares whole KV blocks, so of
a prompt of t tokens the first ``t // 16`` blocks can be shared. They are named by as few ids as
stand for at most 256 tokens each, all for equally many; up to one KV block for each id is left over
at the end and counts as text of the request's own, as what does not fill a KV block does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.perf.step import BLOCK_TOKENS
from sim.rng import KeyedBits
from sim.workload.plan import SharedPrefix
from sim.workload.types import RequestChunk, RequestSource

_MOST_BLOCKS = 256 // BLOCK_TOKENS  # KV blocks of one id


def id_blocks(tokens: int) -> tuple[int, int]:
    """(ids, tokens that each stands for) of a shared prompt of ``tokens`` tokens, at least 16."""
    blocks = tokens // BLOCK_TOKENS
    ids = -(-blocks // _MOST_BLOCKS)
    return ids, blocks // ids * BLOCK_TOKENS


@dataclass(frozen=True)
class PrefixedSource:
    """A source whose requests begin with one of a few prompts."""

    source: RequestSource
    shared: SharedPrefix
    seed: int
    stream: str

    @property
    def closed(self) -> bool:
        """As the source."""
        return self.source.closed

    @property
    def notes(self) -> tuple[str, ...]:
        """As the source."""
        return self.source.notes

    def chunks(self) -> Iterator[RequestChunk]:
        """The source's chunks, each input longer by its prompt."""
        ids, block_tokens = id_blocks(self.shared.tokens)
        first = 0
        for chunk in self.source.chunks():
            rows = len(chunk)
            prompts = self._prompts(np.arange(first, first + rows, dtype=np.int64))
            yield replace(
                chunk,
                input_tokens=chunk.input_tokens + self.shared.tokens,
                prefix_ptr=np.arange(rows + 1, dtype=np.int64) * ids,
                prefix_ids=np.add.outer(prompts * ids, np.arange(ids)).ravel(),
                prefix_block_tokens=block_tokens,
            )
            first += rows

    def _prompts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n] rows → [n] prompts, counting from 0, the most frequent first."""
        ranks = np.arange(1, self.shared.prompts + 1, dtype=np.float64)
        cumulative = np.cumsum(ranks**-self.shared.skew)
        drawn = KeyedBits(self.seed, f"{self.stream}/prefix").uniform_array(rows)
        found: NDArray[np.int64] = np.searchsorted(cumulative / cumulative[-1], drawn, side="right")
        return found
