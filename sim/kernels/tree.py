"""Winner trees: who comes first, kept up to date under single changes.

A tree over ``leaves`` ids (a power of two) is an implicit binary tree of records (key, id): node n
has the children 2n and 2n + 1, the leaf of an id is leaves + id, and each node repeats the winner
below it. The smaller key wins, on a tie the left one, which is the lower id. Leaves without an id
have infinite keys.

What is compared are times, or integers below 2**53: float64 that are not negative. Their bits, as
integers, have the same order, so those are the keys: integers are compared and chosen without a
branch, which nobody could predict.
"""

from __future__ import annotations

import numpy as np

from sim.kernels.bits import bits_of
from sim.kernels.jit import kernel
from sim.kernels.layout import BRANCH
from sim.kernels.state import Records


@kernel
def update(tree: Records, offset: int, leaves: int, changed: int, value: float) -> None:
    """The value of ``changed`` is ``value`` now; stops where the winner stays what it was."""
    node = leaves + changed
    winner = changed
    key = bits_of(value)
    tree[offset + node].key = key
    while node > 1:
        other = tree[offset + (node ^ 1)]
        loses = other.key < key + (node & 1)  # an odd node is a right child: its brother wins ties
        winner = other.id if loses else winner
        key = other.key if loses else key
        node >>= 1
        branch = tree[offset + node]
        if branch.key == key and branch.id == winner:
            return
        branch.key = key
        branch.id = winner


def new_tree(ids: int, value: float) -> Records:
    """A tree in which each of ``ids`` ids has the same value (plain Python: before the run)."""
    leaves = leaves_for(ids)
    values = np.full(2 * leaves, np.inf)
    values[leaves : leaves + ids] = value
    tree = np.zeros(2 * leaves, BRANCH)
    tree["key"] = values.view(np.int64)
    tree["id"][leaves:] = np.arange(leaves)
    # With equal keys the lowest id below a node wins, which is that of its leftmost leaf.
    for node in range(leaves - 1, 0, -1):
        tree[node] = tree[2 * node]
    return tree


def leaves_for(ids: int) -> int:
    """The smallest power of two that is at least ``ids``."""
    return 1 << max(ids - 1, 0).bit_length()
