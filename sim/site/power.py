"""The electrical graph above the racks: utility, UPS, PDU, rack, server."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np

from sim import catalog
from sim.errors import BuildError
from sim.site.load import WHOLE_SHARE
from sim.site.types import PowerNode, PowerPlan, PowerTree, Site

_UNSTATED = PowerPlan(
    utility_budget_w=None,
    utility_rating_w=None,
    ups=(),
    pdus_per_row=0,
    pdu_rating_w=None,
    pdu_budget_w=None,
    redundancy="N",
)


def build_power_tree(site: Site, plan: PowerPlan | None) -> PowerTree:
    """The site's electrical graph; without a plan, a utility that nothing limits feeds the racks.

    PDUs are ``<row>-pdu-a``, ``-b`` and so on; counted over the site, PDU i hangs from UPS
    i mod (number of UPSs), or from the utility where there is none. Racks alternate over their
    row's PDUs: one feed each with redundancy N, two neighbouring PDUs (a and b, then c and d) with
    2N, half the load each. With ``pdus_per_row`` 0 the racks hang from the UPSs in the same way.

    Raises:
        BuildError: a plan that cannot be wired; ``path`` is inside ``power``.
    """
    tree = _Wiring()
    stated = plan is not None
    plan = plan or _UNSTATED
    _check(site, plan)
    utility = tree.add("utility", "utility", plan.utility_rating_w, plan.utility_budget_w)
    ups = [
        tree.add(gear.name, "ups", gear.rating_w, gear.budget_w, loss="ups") for gear in plan.ups
    ]
    for index in ups:
        tree.connect(index, (utility,))
    feeds = [ups or [utility]] * len(site.row_names)
    if plan.pdus_per_row:
        feeds = _add_pdus(tree, site, plan, ups or [utility])
    rack_feeds = _rack_feeds(site, feeds, plan.redundancy == "2N")
    first_rack = len(tree.nodes)
    for name, rack_type in zip(site.rack_names, site.rack_types, strict=True):
        tree.add(name, "rack", rack_type.rating_w, None)
    for rack, parents in enumerate(rack_feeds):
        tree.connect(first_rack + rack, parents)
    first_server = len(tree.nodes)
    for name, node_type in zip(site.node_names, site.node_types, strict=True):
        psu = node_type.psu
        tree.nodes.append(PowerNode(name, "server", psu.rating_w, None, psu))
    for node, rack in enumerate(site.node_rack.tolist()):
        tree.connect(first_server + node, (first_rack + rack,))
    _refuse_same_names(tree.nodes)
    return PowerTree(
        nodes=tuple(tree.nodes),
        edges=tuple(tree.edges),
        server_index=np.arange(first_server, len(tree.nodes), dtype=np.int64),
        provisioned_w=_provisioned_w(plan, len(site.row_names)),
        stated=stated,
    )


class _Wiring:
    """Nodes and edges while the tree grows."""

    def __init__(self) -> None:
        self.nodes: list[PowerNode] = []
        self.edges: list[tuple[int, int, int]] = []

    def add(
        self,
        name: str,
        kind: str,
        rating_w: float | None,
        budget_w: float | None,
        *,
        loss: str = "",
        loss_rating_w: float | None = None,
    ) -> int:
        """Append a node and return its index; ``loss`` names the gear whose curve it follows."""
        size_w = rating_w if loss_rating_w is None else loss_rating_w
        curve = catalog.gear_loss(loss, size_w) if loss and size_w is not None else None
        self.nodes.append(PowerNode(name, kind, rating_w, budget_w, curve))
        return len(self.nodes) - 1

    def connect(self, child: int, parents: Sequence[int]) -> None:
        """Feed ``child`` from its parents in equal shares."""
        for parent in parents:
            self.edges.append((child, parent, WHOLE_SHARE // len(parents)))


def _check(site: Site, plan: PowerPlan) -> None:
    pdus = plan.pdus_per_row
    if plan.redundancy not in ("N", "2N"):
        raise BuildError("power.pdus.redundancy", f"must be N or 2N, not {plan.redundancy!r}")
    if not 0 <= pdus <= len(ascii_lowercase):
        raise BuildError(
            "power.pdus.per_row", f"must be from 0 to {len(ascii_lowercase)}, not {pdus}"
        )
    if plan.redundancy == "2N":
        if pdus % 2:
            raise BuildError(
                "power.pdus.per_row", f"2N feeds each rack from a pair of PDUs; {pdus} is odd"
            )
        if len(plan.ups) == 1:
            raise BuildError(
                "power.ups",
                f"2N needs two UPSs or none; {plan.ups[0].name!r} would carry both feeds",
            )
        if not pdus and not plan.ups:
            raise BuildError(
                "power.pdus.per_row", "2N needs two PDUs per row, or two UPSs, to feed a rack twice"
            )
        if not pdus and len(plan.ups) % 2:
            raise BuildError(
                "power.ups", f"2N feeds racks from pairs of UPSs; {len(plan.ups)} is odd"
            )
    rows = len(site.row_names)
    feeders = pdus * rows
    if feeders and len(plan.ups) > feeders:
        idle = ", ".join(gear.name for gear in plan.ups[feeders:])
        raise BuildError(
            "power.ups",
            f"{len(plan.ups)} UPSs for {feeders} PDUs ({pdus} per row): "
            f"nothing would hang from {idle}",
        )


def _refuse_same_names(nodes: Sequence[PowerNode]) -> None:
    kinds: dict[str, str] = {}
    for node in nodes:
        if node.name in kinds:
            path = "power.ups" if node.kind == "ups" or kinds[node.name] == "ups" else "site.halls"
            raise BuildError(
                path,
                f"the name {node.name!r} is both a {kinds[node.name]}'s and a {node.kind}'s; "
                "names in the power tree are unique",
            )
        kinds[node.name] = node.kind


def _add_pdus(
    tree: _Wiring, site: Site, plan: PowerPlan, upstream: Sequence[int]
) -> list[list[int]]:
    """Add every row's PDUs; returns their indices by row.

    A PDU without a stated rating has no limit, but its loss needs a size: that of all racks it
    feeds, as if it were bought to carry them alone.
    """
    letters = ascii_lowercase[: plan.pdus_per_row]
    positions = _positions(site)
    feeds: list[list[int]] = []
    for row, name in enumerate(site.row_names):
        racks = [rack for rack, at in enumerate(site.rack_row.tolist()) if at == row]
        row_pdus = []
        for slot, letter in enumerate(letters):
            fed = [
                site.rack_types[rack].rating_w
                for rack in racks
                if slot in _slots(positions[rack], len(letters), plan.redundancy == "2N")
            ]
            pdu = tree.add(
                f"{name}-pdu-{letter}",
                "pdu",
                plan.pdu_rating_w,
                plan.pdu_budget_w,
                loss="pdu",
                loss_rating_w=plan.pdu_rating_w
                if plan.pdu_rating_w is not None
                else sum(fed) or None,
            )
            tree.connect(pdu, (upstream[(row * len(letters) + slot) % len(upstream)],))
            row_pdus.append(pdu)
        feeds.append(row_pdus)
    return feeds


def _positions(site: Site) -> list[int]:
    """Each rack's place in its row, from 0."""
    counts = [0] * len(site.row_names)
    positions = []
    for row in site.rack_row.tolist():
        positions.append(counts[row])
        counts[row] += 1
    return positions


def _slots(position: int, feeders: int, twice: bool) -> tuple[int, ...]:
    """Which of a row's feeders carry the rack at ``position``: one, or a neighbouring pair."""
    if not twice:
        return (position % feeders,)
    first = 2 * (position % (feeders // 2))
    return (first, first + 1)


def _rack_feeds(site: Site, feeds: Sequence[Sequence[int]], twice: bool) -> list[tuple[int, ...]]:
    """Each rack's parents, in site order."""
    positions = _positions(site)
    return [
        tuple(feeds[row][slot] for slot in _slots(positions[rack], len(feeds[row]), twice))
        for rack, row in enumerate(site.rack_row.tolist())
    ]


def _provisioned_w(plan: PowerPlan, rows: int) -> float | None:
    """The utility's budget, else the sum of the top ratings that are stated, else None.

    The top is the utility's own rating, else the UPSs, else (without UPSs) the PDUs.
    """
    if plan.utility_budget_w is not None:
        return plan.utility_budget_w
    if plan.utility_rating_w is not None:
        return plan.utility_rating_w
    if plan.ups:
        return sum(gear.rating_w for gear in plan.ups)
    if plan.pdu_rating_w is not None and plan.pdus_per_row:
        return rows * plan.pdus_per_row * plan.pdu_rating_w
    return None
