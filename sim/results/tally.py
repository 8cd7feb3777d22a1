"""Counters that grow by blocks: sums per key in arrays, compact whatever the number of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Merged when what is pending outgrows both this and what is already merged.
_PENDING = 1 << 16


class Tally:
    """Adds rows of integers and floats per 64-bit key.

    The result depends on the sequence of ``add`` calls only; keys come out ascending.
    """

    def __init__(self, ints: int, floats: int) -> None:
        self._keys: list[Ints] = [np.empty(0, np.int64)]
        self._ints: list[Ints] = [np.empty((0, ints), np.int64)]
        self._floats: list[Floats] = [np.empty((0, floats), np.float64)]
        self._pending = 0

    def add(self, keys: Ints, ints: Ints, floats: Floats) -> None:
        """Add ``ints`` [n, i] and ``floats`` [n, f] to their ``keys`` [n]."""
        if not len(keys):
            return
        reduced = _reduce(keys, ints, floats)
        self._keys.append(reduced[0])
        self._ints.append(reduced[1])
        self._floats.append(reduced[2])
        self._pending += len(reduced[0])
        if self._pending > max(_PENDING, len(self._keys[0])):
            self._merge()

    def _merge(self) -> None:
        merged = _reduce(
            np.concatenate(self._keys), np.concatenate(self._ints), np.concatenate(self._floats)
        )
        self._keys, self._ints, self._floats = [merged[0]], [merged[1]], [merged[2]]
        self._pending = 0

    def rows(self) -> tuple[Ints, Ints, Floats]:
        """Keys [k] ascending, with their sums [k, i] and [k, f]."""
        self._merge()
        return self._keys[0], self._ints[0], self._floats[0]


def _reduce(keys: Ints, ints: Ints, floats: Floats) -> tuple[Ints, Ints, Floats]:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    if not len(keys):
        return keys, ints, floats
    return (
        keys[starts],
        np.add.reduceat(ints[order], starts, axis=0),
        np.add.reduceat(floats[order], starts, axis=0),
    )
