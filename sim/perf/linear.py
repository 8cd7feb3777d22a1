"""Decode attention as what ``StepCost`` can hold: constant + per sequence + per token of context.

The kernel's time (``attention.decode_s``) is a smooth maximum of what its blocks take, which grows
with sequences, and of what KV takes to cross HBM, which grows with its tokens; ``StepCost`` has
only sums of the two. The three terms are the non-negative ones with the least squared error, as a
share of the kernel's time with its launch, over batches and contexts that are evenly spaced in
their logarithms and fit the GPU's memory.
What is lost: short contexts in large batches, where blocks bind, are up to a third off, and so are
single sequences, whose split contexts wait (``tests/unit/perf/test_reduction.py`` has figures).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from sim.perf.attention import Chip, DecodeConstants, Heads, decode_s
from sim.perf.gemm import Clock, Floats

#: Shortest context and points per axis of the fit.
LEAST_CONTEXT = 64
POINTS = 12


@dataclass(frozen=True)
class DecodeTerms:
    """Seconds of attention in an iteration that decodes; over layers, for one group of ranks."""

    fixed_s: float
    sequence_s: float
    kv_token_s: float

    def scaled(self, layers: float, clock: Clock) -> DecodeTerms:
        """Of so many layers at a clock: blocks and waits follow the SMs, KV the memory."""
        return DecodeTerms(
            self.fixed_s * layers * clock.compute,
            self.sequence_s * layers * clock.compute,
            self.kv_token_s * layers * clock.memory,
        )


def batches(most_sequences: float, most_context: float, most_tokens: float) -> tuple[Floats, ...]:
    """([n] sequences, [n] tokens of each): the grid that the terms are fitted to."""
    counts = np.geomspace(1, max(most_sequences, 1), POINTS)
    lengths = np.geomspace(min(LEAST_CONTEXT, most_context), most_context, POINTS)
    count, context = (axis.ravel() for axis in np.meshgrid(counts, lengths))
    fits = (count * context <= most_tokens) | (count == 1)
    return count[fits], context[fits]


@lru_cache(maxsize=256)
def decode_terms(
    heads: Heads,
    kv_bytes: float,
    constants: DecodeConstants,
    chip: Chip,
    *,
    single: bool,
    most_sequences: int,
    most_context: int,
    most_tokens: float,
) -> DecodeTerms:
    """The terms of one layer at full clock, without the kernel's launch."""
    count, context = batches(most_sequences, most_context, most_tokens)
    isolated = decode_s(count, context, heads, kv_bytes, constants, chip, single=single)
    serving = replace(constants, launch_s=0.0)
    seconds = decode_s(count, context, heads, kv_bytes, serving, chip, single=single)
    terms = np.stack([np.ones_like(count), count, count * context])
    return DecodeTerms(*non_negative(terms / isolated, seconds / isolated))


def non_negative(terms: Floats, wanted: Floats) -> tuple[float, ...]:
    """Factors ≥ 0 of ``terms`` [k, n] with the least squared error against [n] wanted values.

    Few terms: the best of all subsets whose unbounded solution has no negative factor.
    """
    scaled = terms.T
    best, least = np.zeros(len(terms)), np.inf
    for kept in product((False, True), repeat=len(terms)):
        if not any(kept):
            continue
        mask = np.array(kept)
        factors = np.zeros(len(terms))
        factors[mask] = np.linalg.lstsq(scaled[:, mask], wanted, rcond=None)[0]
        off = float(((scaled @ factors - wanted) ** 2).sum())
        if (factors >= 0).all() and off < least:
            best, least = factors, off
    return tuple(float(x) for x in best)
