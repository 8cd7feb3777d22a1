"""Who feeds whom in the electrical tree while some of it is down."""

from __future__ import annotations

from collections.abc import Callable

from sim.site.load import WHOLE_SHARE
from sim.site.types import PowerTree


class Feeds:
    """Every feed of every node; those that stand by apart."""

    def __init__(self, tree: PowerTree) -> None:
        #: [nodes] (parent, share in 1/256)
        self.primary: list[list[tuple[int, int]]] = [[] for _ in tree.nodes]
        #: [nodes] parents that stand by
        self.standby: list[list[int]] = [[] for _ in tree.nodes]
        for child, parent, share in tree.edges:
            self.primary[child].append((parent, share))
        for child, parent in tree.standby:
            self.standby[child].append(parent)


class Live:
    """Which nodes have power, and over which feeds, at one moment.

    Args:
        feeds: of the tree.
        down: whether a node has failed or opened.
        own: whether a node has power of itself: the utility, a running generator, a battery.
    """

    def __init__(
        self, feeds: Feeds, down: Callable[[int], bool], own: Callable[[int], bool]
    ) -> None:
        self._feeds, self._down, self._own = feeds, down, own
        self._live: dict[int, bool] = {}

    def has_power(self, node: int) -> bool:
        """Whether a node has power to deliver."""
        live = self._live
        if node not in live:
            live[node] = False  # while its parents are asked
            live[node] = not self._down(node) and (self._own(node) or bool(self.inputs(node)))
        return live[node]

    def inputs(self, node: int) -> list[tuple[int, int]]:
        """The live feeds of a node and their shares of 256: its own, else one that stands by.

        Dead feeds hand their shares to those that are left, in proportion.
        """
        found = [(p, share) for p, share in self._feeds.primary[node] if self.has_power(p)]
        if not found:
            standby = self._feeds.standby[node]
            return [(p, WHOLE_SHARE) for p in standby if self.has_power(p)][:1]
        whole = sum(share for _, share in found)
        parts = [share * WHOLE_SHARE // whole for _, share in found]
        parts[-1] = WHOLE_SHARE - sum(parts[:-1])
        return [(parent, part) for (parent, _), part in zip(found, parts, strict=True)]
