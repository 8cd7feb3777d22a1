"""What a site's servers may draw on paper, against what each level of its power is rated for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.check.scenario import Scenario


@dataclass(frozen=True)
class OnPaper:
    """The node of a kind that is rated least for what hangs on it.

    ``limit_w``: its rating or its contracted budget, whichever is less.
    """

    kind: str
    node: str
    nameplate_w: float
    limit_w: float

    @property
    def ratio(self) -> float:
        """Nameplates over the limit; above 1 it is oversubscribed."""
        return self.nameplate_w / self.limit_w


def on_paper(scenario: Scenario) -> list[OnPaper]:
    """Of each kind of node with a limit the most oversubscribed one, from the top down.

    The sum of the nameplates of the servers below, each by the share of it that its feeds carry
    while all are whole; losses are left out. Empty where the scenario states no power.
    """
    tree = scenario.power
    if not tree.stated:
        return []
    below = np.zeros(len(tree.nodes))
    below[tree.server_index] = [node.max_w for node in scenario.site.node_types]
    for child, parent, share in sorted(tree.edges, reverse=True):  # children come after parents
        below[parent] += below[child] * share / 256.0
    worst: dict[str, OnPaper] = {}
    for node, nameplate_w in zip(tree.nodes, below, strict=True):
        limits = [limit for limit in (node.rating_w, node.budget_w) if limit is not None]
        if not limits or nameplate_w <= 0.0 or node.kind == "server":
            continue
        found = OnPaper(node.kind, node.name, float(nameplate_w), min(limits))
        if node.kind not in worst or found.ratio > worst[node.kind].ratio:
            worst[node.kind] = found
    return list(worst.values())
