"""Winner trees: who comes first, kept up to date under single changes.

A tree over ``leaves`` ids (a power of two) is an implicit binary tree of records (key, id): node n
has the children 2n and 2n + 1, the leaf of an id is leaves + id, and each node repeats the winner
below it. The smaller key wins, on a tie the left one, which is the lower id. Leaves without an id
have infinite keys. Keys are float64: times, or integers below 2**53.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernels.jit import kernel
from sim.kernels.layout import BRANCH
from sim.kernels.state import Records


@kernel
def update(tree: Records, offset: int, leaves: int, changed: int, key: float) -> None:
    """The key of ``changed`` is ``key`` now; stops where the winner stays what it was."""
    node = leaves + changed
    winner = changed
    tree[offset + node].key = key
    while node > 1:
        other = tree[offset + (node ^ 1)]
        # An odd node is a right child: its brother wins ties. Chosen without a branch, because
        # nobody can predict it.
        loses = (other.key < key) | ((other.key == key) & ((node & 1) == 1))
        winner = other.id if loses else winner
        key = other.key if loses else key
        node >>= 1
        branch = tree[offset + node]
        if branch.key == key and branch.id == winner:
            return
        branch.key = key
        branch.id = winner


def new_tree(ids: int, key: float) -> Records:
    """A tree in which every one of ``ids`` ids has the same key (plain Python: before the run)."""
    leaves = leaves_for(ids)
    tree = np.zeros(2 * leaves, BRANCH)
    tree["key"][leaves:] = math.inf
    tree["key"][leaves : leaves + ids] = key
    tree["id"][leaves:] = np.arange(leaves)
    # With equal keys the lowest id below a node wins, which is that of its leftmost leaf.
    for node in range(leaves - 1, 0, -1):
        tree[node] = tree[2 * node]
    return tree


def leaves_for(ids: int) -> int:
    """The smallest power of two that is at least ``ids``."""
    return 1 << max(ids - 1, 0).bit_length()
