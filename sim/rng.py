"""Randomness by name: one stream per entity and purpose, so that a change of policy moves no draw.

A stream is keyed by 128 bits of SHA-256 of its name under the run's seed. Draws that belong to one
request (a random routing choice, its lengths) are keyed by the request's id instead of drawn from a
shared stream, so arrivals and lengths stay identical when a policy changes (common random numbers).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MASK = (1 << 64) - 1


def _key(seed: int, name: str) -> int:
    digest = hashlib.sha256(name.encode()).digest()[:16]
    return int.from_bytes(digest, "big") ^ (seed & _MASK)


def generator(seed: int, name: str) -> np.random.Generator:
    """A NumPy generator for the stream ``name`` (``workload/chat/arrivals``) of a run's seed."""
    import numpy as np

    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype=">u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *map(int, words)])))


def generator_seeds(seed: int, names: Sequence[str]) -> NDArray[np.uint64]:
    """What PCG64 is seeded with in ``generator(seed, name)`` for each of many names.

    The hash of ``np.random.SeedSequence``, over columns; for ten thousand streams it takes a
    hundredth of the time of as many objects.

    Returns:
        [n, 4] uint64: two words of the initial state and two of the stream, high word first.
    """
    import numpy as np

    digests = b"".join(hashlib.sha256(name.encode()).digest()[:16] for name in names)
    named = np.frombuffer(digests, dtype=">u4").astype(np.uint32).reshape(len(names), 4)
    low_words = [seed >> shift & 0xFFFFFFFF for shift in range(0, max(seed.bit_length(), 1), 32)]
    entropy = [np.full(len(names), word, dtype=np.uint32) for word in low_words]
    pool = _entropy_pool([*entropy, *named.T])
    hashed = _Hash(0x8B51F9DD, 0x58F38DED)
    words = np.stack([hashed.of(pool[i % 4]) for i in range(8)], axis=1).astype(np.uint64)
    return words[:, 0::2] | (words[:, 1::2] << np.uint64(32))


def _entropy_pool(entropy: list[NDArray[np.uint32]]) -> list[NDArray[np.uint32]]:
    """The four words of a seed sequence's pool, each a column; at least five words of entropy."""
    import numpy as np

    hashed = _Hash(0x43B0D7E5, 0x931E8875)

    def mixed(word: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.uint32]:
        result = word * np.uint32(0xCA01F9DD) - hashed.of(other) * np.uint32(0x4973F715)
        result ^= result >> np.uint32(16)
        return result

    pool = [hashed.of(word) for word in entropy[:4]]
    for source in range(4):
        for target in range(4):
            if source != target:
                pool[target] = mixed(pool[target], pool[source])
    for word in entropy[4:]:
        pool = [mixed(target, word) for target in pool]
    return pool


class _Hash:
    """The hash of a seed sequence, whose constant changes at each use."""

    __slots__ = ("_constant", "_multiplier")

    def __init__(self, constant: int, multiplier: int) -> None:
        self._constant, self._multiplier = constant, multiplier

    def of(self, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The hash of each value."""
        import numpy as np

        values = values ^ np.uint32(self._constant)
        self._constant = self._constant * self._multiplier & 0xFFFFFFFF
        values = values * np.uint32(self._constant)
        return values ^ (values >> np.uint32(16))


def mix64(value: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): 64 bits in, 64 bits out."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class KeyedBits:
    """64 random bits for each id, in any order and without state: ``bits(request_id)``."""

    __slots__ = ("_salt",)

    def __init__(self, seed: int, name: str) -> None:
        key = _key(seed, name)
        self._salt = mix64((key >> 64) ^ mix64(key & _MASK))

    @property
    def salt(self) -> int:
        """64 bits that stand for the seed and the name: ``sim.kernels.keyed`` takes them."""
        return self._salt

    def bits(self, identity: int) -> int:
        """64 bits that depend on the seed, the stream's name and ``identity`` only."""
        return mix64(self._salt ^ mix64(identity & _MASK))

    def below(self, identity: int, bound: int) -> int:
        """An integer in [0, bound), from the high 32 bits (bias below bound / 2**32)."""
        return ((self.bits(identity) >> 32) * bound) >> 32

    def two_below(self, identity: int, bound: int) -> tuple[int, int]:
        """Two independent integers in [0, bound), from the two halves of the 64 bits."""
        word = self.bits(identity)
        return ((word >> 32) * bound) >> 32, ((word & 0xFFFFFFFF) * bound) >> 32

    def uniform(self, identity: int) -> float:
        """A float in [0, 1) with 53 random bits."""
        return float(self.bits(identity) >> 11) * 2.0**-53

    def bits_array(self, identities: NDArray[np.int64]) -> NDArray[np.uint64]:
        """``bits`` of many ids at once: [n] int64 → [n] uint64, equal to the scalar ones."""
        import numpy as np

        ids = np.asarray(identities, dtype=np.int64).view(np.uint64)
        return _mix64_array(np.uint64(self._salt) ^ _mix64_array(ids))

    def uniform_array(self, identities: NDArray[np.int64]) -> NDArray[np.float64]:
        """``uniform`` of many ids at once: [n] int64 → [n] float64 in [0, 1)."""
        import numpy as np

        high = self.bits_array(identities) >> np.uint64(11)
        return high.astype(np.float64) * 2.0**-53


def _mix64_array(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """``mix64`` of an array; uint64 arithmetic of NumPy arrays wraps as the definition asks."""
    import numpy as np

    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
