"""The electrical arithmetic that the engines and the checks share, in whole milliwatts.

Sums of integers do not depend on their order, so two engines that agree on every server agree on
every node above it, to the milliwatt. Each scalar function has a NumPy twin equal to it bit for
bit: both take the same floating-point steps in the same order and round half to even.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim import catalog
from sim.catalog.types import Loss, NodeType
from sim.site.types import IntArray, PowerTree

FloatArray = NDArray[np.float64]

#: A rack's feeds are shared in 1/256.
WHOLE_SHARE = 256


def milliwatts(watts: float) -> int:
    """Watts as whole milliwatts, rounded half to even."""
    return round(watts * 1000.0)


def loss_in_mw(out_mw: int, loss: Loss | None) -> int:
    """What gear takes in to deliver ``out_mw``: out + rating·(a + b·x + c·x²), x = out/rating.

    ``None`` is lossless. Evaluated as rating·(a + x·(b + x·c)) in double precision, then rounded
    to a milliwatt.
    """
    if loss is None:
        return out_mw
    rating_mw = loss.rating_w * 1000.0
    x = out_mw / rating_mw
    return out_mw + round(rating_mw * (loss.a + x * (loss.b + x * loss.c)))


def loss_in_mw_array(
    out_mw: IntArray, rating_w: FloatArray, a: FloatArray, b: FloatArray, c: FloatArray
) -> IntArray:
    """``loss_in_mw`` for many nodes at once; ``rating_w`` NaN is lossless. All of one shape."""
    lossless = np.isnan(rating_w)
    rating_mw = np.where(lossless, 1.0, rating_w) * 1000.0
    x = out_mw / rating_mw
    lost = np.rint(rating_mw * (a + x * (b + x * c)))
    return out_mw + np.where(lossless, 0.0, lost).astype(np.int64)


@dataclass(frozen=True)
class ServerLoad:
    """A server's power besides its GPUs: milliwatts, for a kernel to evaluate."""

    base_mw: float
    fan_mw: float
    tdp_sum_mw: float


@lru_cache(maxsize=256)
def server_load(node_type: NodeType) -> ServerLoad:
    """Base, fans at full draw, and the GPUs' summed TDP of a server type, in milliwatts."""
    tdp_w = catalog.gpu(node_type.gpu).tdp_w
    return ServerLoad(
        base_mw=node_type.base_w * 1000.0,
        fan_mw=node_type.fan_w * 1000.0,
        tdp_sum_mw=node_type.gpus * tdp_w * 1000.0,
    )


def server_out_mw(node_type: NodeType, gpu_draw_mw_sum: int) -> int:
    """What a server's power supplies deliver: base + fan·(Σ draw/Σ TDP)³ + Σ draw.

    The cube is the fan law (power with the third power of flow, flow with the heat to carry).
    """
    load = server_load(node_type)
    ratio = gpu_draw_mw_sum / load.tdp_sum_mw
    return gpu_draw_mw_sum + round(load.base_mw + load.fan_mw * (ratio * ratio * ratio))


def server_out_mw_array(
    gpu_draw_mw_sum: IntArray, base_mw: FloatArray, fan_mw: FloatArray, tdp_sum_mw: FloatArray
) -> IntArray:
    """``server_out_mw`` for many servers at once (arguments from ``server_load``)."""
    ratio = gpu_draw_mw_sum / tdp_sum_mw
    rest = np.rint(base_mw + fan_mw * (ratio * ratio * ratio))
    return gpu_draw_mw_sum + rest.astype(np.int64)


def split(mw: int, shares: Sequence[int]) -> tuple[int, ...]:
    """A load over its feeds: floor(mw·share/256) for all but the last, which takes the rest.

    ``shares`` sum to 256, so the parts sum to ``mw`` exactly.
    """
    first = [mw * share // WHOLE_SHARE for share in shares[:-1]]
    return (*first, mw - sum(first))


@dataclass(frozen=True)
class _Level:
    """Nodes of one depth and their edges, first feeds and last feeds apart."""

    nodes: IntArray
    child: IntArray  # edges that carry floor(in·share/256)
    parent: IntArray
    share: IntArray
    last_child: IntArray  # each child's last edge carries what is left
    last_parent: IntArray


def tree_flow(tree: PowerTree, server_out: IntArray) -> tuple[IntArray, IntArray]:
    """What every node of the tree delivers and takes in, given what the servers' supplies deliver.

    Args:
        tree: the electrical graph.
        server_out: [servers] milliwatts, in the order of ``tree.server_index``.

    Returns:
        ``(out_mw, in_mw)``, both [nodes of the tree].
    """
    count = len(tree.nodes)
    if server_out.shape != tree.server_index.shape:
        raise ValueError(f"{server_out.shape} draws for {tree.server_index.shape} servers")
    losses = [node.loss or Loss(float("nan"), 0.0, 0.0, 0.0) for node in tree.nodes]
    rating, a, b, c = np.array(
        [(loss.rating_w, loss.a, loss.b, loss.c) for loss in losses], dtype=np.float64
    ).T
    out_mw = np.zeros(count, dtype=np.int64)
    in_mw = np.zeros(count, dtype=np.int64)
    out_mw[tree.server_index] = server_out
    for level in _levels(tree):
        at = level.nodes
        in_mw[at] = loss_in_mw_array(out_mw[at], rating[at], a[at], b[at], c[at])
        left = in_mw.copy()
        part = in_mw[level.child] * level.share // WHOLE_SHARE
        np.subtract.at(left, level.child, part)
        np.add.at(out_mw, level.parent, part)
        np.add.at(out_mw, level.last_parent, left[level.last_child])
    return out_mw, in_mw


def _levels(tree: PowerTree) -> list[_Level]:
    """The tree's depths, deepest first; a node is one deeper than its deepest parent."""
    depth = np.zeros(len(tree.nodes), dtype=np.int64)
    last_edge: dict[int, int] = {}
    for index, (child, parent, _) in enumerate(tree.edges):
        last_edge[child] = index
        depth[child] = max(depth[child], depth[parent] + 1)
    edges = np.array(tree.edges, dtype=np.int64).reshape(-1, 3)
    is_last = np.zeros(len(edges), dtype=bool)
    is_last[list(last_edge.values())] = True
    child_depth = depth[edges[:, 0]]
    levels = []
    for level in range(int(depth.max()), -1, -1):
        first = edges[(child_depth == level) & ~is_last]
        last = edges[(child_depth == level) & is_last]
        levels.append(
            _Level(
                nodes=np.flatnonzero(depth == level),
                child=first[:, 0],
                parent=first[:, 1],
                share=first[:, 2],
                last_child=last[:, 0],
                last_parent=last[:, 1],
            )
        )
    return levels
