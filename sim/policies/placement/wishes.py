"""What pods are likely to ask for: typical ones, those seen, and such as take a whole node."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.policies.scoring import Fleet


class Wishes:
    """Distinct wishes of pods with GPUs, memory left out, and how often each is asked for.

    Attributes:
        cpu, gpus, gpu_milli: [M] int64, as in a pod's record.
        allowed: [M, T] whether it may run on a type of node.
        above: [M, M] 1.0 where wish j can only be met where i can (it asks for as much or more).
        before: [M] float64, how often each counts as asked for before any pod was seen.
    """

    def __init__(self, fleet: Fleet, typical: float, whole: float) -> None:
        """``typical`` pods' worth of typical ones, and ``whole`` for all of a node of each type."""
        pods, shapes, idle = fleet.typical, fleet.shapes, fleet.idle[fleet.types]
        several = idle[idle["gpus"] > 1]
        rows = np.concatenate(
            [
                _rows(pods.cpu, pods.gpus, pods.gpu_milli, pods.allowed),
                _rows(shapes["cpu"], shapes["gpus"], shapes["gpu_milli"], fleet.allowed),
                _rows(
                    several["cpu_left"],
                    several["gpus"],
                    np.full(len(several), 1000),
                    several["type"][:, None] == np.arange(len(idle)),
                ),
            ]
        )
        wishes, place = np.unique(rows, axis=0, return_inverse=True)
        place = place.reshape(-1)
        ends = np.cumsum([len(pods.share), len(shapes)])
        self.cpu, self.gpus, self.gpu_milli = (wishes[:, i].copy() for i in range(3))
        self.allowed = wishes[:, 3:].astype(bool)
        self._of_shape = place[ends[0] : ends[1]]
        before = np.bincount(place[: ends[0]], typical * pods.share, len(wishes))
        self.before = before.astype(np.float64)
        self._whole = np.bincount(place[ends[1] :], minlength=len(wishes)) * whole
        more = np.ones((len(wishes), len(wishes)), dtype=bool)
        for column in (self.cpu, self.gpus, self.gpu_milli):
            more &= column[None, :] >= column[:, None]
        elsewhere = self.allowed.astype(np.float64) @ ~self.allowed.T
        self.above = (more & (elsewhere.T == 0)).astype(np.float64)

    def asked(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """[M] how often each was asked for, as far as anybody knows; ``counts`` [S] by shape."""
        asked: NDArray[np.float64] = self.before + np.bincount(
            self._of_shape, counts, len(self.before)
        )
        return asked

    def room(self, nodes: NDArray[np.void]) -> NDArray[np.int64]:
        """[M, n] pods of each wish that would find room on each of n nodes, each wish alone."""
        left, cpu = nodes["gpu_left"][None, :, :], nodes["cpu_left"][None, :]
        milli = np.maximum(self.gpu_milli, 1)[:, None, None]
        found = (left // milli).sum(axis=2) // np.maximum(self.gpus, 1)[:, None]
        asks = self.cpu[:, None]
        found = np.where(asks > 0, np.minimum(found, cpu // np.maximum(asks, 1)), found)
        return np.where(self.allowed[:, nodes["type"]] & (self.gpus > 0)[:, None], found, 0)

    def chances(
        self, nodes: NDArray[np.void], asked: NDArray[np.float64], places: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """[M] the chance that a place for each wish, given up now, costs a pod in the end.

        It does if more come than there are places (the newsvendor's rule): P(arrivals until the
        GPUs are full ≥ places). Arrivals count all wishes that need such a place; their number has
        the spread of a Poisson number whose rate was estimated from as many pods as were asked for.
        """
        from scipy.special import ndtr

        counted = asked + self._whole
        request = self.gpus * self.gpu_milli
        mean_request = (asked * request).sum() / counted.sum()
        if mean_request == 0.0:
            return np.zeros(len(asked))
        coming = float(nodes["left"].sum()) / mean_request
        with_gpus = np.where(self.gpus > 0, counted, 0.0)
        known = self.above @ with_gpus
        mean = coming / counted.sum() * known
        spread = np.sqrt(mean + mean**2 / np.maximum(known, 1e-9)) + 1e-9
        chance = ndtr((mean - places + 0.5) / spread)
        return np.where((places > 0) & (counted > 0) & (chance > 1e-3), chance, 0.0)


def _rows(
    cpu: NDArray[np.int64],
    gpus: NDArray[np.int64],
    gpu_milli: NDArray[np.int64],
    allowed: NDArray[np.bool_],
) -> NDArray[np.int64]:
    return np.concatenate([np.stack([cpu, gpus, gpu_milli], axis=1), allowed], axis=1).astype(
        np.int64
    )


class Places:
    """How many pods of each wish would find room, followed node by node as nodes change."""

    def __init__(self, wishes: Wishes, nodes: NDArray[np.void]) -> None:
        self._wishes = wishes
        parts = np.array_split(np.arange(len(nodes)), len(nodes) // 256 + 1)
        self._room = np.concatenate([wishes.room(nodes[part]) for part in parts], axis=1)
        self._seen = self._state(nodes)
        self.total: NDArray[np.float64] = self._room.sum(axis=1).astype(np.float64)

    @staticmethod
    def _state(nodes: NDArray[np.void]) -> NDArray[np.int64]:
        return np.stack([nodes["cpu_left"], nodes["left"], nodes["pods"]])

    def follow(self, nodes: NDArray[np.void]) -> NDArray[np.float64]:
        """[M] places of each wish on the nodes as they are now."""
        state = self._state(nodes)
        changed = np.flatnonzero((state != self._seen).any(axis=0))
        room = self._wishes.room(nodes[changed])
        self.total += room.sum(axis=1) - self._room[:, changed].sum(axis=1)
        self._room[:, changed] = room
        self._seen = state
        return self.total
