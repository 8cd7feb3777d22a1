"""Many NumPy generators at once: PCG64 and the draws that the copies of a source make.

A NumPy ``Generator`` costs some 20 us to make and 5 us a call; a source at a large rate has ten
thousand copies with one each. Here a generator is a record and its draws equal, bit for bit, those
of ``np.random.Generator(np.random.PCG64(...))``: PCG64 is O'Neill's PCG XSL RR 128/64 (HMC-CS-2014-
0905), and a shuffle is Fisher and Yates's with masked rejection.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.kernels.jit import entry, kernel

#: A generator: 128 bits of state, 128 of increment, and a half word left from the last 32-bit draw.
PCG64 = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("step_high", np.uint64),
        ("step_low", np.uint64),
        ("half", np.uint64),
        ("has_half", np.bool_),
    ],
    align=True,
)

# numba adds a uint64 and a literal as floats; constants of the same type wrap as they should.
_MULTIPLIER_HIGH, _MULTIPLIER_LOW = np.uint64(0x2360ED051FC65DA4), np.uint64(0x4385DF649FCCF645)
_LOW32 = np.uint64(0xFFFFFFFF)
_S1, _S2, _S4, _S8, _S16 = (np.uint64(shift) for shift in (1, 2, 4, 8, 16))
_S11, _S32, _S58, _S63, _S64 = (np.uint64(shift) for shift in (11, 32, 58, 63, 64))
_ZERO, _ONE = np.uint64(0), np.uint64(1)


@entry
def start(words: NDArray[np.uint64], generators: NDArray[np.void]) -> None:
    """Set [n] generators to their start from [n, 4] words, two of state and two of stream."""
    for i in range(len(words)):
        rng = generators[i]
        rng.step_high = (words[i, 2] << _S1) | (words[i, 3] >> _S63)
        rng.step_low = (words[i, 3] << _S1) | _ONE
        rng.low = rng.step_low + words[i, 1]
        carry = _ONE if rng.low < words[i, 1] else _ZERO
        rng.high = rng.step_high + words[i, 0] + carry
        rng.has_half = False
        _advance(rng)


@entry
def random(generators: NDArray[np.void], out: NDArray[np.float64]) -> None:
    """One float in [0, 1) of each of [n] generators, as ``Generator.random()``."""
    for i in range(len(generators)):
        out[i] = _unit53(generators[i])


@entry
def stratified_ranks(
    generators: NDArray[np.void], who: NDArray[np.int64], ranks: NDArray[np.float64]
) -> None:
    """Ranks spread evenly over [0, 1): one in each of as many equal bins, in random order.

    Fills [m, t, v] ``ranks``: of generator ``who[i]``, t times (permutation(v) + random(v)) / v.
    """
    tables, visits = ranks.shape[1], ranks.shape[2]
    for i in range(len(who)):
        rng = generators[who[i]]
        for table in range(tables):
            for visit in range(visits):
                ranks[i, table, visit] = visit
            for visit in range(visits - 1, 0, -1):
                other = _up_to(rng, visit)
                kept = ranks[i, table, visit]
                ranks[i, table, visit] = ranks[i, table, other]
                ranks[i, table, other] = kept
            for visit in range(visits):
                ranks[i, table, visit] = (ranks[i, table, visit] + _unit53(rng)) / visits


@kernel
def _advance(rng: Any) -> None:
    """state = state * multiplier + increment, modulo 2**128."""
    low = rng.low * _MULTIPLIER_LOW
    high = (
        _product_high(rng.low, _MULTIPLIER_LOW)
        + rng.high * _MULTIPLIER_LOW
        + rng.low * _MULTIPLIER_HIGH
    )
    rng.low = low + rng.step_low
    carry = _ONE if rng.low < low else _ZERO
    rng.high = high + rng.step_high + carry


@kernel
def _product_high(a: np.uint64, b: np.uint64) -> np.uint64:
    """The high 64 bits of the 128-bit product of two words."""
    a_high, a_low, b_high, b_low = a >> _S32, a & _LOW32, b >> _S32, b & _LOW32
    middle = a_high * b_low + ((a_low * b_low) >> _S32)
    other = a_low * b_high + (middle & _LOW32)
    return a_high * b_high + (middle >> _S32) + (other >> _S32)


@kernel
def _word64(rng: Any) -> np.uint64:
    """The next 64 bits."""
    _advance(rng)
    word, turn = rng.high ^ rng.low, rng.high >> _S58
    return np.uint64((word >> turn) | (word << ((_S64 - turn) & _S63)))


@kernel
def _word32(rng: Any) -> np.uint64:
    """The next 32 bits: the low half of a word, then its high half."""
    if rng.has_half:
        rng.has_half = False
        return np.uint64(rng.half)
    word = _word64(rng)
    rng.has_half = True
    rng.half = word >> _S32
    return word & _LOW32


@kernel
def _unit53(rng: Any) -> float:
    """The next float in [0, 1), with 53 random bits."""
    return float(_word64(rng) >> _S11) * 2.0**-53


@kernel
def _up_to(rng: Any, most: int) -> int:
    """The next integer in [0, ``most``], 0 < ``most`` < 2**32; masked bits, until they fit."""
    limit = np.uint64(most)
    mask = limit
    mask |= mask >> _S1
    mask |= mask >> _S2
    mask |= mask >> _S4
    mask |= mask >> _S8
    mask |= mask >> _S16
    value = _word32(rng) & mask
    while value > limit:
        value = _word32(rng) & mask
    return int(value)
