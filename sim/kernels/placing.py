"""The replay of pods on nodes: every pod placed or refused, with scores kept between arrivals.

``score`` and ``post`` below stand for a policy's functions: ``sim.place`` puts them in their places
(``sim.kernels.compose``). A score depends on one node and one shape of pod, so it holds until the
node changes: on an arrival only the nodes are scored that changed since its shape was last seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels.node_state import NEVER, SHARED, Choice, fits, take
from sim.kernels.place_rules import QUOTA, account, bar, evict, preempt, reason


def score(node: Any, pod: Any, known: Any) -> Choice:
    """Stands for a policy's: how good this node is for this pod, and which GPU a part is on."""
    raise NotImplementedError


def post(scores: Any, out: Any) -> None:
    """Stands for a policy's: scores of a pod's nodes (NEVER: it does not fit), seen together."""
    raise NotImplementedError


def choose(
    nodes: Any, pod: Any, rank: Any, known: Any, cached: Any, always: bool, work: Any
) -> tuple[int, bool]:
    """Stands for ``choose_by_score`` or ``place_lazily.choose_by_bound``."""
    raise NotImplementedError


def as_choice(found: Any) -> Choice:
    """A score alone means the tightest GPU."""
    return found if isinstance(found, tuple) else (found, -1)


def rate(node: Any, pod: Any, known: Any) -> float:
    """How good a node is for a pod; ``place_by_value.rate_by_value`` for a policy of values."""
    return as_choice(score(node, pod, known))[0]


def no_post(scores: Any, out: Any) -> None:
    """A policy without one: the scores as they are."""
    for n in range(len(scores)):
        out[n] = scores[n]


def rescore(nodes: Any, pod: Any, known: Any, cached: Any, always: bool) -> int:
    """Bring a shape's scores up to date; the node whose score is no finite number, or -1."""
    scores, evaluated, changed, allowed, _, _ = cached
    shape = pod.shape_id
    seen = evaluated[shape]
    for n in range(len(nodes)):
        if always or changed[n] > seen:
            node = nodes[n]
            if allowed[shape, node.type] and fits(node, pod):
                found = rate(node, pod, known)
                if not abs(found) < np.inf:
                    return n
                scores[shape, n] = found
            else:
                scores[shape, n] = NEVER
    evaluated[shape] = pod.arrival
    return -1


def best_of(scores: Any, rank: Any, barred: Any) -> int:
    """The node with the largest score, of equals the one of least rank; -1 if none fits."""
    best, largest, least = -1, NEVER, 0
    for n in range(len(scores)):
        value = scores[n]
        better = value > largest or (value == largest and rank[n] < least)
        if better and value > NEVER and not barred[n]:
            best, largest, least = n, value, rank[n]
    return best


def choose_by_score(
    nodes: Any, pod: Any, rank: Any, known: Any, cached: Any, always: bool, work: Any
) -> tuple[int, bool]:
    """The best node for a pod (-1: none) and True, or one whose score is no number and False."""
    bad = rescore(nodes, pod, known, cached, always)
    if bad >= 0:
        return bad, False
    post(cached[0][pod.shape_id], work[0])
    return best_of(work[0], rank, work[1]), True


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
    rules: Any,
    run: Any,
) -> tuple[int, int, int]:
    """Place the pods ``arrivals[span[0]:span[1]]`` in turn.

    Returns:
        (-1, -1, -1), or what a policy did that it may not: the pod's place in ``arrivals``, the
        node, and the GPU on which the pod does not fit, or -1 for a score that is no finite number.

    Args:
        nodes: [N] records, changed in place.
        shapes: [S] records of pods.
        arrivals: [P] shape of each pod.
        rank: [N] decides between equal scores.
        known: what the policy's ``prepare`` made.
        cached: scores [S, N], evaluated [S], changed [N], allowed [S, types]; bounds of scores
            [S, N] and epochs of scores [S, N], or [0, 0] of both (``place_lazily``).
        always: score every node at every arrival (a policy that draws).
        work: scores [N] float64, barred [N] bool.
        placed: node [P] (-1: none), GPUs as bits [P] and why there is none [P].
        rules: of each pod tenant [P], priority [P] and level at which it is alone [P]; domains
            [levels, N], and what is in them, guests [levels, D, tenants + 1] (the last: all) and
            lonely [levels, D]; thousandths of GPUs that each tenant may have, and has [tenants].
        run: residents of nodes (lists), victims [2, P + 1] and scratch nodes, for preemption.
    """
    allowed, barred, residents = cached[3], work[1], run[0]
    where, bits, why = placed
    shared, ranked = rules[3].shape[0] > 0, len(residents.next) > 0
    for t in range(span[0], span[1]):
        pod = shapes[arrivals[t]]
        pod.arrival = t
        if rules[7][rules[0][t]] + pod.request > rules[6][rules[0][t]]:
            why[t] = QUOTA
            continue
        if shared:
            bar(t, rules, barred)
        n, sound = choose(nodes, pod, rank, known, cached, always, work)
        if not sound:
            return t, n, -1
        if n < 0 and ranked:
            n = preempt(t, nodes, pod, allowed[pod.shape_id], barred, rank, run)
            if n >= 0:
                evict(nodes, n, rules, run, where, why)
        where[t] = n
        if n < 0:
            why[t] = reason(nodes, pod, allowed[pod.shape_id], barred)
            continue
        _, gpu = as_choice(score(nodes[n], pod, known))
        chosen = pod.kind == SHARED and gpu >= 0
        if chosen and (gpu >= nodes[n].gpus or nodes[n].gpu_left[gpu] < pod.gpu_milli):
            return t, n, gpu
        bits[t] = take(nodes[n], pod, gpu)
        cached[2][n] = t + 1
        account(t, n, pod.request, rules, 1)
        if ranked:
            residents.next[t] = residents.head[n]
            residents.head[n] = t
    return -1, -1, -1
