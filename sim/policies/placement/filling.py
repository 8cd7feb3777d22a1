"""How much of a node a stream of likely pods would fill."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels.node_state import WHOLE
from sim.policies.placement.wishes import Wishes


class Offers(NamedTuple):
    """Streams of pods that are offered to a node, of each type of node those that may run on it.

    Attributes:
        pods: [T, streams, offers, 5] int32: cpu, gpus, gpu_milli; and the least cpu and gpu_milli
            from this offer on.
        lengths: [T, streams] how many of them there are.
        left: [1] scratch: what is left of each GPU, for the width of a record.
    """

    pods: NDArray[np.int32]
    lengths: NDArray[np.int64]
    left: NDArray[np.int64]


def no_offers(types: int, streams: int, offers: int) -> Offers:
    """Room for them."""
    return Offers(
        np.zeros((types, streams, offers, 5), dtype=np.int32),
        np.zeros((types, streams), dtype=np.int64),
        np.zeros(1024, dtype=np.int64),
    )


def draw_offers(
    offers: Offers,
    wishes: Wishes,
    asked: NDArray[np.float64],
    uniforms: NDArray[np.float64],
) -> None:
    """Draw each offer from the wishes as often as they were asked for; the same draws each time.

    ``uniforms`` [streams, offers] in [0, 1) stay the same when ``asked`` [M] changes, so that
    streams change as little as what is known.
    """
    weight = np.where(wishes.gpus > 0, asked, 0.0)
    if weight.sum() == 0.0:
        return
    drawn = np.searchsorted(np.cumsum(weight) / weight.sum(), uniforms, side="right")
    drawn = np.minimum(drawn, len(weight) - 1)
    pods = np.stack([wishes.cpu, wishes.gpus, wishes.gpu_milli], axis=1)
    for kind in range(wishes.allowed.shape[1]):
        there = wishes.allowed[:, kind]
        for stream, row in enumerate(drawn):
            kept = pods[row[there[row]]]
            least = np.minimum.accumulate(kept[::-1, [0, 2]], axis=0)[::-1]
            offers.pods[kind, stream, : len(kept)] = np.concatenate([kept, least], axis=1)
            offers.lengths[kind, stream] = len(kept)


def filled(node: Any, offers: Any) -> float:
    """Thousandths of GPUs that a stream fills, in the mean over the streams.

    Each pod is taken if it fits, one that takes a part of a GPU on the tightest; CPU counts.
    """
    total, left = 0, offers.left
    streams = offers.lengths.shape[1]
    for stream in range(streams):
        cpu, most = node.cpu_left, node.gpu_left[0]  # they are in descending order
        for gpu in range(node.gpus):
            left[gpu] = node.gpu_left[gpu]
        pods = offers.pods[node.type, stream]
        for i in range(offers.lengths[node.type, stream]):
            asked, gpus, milli = pods[i, 0], pods[i, 1], pods[i, 2]
            if cpu < asked or most < milli:
                if cpu < pods[i, 3] or most < pods[i, 4]:
                    break
                continue
            if gpus == 1:
                best, least = 0, WHOLE + 1
                for gpu in range(node.gpus):
                    if milli <= left[gpu] < least:
                        best, least = gpu, left[gpu]
                left[best] -= milli
            else:
                fitting = 0
                for gpu in range(node.gpus):
                    fitting += left[gpu] >= milli
                if fitting < gpus:
                    continue
                wanted = gpus
                for gpu in range(node.gpus):
                    if wanted > 0 and left[gpu] >= milli:
                        left[gpu] -= milli
                        wanted -= 1
            cpu -= asked
            total += gpus * milli
            most = 0
            for gpu in range(node.gpus):
                most = max(most, left[gpu])
    return float(total / streams)
