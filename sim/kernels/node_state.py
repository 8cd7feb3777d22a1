"""What a placement policy sees: a node's and a pod's record, and steps on them.

The functions here, as the ``score`` and ``value`` of policies, are plain Python in the part of the
language that numba compiles: ``sim.kernels.compose`` makes machine code of them for a replay, and
without it they run as they stand (in tests, and where a decision is taken once a replica).

A node's record: ``index`` (position in the node list), ``type`` (nodes of equal size, GPU and
eligibility share one), ``cpu_left``, ``mem_left``, ``gpus``, ``left`` (the sum over its GPUs),
``free`` (GPUs of which nothing is taken), ``pods``, ``gpu_left[0:gpus]`` and ``hosted[kind]``, the
pods it runs by kind. A pod's record: ``cpu``, ``mem``, ``gpus``, ``gpu_milli`` (of each),
``request`` (of all), ``kind``, ``shape_id`` (pods of equal wishes share one) and ``arrival`` (how
many came before it). Units: thousandths of a core, MiB, thousandths of a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Thousandths of a GPU.
WHOLE = 1000
#: Kinds of pods: without a GPU; with a part of one. A pod of n whole GPUs is of kind n + 1.
CPU_ONLY = 0
SHARED = 1
#: What a node on which a pod does not fit scores.
NEVER = -np.inf

#: Tuple of a score and the GPU that a pod with a part of one takes (-1: the tightest, or none).
Choice = tuple[float, int]


def node_dtype(width: int) -> np.dtype[np.void]:
    """Records of nodes with up to ``width`` GPUs."""
    scalars = ("index", "type", "cpu_left", "mem_left", "gpus", "left", "free", "pods")
    return np.dtype(
        [
            *((name, np.int64) for name in scalars),
            ("gpu_left", np.int64, (width,)),
            ("hosted", np.int64, (width + 2,)),
        ],
        align=True,
    )


POD = np.dtype(
    [
        (name, np.int64)
        for name in ("cpu", "mem", "gpus", "gpu_milli", "request", "kind", "shape_id", "arrival")
    ],
    align=True,
)


def width_for(gpus: int) -> int:
    """Slots of a record for nodes of up to ``gpus`` GPUs: few widths, each compiled apart."""
    width = 8
    while width < gpus:
        width *= 2
    return width


def fits(node: Any, pod: Any) -> bool:
    """Whether the node has the CPU, memory and GPUs left that the pod asks for."""
    if node.cpu_left < pod.cpu or node.mem_left < pod.mem or node.left < pod.request:
        return False
    wanted = pod.gpus
    for gpu in range(node.gpus):
        if wanted <= 0:
            break
        if node.gpu_left[gpu] >= pod.gpu_milli:
            wanted -= 1
    return wanted <= 0


def tightest_gpu(node: Any, pod: Any) -> int:
    """The GPU with least left on which the pod fits, the first of equals; -1 if there is none."""
    best, least = -1, WHOLE + 1
    for gpu in range(node.gpus):
        left = node.gpu_left[gpu]
        if left >= pod.gpu_milli and left < least:
            best, least = gpu, left
    return best


def take(node: Any, pod: Any, gpu: int) -> int:
    """Put a pod that fits on a node; the GPUs it got, as bits.

    ``gpu`` is the one that a pod with a part of one takes; -1, and every other pod: the tightest
    that fit, the first of equals.
    """
    node.cpu_left -= pod.cpu
    node.mem_left -= pod.mem
    node.pods += 1
    node.hosted[pod.kind] += 1
    bits = 0
    for _ in range(pod.gpus):
        chosen = gpu if gpu >= 0 and pod.kind == SHARED else -1
        if chosen < 0:
            least = WHOLE + 1
            for other in range(node.gpus):
                left = node.gpu_left[other]
                if left >= pod.gpu_milli and left < least and not bits >> other & 1:
                    chosen, least = other, left
        if node.gpu_left[chosen] == WHOLE:
            node.free -= 1
        node.gpu_left[chosen] -= pod.gpu_milli
        node.left -= pod.gpu_milli
        bits |= 1 << chosen
    return bits


def give_back(node: Any, pod: Any, bits: int) -> None:
    """Take a pod off the node and the GPUs (as bits) that it was put on."""
    node.cpu_left += pod.cpu
    node.mem_left += pod.mem
    node.pods -= 1
    node.hosted[pod.kind] -= 1
    for gpu in range(node.gpus):
        if bits >> gpu & 1:
            node.gpu_left[gpu] += pod.gpu_milli
            node.left += pod.gpu_milli
            if node.gpu_left[gpu] == WHOLE:
                node.free += 1
