"""Random bits keyed by an id: the compiled form of ``sim.rng.KeyedBits``, equal bit for bit."""

from __future__ import annotations

import numpy as np

from sim.kernels.jit import kernel

# numba adds a uint64 and a literal as floats; constants of the same type wrap as they should.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31, _S32 = (np.uint64(shift) for shift in (11, 27, 30, 31, 32))
_LOW32 = np.uint64(0xFFFFFFFF)


@kernel
def mix64(value: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64, as ``sim.rng.mix64``."""
    value = value + _GOLDEN
    value = (value ^ (value >> _S30)) * _FIRST
    value = (value ^ (value >> _S27)) * _SECOND
    return value ^ (value >> _S31)


@kernel
def keyed_bits(salt: np.uint64, identity: np.uint64) -> np.uint64:
    """64 bits for an id, as ``KeyedBits.bits``; ``salt`` is ``KeyedBits.salt``."""
    return mix64(salt ^ mix64(identity))


@kernel
def unit53(word: np.uint64) -> float:
    """A float in [0, 1) from the high 53 bits of a word, as ``KeyedBits.uniform``."""
    return float(word >> _S11) * 2.0**-53


@kernel
def high32(word: np.uint64) -> float:
    """A float in [0, 1) from the high 32 bits of a word."""
    return float(word >> _S32) * 2.0**-32


@kernel
def low32(word: np.uint64) -> float:
    """A float in [0, 1) from the low 32 bits of a word."""
    return float(word & _LOW32) * 2.0**-32
