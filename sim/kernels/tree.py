"""Winner trees: who comes first, kept up to date under single changes.

A tree over ``leaves`` (a power of two) keys is an implicit binary tree of ids: node n has the
children 2n and 2n + 1, the leaf of id i is leaves + i, and each node names the winner below it.
The smaller key wins, on a tie the left one, which is the lower id. Keys beyond the last id are
infinite.
"""

from __future__ import annotations

from typing import Any

from sim.kernels.jit import kernel
from sim.kernels.state import Slots


@kernel
def winner(tree: Slots, offset: int) -> int:
    """The id with the smallest key."""
    return tree[offset + 1]


@kernel
def update(tree: Slots, offset: int, leaves: int, keys: Any, key_offset: int, changed: int) -> None:
    """The key of ``changed`` is another one now; stops where it neither won nor wins."""
    node = (leaves + changed) >> 1
    while node >= 1:
        left = tree[offset + 2 * node]
        right = tree[offset + 2 * node + 1]
        best = left if keys[key_offset + left] <= keys[key_offset + right] else right
        if tree[offset + node] == best and best != changed:
            return
        tree[offset + node] = best
        node >>= 1


def build(tree: Slots, offset: int, leaves: int, keys: Any, key_offset: int) -> None:
    """Fill a tree from its keys (plain Python: once, before the run)."""
    for leaf in range(leaves):
        tree[offset + leaves + leaf] = leaf
    for node in range(leaves - 1, 0, -1):
        left, right = tree[offset + 2 * node], tree[offset + 2 * node + 1]
        tree[offset + node] = left if keys[key_offset + left] <= keys[key_offset + right] else right
