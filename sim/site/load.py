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


@dataclass(frozen=True)
class Intake:
    """What gear takes in by what it delivers, as a polynomial in milliwatts: A + B·out + C·out².

    It is out + rating·(a + b·x + c·x²), x = out/rating, of a ``Loss`` with the rating multiplied
    in once, so that no change of a draw waits for a division.
    """

    constant_mw: float  # A = rating·a
    linear: float  # B = 1 + b
    square_per_mw: float  # C = c/rating

    def in_mw(self, out_mw: int) -> int:
        """What is taken in to deliver ``out_mw``, (A + out·B) + (out·out)·C rounded."""
        out = float(out_mw)
        return round((self.constant_mw + out * self.linear) + (out * out) * self.square_per_mw)


def intake(loss: Loss | None) -> Intake:
    """The polynomial of gear that loses ``loss``; ``None`` is lossless."""
    if loss is None:
        return Intake(0.0, 1.0, 0.0)
    rating_mw = loss.rating_w * 1000.0
    return Intake(rating_mw * loss.a, 1.0 + loss.b, loss.c / rating_mw)


def loss_in_mw(out_mw: int, loss: Loss | None) -> int:
    """What gear takes in to deliver ``out_mw``: out + rating·(a + b·x + c·x²), x = out/rating.

    ``None`` is lossless. Evaluated by ``Intake``, which is for those who ask often.
    """
    return intake(loss).in_mw(out_mw)


def loss_in_mw_array(
    out_mw: IntArray, constant_mw: FloatArray, linear: FloatArray, square_per_mw: FloatArray
) -> IntArray:
    """``Intake.in_mw`` for many nodes at once; all of one shape."""
    out = out_mw.astype(np.float64)
    return np.rint((constant_mw + out * linear) + (out * out) * square_per_mw).astype(np.int64)


@dataclass(frozen=True)
class ServerLoad:
    """What a server draws by the summed draw g of its GPUs, in milliwatts: base + g + F·g³.

    The cube is the fan law: power with the third power of flow, flow with the heat to carry.
    """

    base_mw: float
    fan_per_mw2: float  # F = fan/tdp³, of the fans at full draw and the GPUs' summed TDP

    def out_mw(self, gpu_draw_mw_sum: int) -> int:
        """What the server's power supplies deliver, (base + g) + (g·g)·(g·F) rounded."""
        g = float(gpu_draw_mw_sum)
        return round((self.base_mw + g) + (g * g) * (g * self.fan_per_mw2))


@lru_cache(maxsize=256)
def server_load(node_type: NodeType) -> ServerLoad:
    """The polynomial of a server type."""
    tdp_mw = node_type.gpus * catalog.gpu(node_type.gpu).tdp_w * 1000.0
    return ServerLoad(
        base_mw=node_type.base_w * 1000.0,
        fan_per_mw2=node_type.fan_w * 1000.0 / (tdp_mw * tdp_mw * tdp_mw),
    )


def server_out_mw(node_type: NodeType, gpu_draw_mw_sum: int) -> int:
    """What a server's power supplies deliver: base + Σ draw + fan·(Σ draw/Σ TDP)³.

    Evaluated by ``ServerLoad``, which is for those who ask often.
    """
    return server_load(node_type).out_mw(gpu_draw_mw_sum)


def server_out_mw_array(
    gpu_draw_mw_sum: IntArray, base_mw: FloatArray, fan_per_mw2: FloatArray
) -> IntArray:
    """``ServerLoad.out_mw`` for many servers at once; all of one shape."""
    g = gpu_draw_mw_sum.astype(np.float64)
    return np.rint((base_mw + g) + (g * g) * (g * fan_per_mw2)).astype(np.int64)


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
    curves = [intake(node.loss) for node in tree.nodes]
    flat = [(one.constant_mw, one.linear, one.square_per_mw) for one in curves]
    constant_mw, linear, square_per_mw = np.array(flat, dtype=np.float64).T
    out_mw = np.zeros(count, dtype=np.int64)
    in_mw = np.zeros(count, dtype=np.int64)
    out_mw[tree.server_index] = server_out
    for level in _levels(tree):
        at = level.nodes
        in_mw[at] = loss_in_mw_array(out_mw[at], constant_mw[at], linear[at], square_per_mw[at])
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
