"""In which order: always the kernel that tells most per second of measuring.

What a timing tells is reckoned family by family (kind and data type) with a Gaussian process over
the octaves of the sizes: the logarithm of time over a rough estimate varies by ``PRIOR``; kernels
that differ by ``OCTAVES`` in a size know about each other. The next kernel is the one whose timing
takes most uncertainty away (½ ln(1 + variance/noise²), times its weight) for its cost. That is
greedy D-optimal design: early timings spread over the whole space, later ones fill the gaps.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.calibrate.kernel import Kernel
from sim.calibrate.plan import Candidate

PRIOR = 0.3  # standard deviation of ln(time / rough estimate)
NOISE = 0.03  # of a timing, in the same measure
OCTAVES = 3.0  # correlation length

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Works:
    """The work of the kernels of one family, a column each (see ``kernel.Work``)."""

    flops: Floats
    bytes: Floats
    footprint_bytes: Floats


#: Seconds that measuring each kernel of a family will take.
Costs = Callable[[tuple[str, str], Works], Floats]


@dataclass
class _Family:
    kernels: list[Kernel]
    works: Works
    weights: Floats
    coordinates: Floats  # [kernels, sizes]
    variance: Floats
    rows: list[Floats] = field(default_factory=list)  # of the pivoted Cholesky factor
    taken: set[int] = field(default_factory=set)

    def gains(self) -> Floats:
        gains = 0.5 * np.log1p(self.variance / NOISE**2) * self.weights
        gains[list(self.taken)] = 0.0
        return gains

    def take(self, index: int) -> None:
        """Knows the time of this kernel from now on, within the noise."""
        off = (self.coordinates - self.coordinates[index]) / OCTAVES
        row = PRIOR**2 * np.exp(-0.5 * (off**2).sum(axis=1))
        for earlier in self.rows:
            row = row - earlier[index] * earlier
        row = row / math.sqrt(max(self.variance[index], 0.0) + NOISE**2)
        self.rows.append(row)
        self.variance = np.maximum(self.variance - row**2, 0.0)
        self.taken.add(index)


class Order:
    """Hands out kernels, the most telling per second first.

    Args:
        candidates: what may be timed.
        refuses: why the device cannot run a kernel, or None.
        done: kernels that a file has already: they are not handed out, and count as known.
    """

    def __init__(
        self,
        candidates: Iterable[Candidate],
        refuses: Callable[[Kernel], str | None],
        done: Iterable[Kernel] = (),
    ) -> None:
        self.refused: Counter[tuple[str, str, str]] = Counter()  # kind, dtype, reason
        groups: dict[tuple[str, str], list[Candidate]] = {}
        for candidate in candidates:
            reason = refuses(candidate.kernel)
            if reason is None:
                groups.setdefault(candidate.kernel.family, []).append(candidate)
            else:
                self.refused[(*candidate.kernel.family, reason)] += 1
        self._families = {key: _family(group) for key, group in groups.items()}
        self._place = {
            kernel: (family, index)
            for family in self._families.values()
            for index, kernel in enumerate(family.kernels)
        }
        for kernel in done:
            self._know(kernel)

    @property
    def left(self) -> int:
        """Kernels not handed out yet."""
        return len(self._place) - sum(len(f.taken) for f in self._families.values())

    def take(self, most: int, costs: Costs, left_s: float, memory_bytes: float) -> list[Kernel]:
        """The next kernels: at most ``most``, together within the time left and the memory."""
        cost_s = {key: costs(key, family.works) for key, family in self._families.items()}
        chosen: list[Kernel] = []
        while len(chosen) < most:
            best_score, best_key, best_index = 0.0, ("", ""), -1
            for key, family in self._families.items():
                fits = (cost_s[key] <= left_s) & (family.works.footprint_bytes <= memory_bytes)
                scores = np.where(fits, family.gains() / cost_s[key], 0.0)
                index = int(np.argmax(scores))
                if scores[index] > best_score:
                    best_score, best_key, best_index = float(scores[index]), key, index
            if best_index < 0:
                break
            family = self._families[best_key]
            family.take(best_index)
            chosen.append(family.kernels[best_index])
            left_s -= float(cost_s[best_key][best_index])
            memory_bytes -= float(family.works.footprint_bytes[best_index])
        return chosen

    def _know(self, kernel: Kernel) -> None:
        place = self._place.get(kernel)
        if place is not None and place[1] not in place[0].taken:
            place[0].take(place[1])


def _family(group: list[Candidate]) -> _Family:
    kernels = [candidate.kernel for candidate in group]
    works = [kernel.work for kernel in kernels]
    flops, moved, footprint = (
        np.array([getattr(work, name) for work in works])
        for name in ("flops", "bytes", "footprint_bytes")
    )
    return _Family(
        kernels,
        Works(flops, moved, footprint),
        np.array([candidate.weight for candidate in group]),
        np.array([kernel.coordinates for kernel in kernels]),
        np.full(len(kernels), PRIOR**2),
    )
