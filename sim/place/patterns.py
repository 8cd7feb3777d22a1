"""Patterns: which pods share one node. What fits, exactly, on its GPUs; and all patterns of a node.

A pattern is a tuple (shape, number), … in ascending order of shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.kernels.node_state import WHOLE

Pattern = tuple[tuple[int, int], ...]

#: States of GPUs that a search for a packing looks at, at most.
_MOST_STATES = 20_000


class TooMany(Exception):
    """There is more to look at than is worth it."""


def pack(pattern: Pattern, shapes: NDArray[np.void], gpus: int) -> list[tuple[int, ...]] | None:
    """The GPUs of each pod of a pattern, shape by shape; None: they do not fit on ``gpus`` GPUs.

    Pods with several parts get as many different GPUs.

    Raises:
        TooMany: so many ways that the search was given up.
    """
    pods = [s for s, number in pattern for _ in range(number) if shapes[s]["gpus"] > 0]
    order = sorted(
        range(len(pods)),
        key=lambda i: (-int(shapes[pods[i]]["gpu_milli"]), -int(shapes[pods[i]]["gpus"]), pods[i]),
    )
    asked = [(int(shapes[pods[i]]["gpus"]), int(shapes[pods[i]]["gpu_milli"])) for i in order]
    found = _search(asked, gpus)
    if found is None:
        return None
    placed: list[tuple[int, ...]] = [()] * len(pods)
    for at, chosen in zip(order, found, strict=True):
        placed[at] = chosen
    return placed


def _search(asked: Sequence[tuple[int, int]], gpus: int) -> list[tuple[int, ...]] | None:
    """Depth first, the fullest GPUs first; GPUs with as much left are alike."""
    failed: set[tuple[int, tuple[int, ...]]] = set()
    left, found = [WHOLE] * gpus, list[tuple[int, ...]]()

    def step(at: int) -> bool:
        if at == len(asked):
            return True
        state = (at, tuple(sorted(left)))
        if state in failed:
            return False
        count, milli = asked[at]
        for chosen in _choices(left, count, milli):
            for gpu in chosen:
                left[gpu] -= milli
            found.append(chosen)
            if step(at + 1):
                return True
            found.pop()
            for gpu in chosen:
                left[gpu] += milli
        failed.add(state)
        if len(failed) > _MOST_STATES:
            raise TooMany
        return False

    return found if step(0) else None


def _choices(left: Sequence[int], count: int, milli: int) -> Iterator[tuple[int, ...]]:
    """GPUs with room for ``milli`` each, one choice of those that are alike."""
    fitting = sorted((gpu for gpu, here in enumerate(left) if here >= milli), key=left.__getitem__)
    if milli == WHOLE:
        if len(fitting) >= count:
            yield tuple(fitting[:count])
        return
    seen = set()
    for chosen in combinations(fitting, count):
        alike = tuple(left[gpu] for gpu in chosen)
        if alike not in seen:
            seen.add(alike)
            yield chosen


def fits(pattern: Pattern, shapes: NDArray[np.void], node: Any) -> bool:
    """Whether the pods of a pattern fit on an idle node together: CPU, memory and GPUs.

    Raises:
        TooMany: as ``pack``.
    """
    for wish, there in (("cpu", "cpu_left"), ("mem", "mem_left"), ("request", "left")):
        if sum(int(shapes[s][wish]) * number for s, number in pattern) > node[there]:
            return False
    return pack(pattern, shapes, int(node["gpus"])) is not None


def every_pattern(
    node: Any, shapes: NDArray[np.void], counts: Sequence[int], most: int
) -> list[Pattern]:
    """All patterns of a node but the empty one, with at most ``counts`` [S] pods of each shape.

    Raises:
        TooMany: there are more than ``most``, or a packing is not worth the search.
    """
    found: list[Pattern] = []
    wanted = [s for s, count in enumerate(counts) if count > 0]

    def extend(pattern: Pattern, begin: int) -> None:
        for at in range(begin, len(wanted)):
            for number in range(1, counts[wanted[at]] + 1):
                longer = (*pattern, (wanted[at], number))
                if not fits(longer, shapes, node):
                    break
                found.append(longer)
                if len(found) > most:
                    raise TooMany
                extend(longer, at + 1)

    extend((), 0)
    return found
