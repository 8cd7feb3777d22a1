"""The seam of placement: a policy says how good a node is, the engine does the rest.

A placement policy is a frozen dataclass with one of these, plain Python that numba can compile::

    @staticmethod
    def score(node, pod, known): ...   # larger is better; or (score, GPU of a part of a GPU)

    @staticmethod
    def value(node, known): ...        # what is left on a node is worth this much

``score`` sees one node on which the pod fits, and the pod; a bare number lets the engine choose the
tightest GPU. A policy with ``value`` says instead how much it likes a state of a node: the engine
tries the pod on each of its GPUs, and the score is the gain. It is kept by state (type, CPU left,
what is left of each GPU in descending order; no memory), so it may be expensive. Either may have

* ``prepare(self, fleet)``, called once a run: what it makes is ``known`` (a number, an array, or a
  named tuple of them). For a policy that learns it makes an object of its own with ``known``,
  ``refresh_every`` and ``refresh(seen)``, which is called after that many arrivals to change the
  arrays of ``known`` in place, and returns what has to be made anew (``Refresh``);
* ``post(scores, out)``, static: all scores of one pod seen together, -inf where it does not fit;
* ``draws = True``: scores are made anew at every arrival (``pod.arrival`` counts them);

and next to ``value``: ``price(node, known)``, the part of the value that ``refresh`` changes
(never more after a pod came than before), and ``grade(gain, known)``, the score of a gain (with a
``price``: never less for a larger gain, and not changed by ``refresh`` unless values are, so that
scores without prices bound those with them). Ties go to the node of least rank: random in
``rackplan place``, site order in a scenario. Records and helpers: ``sim.kernels.node_state``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


def scores(policy: type) -> bool:
    """Whether a placement policy can rank nodes (or only ``decide`` on a site)."""
    return hasattr(policy, "score") or hasattr(policy, "value")


class Refresh(Enum):
    """What ``refresh`` made out of date."""

    NOTHING = 0
    SCORES = 1  # scores, but not values
    VALUES = 2  # both


@dataclass(frozen=True)
class TypicalPods:
    """The most frequent shapes of a workload, memory left out: what a scheduler knows of its users.

    Attributes:
        cpu, gpus, gpu_milli: [M] int64, as in a pod's record.
        share: [M] float64, of all pods; sums to 1.
        allowed: [M, T] whether it may run on a type of node.
    """

    cpu: NDArray[np.int64]
    gpus: NDArray[np.int64]
    gpu_milli: NDArray[np.int64]
    share: NDArray[np.float64]
    allowed: NDArray[np.bool_]


@dataclass(frozen=True)
class Fleet:
    """What a policy may know before the first pod arrives.

    Attributes:
        idle: [N] records of the nodes with nothing on them; read-only.
        types: [T] position of one node of each type.
        shapes: [S] records of the shapes that ``Seen.counts`` counts. A shape is known once it has
            been seen; only ``typical`` is known beforehand.
        allowed: [S, T] whether a shape may run on a type.
        typical: the most frequent shapes.
        seed: of the run, for policies that draw.
    """

    idle: NDArray[np.void]
    types: NDArray[np.int64]
    shapes: NDArray[np.void]
    allowed: NDArray[np.bool_]
    typical: TypicalPods
    seed: int


@dataclass(frozen=True)
class Seen:
    """What has happened so far.

    Attributes:
        arrivals: pods that arrived.
        counts: [S] of them by shape.
        nodes: [N] records as they are now; read-only.
    """

    arrivals: int
    counts: NDArray[np.int64]
    nodes: NDArray[np.void]
