"""Random bits for policies, in plain Python that numba can compile (see ``compose``)."""

from __future__ import annotations

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


def mixed(word: np.uint64, more: np.uint64) -> np.uint64:
    """A hash of a hash and a word, after the finaliser of SplitMix64 (``sim.rng.mix64``)."""
    word = (word ^ more) + _GOLDEN
    word = (word ^ (word >> _S30)) * _FIRST
    word = (word ^ (word >> _S27)) * _SECOND
    return word ^ (word >> _S31)


def unit(word: np.uint64) -> float:
    """A float in [0, 1) from the high 53 bits of a word."""
    return float(word >> _S11) * 2.0**-53
