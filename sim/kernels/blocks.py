"""KV blocks of decoding sequences, counted by residue.

A decode step at context c writes token c + 1 and needs a new block if c mod 16 = 0, at the start of
the iteration. While a sequence decodes, its context minus its replica's step is constant, so
sequences are counted by (context − step) mod 16, and those that need a block at step x are the
ones of residue −x mod 16: nothing moves when time does.
"""

from __future__ import annotations

from sim.kernels.jit import kernel
from sim.kernels.layout import BLOCK_MASK, BLOCK_SHIFT
from sim.kernels.state import State


@kernel
def blocks_for(tokens: int) -> int:
    """KV blocks that ``tokens`` tokens need."""
    return (tokens + BLOCK_MASK) >> BLOCK_SHIFT


@kernel
def needed(s: State, r: int, step: int) -> int:
    """Blocks that the iteration starting at ``step`` takes."""
    return s.residues[r, -step & BLOCK_MASK]


@kernel
def needed_over(s: State, r: int, step: int, starts: int) -> int:
    """Blocks that ``starts`` iterations take, the first at ``step``: every 16 take one each."""
    blocks = (starts >> BLOCK_SHIFT) * s.replica[r].decoding
    for later in range(starts & BLOCK_MASK):
        blocks += s.residues[r, -(step + later) & BLOCK_MASK]
    return blocks


@kernel
def starts_possible(s: State, r: int, step: int, most: int) -> int:
    """How many iterations, the first at ``step``, find their blocks free; at most ``most``."""
    replica = s.replica[r]
    decoding, free = replica.decoding, replica.free
    if ((most + BLOCK_MASK) >> BLOCK_SHIFT) * decoding <= free:
        return most
    rounds = free // decoding
    starts = rounds << BLOCK_SHIFT
    if starts >= most:
        return most
    left = free - rounds * decoding
    while starts < most:
        left -= s.residues[r, -(step + starts) & BLOCK_MASK]
        if left < 0:
            break
        starts += 1
    return starts
