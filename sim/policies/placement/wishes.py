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
        self.before = np.bincount(place[: ends[0]], typical * pods.share, len(wishes))
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

    def slots(self, nodes: NDArray[np.void]) -> NDArray[np.float64]:
        """[M] pods of each wish that would find room on the nodes, each wish alone."""
        left, cpu, kind = nodes["gpu_left"], nodes["cpu_left"], nodes["type"]
        fitting = {milli: (left // milli).sum(axis=1) for milli in set(self.gpu_milli) - {0}}
        found = np.zeros(len(self.cpu))
        for m in np.flatnonzero(self.gpus > 0).tolist():
            room = fitting[self.gpu_milli[m]] // self.gpus[m]
            if self.cpu[m] > 0:
                room = np.minimum(room, cpu // self.cpu[m])
            found[m] = room[self.allowed[m][kind]].sum()
        return found

    def prices(
        self, nodes: NDArray[np.void], asked: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """[M] thousandths of a GPU that a place for each wish is worth, for want of places.

        A place that is given up costs a pod if more come than there are places (the newsvendor's
        rule): gpus · gpu_milli · P(arrivals until the GPUs are full ≥ places). Arrivals count all
        wishes that need such a place; their number has the spread of a Poisson number whose rate
        was estimated from as many pods as were asked for.
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
        places = self.slots(nodes)
        chance = ndtr((mean - places + 0.5) / spread)
        return np.where((places > 0) & (counted > 0), request * chance, 0.0)


def _rows(
    cpu: NDArray[np.int64],
    gpus: NDArray[np.int64],
    gpu_milli: NDArray[np.int64],
    allowed: NDArray[np.bool_],
) -> NDArray[np.int64]:
    return np.concatenate([np.stack([cpu, gpus, gpu_milli], axis=1), allowed], axis=1).astype(
        np.int64
    )
