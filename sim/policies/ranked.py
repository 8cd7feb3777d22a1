"""Suggestions from scores: a placement policy that ranks nodes, where replicas are placed.

Here a "node" is an NVLink domain and a "pod" the GPUs of a tensor-parallel group, so that a group
is never torn; a group larger than a domain takes whole ones. Stages of a pipeline are placed one
after the other. CPU and memory play no part: a replica asks for none. The functions of the policy
run as the plain Python that they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.kernels.node_state import NEVER, POD, SHARED, WHOLE, fits, node_dtype, take, width_for
from sim.policies.base import PlacementView
from sim.policies.scoring import Fleet, TypicalPods


class Ranked:
    """A policy with a score, for one build of a world, with the ``decide`` that others have."""

    def __init__(self, policy: Any, seed: int, groups: Sequence[tuple[int, int]]) -> None:
        """``groups``: GPUs of a tensor-parallel group, and how many are to be placed, by pool."""
        self._policy, self._seed, self._groups = policy, seed, groups
        self._known: Any = None
        self._prepared = False
        self._worth: dict[tuple[int, ...], float] = {}
        self._placed = 0

    def decide(self, view: PlacementView, state: None, rng: Any) -> Iterator[tuple[int, ...]]:
        """One suggestion per domain that can hold the first group, the best score first."""
        nodes = _nodes(view)
        largest = int(np.bincount(view.site.gpu_domain).max())
        unit = min(view.tensor_parallel, largest)
        pod = _pod(unit, self._placed)
        self._placed += 1
        if not self._prepared:
            self._known = self._prepare(view, largest)
            self._prepared = True
        size = view.tensor_parallel * view.pipeline_parallel
        for first in self._ranking(nodes, pod):
            left = nodes.copy().view(np.recarray)
            chosen = _take(view, left, first, pod)
            while len(chosen) < size:
                # The same domain while it has room, as the next groups talk to the first.
                more = first
                if not fits(left[first], pod[0]):
                    more = next(iter(self._ranking(left, pod)), -1)
                if more < 0:
                    break
                chosen += _take(view, left, more, pod)
            if len(chosen) == size:
                yield tuple(chosen)

    def _prepare(self, view: PlacementView, largest: int) -> Any:
        """What the policy makes of the idle site and of the groups that are to be placed."""
        if not hasattr(self._policy, "prepare"):
            return 0
        everything = PlacementView(
            view.site, np.ones(view.site.gpus, dtype=bool), 1, 1, view.pool, view.replica
        )
        idle = _nodes(everything)
        types, place = np.unique(idle["type"], return_index=True)
        sizes = np.array([min(gpus, largest) for gpus, _ in self._groups], dtype=np.int64)
        share = np.array([count for _, count in self._groups], dtype=np.float64)
        anywhere = np.ones((len(sizes), len(types)), dtype=bool)
        typical = TypicalPods(
            np.zeros_like(sizes), sizes, np.full_like(sizes, WHOLE), share / share.sum(), anywhere
        )
        shapes = np.concatenate([_pod(int(gpus), 0) for gpus in sizes]) if len(sizes) else idle[:0]
        memory = self._policy.prepare(Fleet(idle, place, shapes, anywhere, typical, self._seed))
        return memory.known if hasattr(memory, "refresh") else memory

    def _ranking(self, nodes: Any, pod: Any) -> list[int]:
        """The nodes on which the pod fits, the largest score first, of equals in order."""
        scores = np.full(len(nodes), NEVER)
        with np.errstate(over="ignore"):  # hashes of policies that draw
            for n in range(len(nodes)):
                if fits(nodes[n], pod[0]):
                    scores[n] = self._score(nodes[n], pod[0])
        if hasattr(self._policy, "post"):
            out = np.empty(len(nodes))
            self._policy.post(scores, out)
            scores = out
        order = np.argsort(-scores, kind="stable")
        return [int(n) for n in order if scores[n] > NEVER]

    def _score(self, node: Any, pod: Any) -> float:
        if hasattr(self._policy, "score"):
            found = self._policy.score(node, pod, self._known)
            return float(found[0] if isinstance(found, tuple) else found)
        after = np.array([node]).view(np.recarray)
        take(after[0], pod, -1)
        gain = self._value(after[0]) - self._value(node)
        grade = getattr(self._policy, "grade", None)
        return float(gain if grade is None else grade(gain, self._known))

    def _value(self, node: Any) -> float:
        """Value and price of a state, its GPUs in descending order; kept."""
        state = np.array([node]).view(np.recarray)
        state["gpu_left"] = -np.sort(-state["gpu_left"])
        key = (int(node.type), *state["gpu_left"][0].tolist())
        if key not in self._worth:
            price = getattr(self._policy, "price", lambda node, known: 0.0)
            worth = self._policy.value(state[0], self._known) + price(state[0], self._known)
            self._worth[key] = float(worth)
        return self._worth[key]


def _nodes(view: PlacementView) -> Any:
    """Records of the NVLink domains: a GPU that is not allowed has nothing left."""
    domain = view.site.gpu_domain
    count = int(domain.max()) + 1
    gpus = np.bincount(domain, minlength=count)
    nodes = np.zeros(count, dtype=node_dtype(width_for(int(gpus.max()))))
    nodes["index"], nodes["gpus"] = np.arange(count), gpus
    _, first = np.unique(domain, return_index=True)
    names = [view.site.gpu_types[view.site.gpu_node[gpu]].name for gpu in first.tolist()]
    kinds = list(zip(names, gpus.tolist(), strict=True))
    number = {kind: i for i, kind in enumerate(sorted(set(kinds)))}
    nodes["type"] = [number[kind] for kind in kinds]
    place = np.concatenate([np.arange(n) for n in gpus.tolist()])
    order = np.argsort(domain, kind="stable")
    nodes["gpu_left"][domain[order], place] = np.where(view.allowed[order], WHOLE, 0)
    nodes["free"] = (nodes["gpu_left"] == WHOLE).sum(axis=1)
    nodes["left"] = nodes["free"] * WHOLE
    nodes["pods"] = gpus - nodes["free"]
    return nodes.view(np.recarray)


def _pod(gpus: int, arrival: int) -> NDArray[np.void]:
    """[1] the record of a group of GPUs."""
    pod = np.zeros(1, dtype=POD).view(np.recarray)
    pod["gpus"], pod["gpu_milli"], pod["request"] = gpus, WHOLE, gpus * WHOLE
    pod["kind"], pod["arrival"] = gpus + SHARED, arrival
    return pod


def _take(view: PlacementView, nodes: Any, domain: int, pod: Any) -> list[int]:
    """The GPUs that a group gets in a domain, in site order."""
    bits = take(nodes[domain], pod[0], -1)
    members = np.flatnonzero(view.site.gpu_domain == domain).tolist()
    return [gpu for i, gpu in enumerate(members) if bits >> i & 1]
