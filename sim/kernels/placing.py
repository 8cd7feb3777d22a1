"""The replay of pods on nodes: every pod placed or refused, with scores kept between arrivals.

``score`` and ``post`` below stand for a policy's functions: ``sim.place`` puts them in their places
(``sim.kernels.compose``). A score depends on one node and one shape of pod, so it holds until the
node changes: on an arrival only the nodes are scored that changed since its shape was last seen.
"""

from __future__ import annotations

from typing import Any

from sim.kernels.node_state import CPU_ONLY, NEVER, SHARED, Choice, fits, take


def score(node: Any, pod: Any, known: Any) -> Choice:
    """Stands for a policy's: how good this node is for this pod, and which GPU a part is on."""
    raise NotImplementedError


def post(scores: Any, out: Any) -> None:
    """Stands for a policy's: scores of a pod's nodes (NEVER: it does not fit), seen together."""
    raise NotImplementedError


def as_choice(found: Any) -> Choice:
    """A score alone means the tightest GPU."""
    return found if isinstance(found, tuple) else (found, -1)


def no_post(scores: Any, out: Any) -> None:
    """A policy without one: the scores as they are."""
    out[:] = scores


def rescore(nodes: Any, pod: Any, known: Any, cached: Any, always: bool) -> None:
    """Bring a shape's scores up to date."""
    scores, gpus, evaluated, changed, allowed = cached
    shape = pod.shape
    seen = evaluated[shape]
    for n in range(len(nodes)):
        if always or changed[n] > seen:
            node = nodes[n]
            if allowed[shape, node.type] and fits(node, pod):
                scores[shape, n], gpus[shape, n] = as_choice(score(node, pod, known))
            else:
                scores[shape, n] = NEVER
    evaluated[shape] = pod.arrival


def best_of(scores: Any, rank: Any, barred: Any) -> int:
    """The node with the largest score, of equals the one of least rank; -1 if none fits."""
    best, largest, least = -1, NEVER, 0
    for n in range(len(scores)):
        value = scores[n]
        if (value > largest or (value == largest and rank[n] < least)) and value > NEVER:
            if not barred[n]:
                best, largest, least = n, value, rank[n]
    return best


def replay(
    nodes: Any,
    shapes: Any,
    arrivals: Any,
    span: tuple[int, int],
    rank: Any,
    known: Any,
    cached: Any,
    always: bool,
    work: Any,
    placed: Any,
) -> None:
    """Place the pods ``arrivals[span[0]:span[1]]`` in turn.

    Args:
        nodes: [N] records, changed in place.
        shapes: [S] records of pods.
        arrivals: [P] shape of each pod.
        rank: [N] decides between equal scores.
        known: what the policy's ``prepare`` made.
        cached: scores [S, N], gpus [S, N], evaluated [S], changed [N], allowed [S, types].
        always: score every node at every arrival (a policy that draws).
        work: [N] float64.
        placed: node [P] (-1: refused) and GPUs as bits [P].
    """
    scores, gpus, _, changed, _ = cached
    where, bits = placed
    barred = changed < 0
    for t in range(span[0], span[1]):
        pod = shapes[arrivals[t]]
        pod.arrival = t
        rescore(nodes, pod, known, cached, always)
        post(scores[pod.shape], work)
        n = best_of(work, rank, barred)
        where[t] = n
        if n >= 0:
            bits[t] = take(nodes[n], pod, gpus[pod.shape, n])
            changed[n] = t + 1
