"""What CPU costs that is left on a node and that no pod would fill, where CPU may run out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.policies.placement.wishes import Wishes

#: Steps of CPU in a table, up to the node with most.
STEPS = 512
#: A chance that is as good as none.
_NO_CHANCE = 0.01


def step_of(idle: NDArray[np.void]) -> int:
    """Thousandths of a core in a step."""
    return max(1, -(-int(idle["cpu_left"].max()) // STEPS))


def usable(cpu: NDArray[np.int64], asked: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """[STEPS + 1] CPU that pods coming at random would take of so many steps, until none fits.

    u(c) = sum of a_m (c_m + u(c - c_m)) / sum of a_m, over the wishes m with c_m <= c; between two
    steps u is linear. ``cpu``, ``asked`` [M]: what each asks for, and how often.
    """
    found = np.zeros(STEPS + 1)
    kept = np.flatnonzero((cpu > 0) & (asked > 0))
    order = kept[np.argsort(cpu[kept], kind="stable")]
    sizes, weights = cpu[order].astype(np.float64), asked[order]
    for c in range(1, STEPS + 1):
        fitting = int(np.searchsorted(sizes, c * step, side="right"))
        if fitting == 0:
            continue
        size, weight = sizes[:fitting], weights[:fitting]
        rest = c - size / step
        above = np.ceil(rest).astype(np.int64)
        lower = above - rest  # the part that the step below has in what is left
        # Who asks for less than a step leaves more than c - 1: u(c) is on both sides then.
        known = size + lower * found[above - 1] + (1.0 - lower) * found[above]
        unknown = (weight * (1.0 - lower))[above == c].sum()
        found[c] = (weight @ known) / (weight.sum() - unknown)
    return found


def waste_of(
    wishes: Wishes, asked: NDArray[np.float64], nodes: NDArray[np.void], step: int
) -> NDArray[np.float64]:
    """[T, STEPS + 1] thousandths of GPUs that CPU left beside full GPUs of each type of node costs.

    What pods without a GPU would not fill of it (``usable``) is lost. If CPU runs out at all, each
    core lost costs as much GPU as pods with GPUs ask for with a core. It runs out if pods ask for
    more until the GPUs are full than they can use on the nodes as they are, with the spread of
    ``Wishes.chances``.
    """
    from scipy.special import ndtr

    without, request = wishes.gpus == 0, wishes.gpus * wishes.gpu_milli
    waste = np.zeros((wishes.allowed.shape[1], STEPS + 1))
    pods, requests = asked.sum(), asked @ request
    beside_gpus = (asked * wishes.cpu)[~without].sum()
    if requests == 0.0 or beside_gpus == 0.0:
        return waste
    coming = float(nodes["left"].sum()) * pods / requests
    mean = asked @ wishes.cpu / pods
    square = asked @ wishes.cpu.astype(np.float64) ** 2 / pods
    spread = np.sqrt(coming * square + coming**2 * (square - mean**2) / pods) + 1e-9
    have = usable(wishes.cpu, asked, step)[nodes["cpu_left"] // step].sum()
    chance = float(ndtr((coming * mean - have) / spread))
    if chance < _NO_CHANCE:
        return waste
    price, steps = chance * requests / beside_gpus, np.arange(STEPS + 1)
    patterns, pattern = np.unique(wishes.allowed[without], axis=1, return_inverse=True)
    for i, there in enumerate(patterns.T):
        lost = step * steps - usable(wishes.cpu[without], asked[without] * there, step)
        waste[pattern.reshape(-1) == i] = price * lost
    return waste
