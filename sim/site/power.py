"""The electrical graph above the racks: utility, generators, MSBs, UPSs, PDUs, rack, server."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np

from sim import catalog
from sim.errors import BuildError, did_you_mean
from sim.site.load import WHOLE_SHARE
from sim.site.power_wiring import check_wiring
from sim.site.types import PowerNode, PowerPlan, PowerTree, RatedBreaker, Site, UpsGear

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

    UPS i hangs from the switchboard (MSB) that it names, else from MSB i mod (number of MSBs), or
    from the utility where there is none. A UPS that another names as its reserve carries no load
    until the other is dead; a generator stands by behind its MSBs in the same way.

    PDUs are ``<row>-pdu-a``, ``-b`` and so on; counted over the site, PDU i hangs from UPS
    i mod (number of UPSs), reserves apart, or from the MSBs in turn where there is none. Racks
    alternate over their row's PDUs: one feed each with redundancy N, two neighbouring PDUs (a and
    b, then c and d) with 2N, half the load each. With ``pdus_per_row`` 0 the racks hang from the
    UPSs in the same way.

    Raises:
        BuildError: a plan that cannot be wired; ``path`` is inside ``power``.
    """
    tree = _Wiring()
    stated = plan is not None
    plan = plan or _UNSTATED
    check_wiring(site, plan)
    upstream = _add_ups(tree, plan, _add_msbs(tree, plan))
    _add_cooling(tree, plan)
    feeds = [upstream] * len(site.row_names)
    if plan.pdus_per_row:
        feeds = _add_pdus(tree, site, plan, upstream)
    rack_feeds = _rack_feeds(site, feeds, plan.redundancy == "2N")
    first_rack = len(tree.nodes)
    for name, rack_type in zip(site.rack_names, site.rack_types, strict=True):
        tree.add(name, "rack", rack_type.rating_w, None, breaker=plan.rack_breaker)
    for rack, parents in enumerate(rack_feeds):
        tree.connect(first_rack + rack, parents)
    first_server = len(tree.nodes)
    for name, node_type in zip(site.node_names, site.node_types, strict=True):
        psu = node_type.psu
        tree.nodes.append(PowerNode(name, "server", psu.rating_w, None, psu))
    for node, rack in enumerate(site.node_rack.tolist()):
        tree.connect(first_server + node, (first_rack + rack,))
    _refuse_same_names(tree.nodes, plan)
    return PowerTree(
        nodes=tuple(tree.nodes),
        edges=tuple(tree.edges),
        server_index=np.arange(first_server, len(tree.nodes), dtype=np.int64),
        provisioned_w=_provisioned_w(plan, len(site.row_names)),
        stated=stated,
        standby=tuple(tree.standby),
        restart_s=plan.restart_s,
    )


def children_first(tree: PowerTree) -> list[int]:
    """Every node before all that may feed it, the deepest first; then by index."""
    depth = depths(parents_of(tree))
    return sorted(range(len(depth)), key=lambda node: (-depth[node], node))


def parents_of(tree: PowerTree) -> list[list[int]]:
    """[nodes] whatever may feed each, what stands by included."""
    parents: list[list[int]] = [[] for _ in tree.nodes]
    for child, parent, _ in tree.edges:
        parents[child].append(parent)
    for child, parent in tree.standby:
        parents[child].append(parent)
    return parents


def feeds_of(tree: PowerTree) -> list[list[tuple[int, float]]]:
    """[nodes] what feeds each while nothing has failed, with its share of the load."""
    feeds: list[list[tuple[int, float]]] = [[] for _ in tree.nodes]
    for child, parent, parts in tree.edges:
        feeds[child].append((parent, parts / WHOLE_SHARE))
    return feeds


def depths(parents: Sequence[Sequence[int]]) -> list[int]:
    """[nodes] longest way up to a top; a node is deeper than every parent."""
    depth = [-1] * len(parents)

    def fill(node: int) -> int:
        if depth[node] < 0:
            depth[node] = 1 + max((fill(parent) for parent in parents[node]), default=-1)
        return depth[node]

    for node in range(len(parents)):
        fill(node)
    return depth


class _Wiring:
    """Nodes and edges while the tree grows."""

    def __init__(self) -> None:
        self.nodes: list[PowerNode] = []
        self.edges: list[tuple[int, int, int]] = []
        self.standby: list[tuple[int, int]] = []
        self.reserve_of: dict[int, int] = {}

    def add(
        self,
        name: str,
        kind: str,
        rating_w: float | None,
        budget_w: float | None,
        *,
        loss: str = "",
        loss_rating_w: float | None = None,
        breaker: RatedBreaker | None = None,
        ups: UpsGear | None = None,
        start_s: float | None = None,
    ) -> int:
        """Append a node and return its index; ``loss`` names the gear whose curve it follows."""
        size_w = rating_w if loss_rating_w is None else loss_rating_w
        curve = catalog.gear_loss(loss, size_w) if loss and size_w is not None else None
        self.nodes.append(PowerNode(name, kind, rating_w, budget_w, curve, breaker, ups, start_s))
        return len(self.nodes) - 1

    def connect(self, child: int, parents: Sequence[int]) -> None:
        """Feed ``child`` from its parents in equal shares."""
        for parent in parents:
            self.edges.append((child, parent, WHOLE_SHARE // len(parents)))
            if parent in self.reserve_of:
                self.standby.append((child, self.reserve_of[parent]))


def _add_msbs(tree: _Wiring, plan: PowerPlan) -> dict[str, int]:
    """The utility, or the switchboards below it, by name; generators stand by behind them."""
    utility = tree.add(
        "utility", "utility", plan.utility_rating_w, plan.utility_budget_w,
        breaker=plan.utility_breaker,
    )  # fmt: skip
    tops = {}
    for msb in plan.msbs:
        tops[msb.name] = tree.add(
            msb.name, "msb", msb.rating_w, msb.budget_w, loss="transformer", breaker=msb.breaker
        )
        tree.connect(tops[msb.name], (utility,))
    for generator in plan.generators:
        index = tree.add(
            generator.name, "generator", generator.rating_w, None, breaker=generator.breaker,
            start_s=generator.start_s,
        )  # fmt: skip
        tree.standby += [(tops[name], index) for name in generator.feeds or tops]
    return tops or {"utility": utility}


def _add_ups(tree: _Wiring, plan: PowerPlan, tops: dict[str, int]) -> list[int]:
    """The UPSs; returns what PDUs or racks hang from, in turn: UPSs, or what is above them."""
    reserves = {ups.reserve for ups in plan.ups}
    found = {}
    for number, ups in enumerate(plan.ups):
        found[ups.name] = tree.add(
            ups.name, "ups", ups.rating_w, ups.budget_w, loss="ups",
            loss_rating_w=module_ratings_w(ups.gear, ups.rating_w), breaker=ups.breaker,
            ups=ups.gear,
        )  # fmt: skip
        above = list(tops.values())[number % len(tops)] if ups.fed_by is None else tops[ups.fed_by]
        tree.connect(found[ups.name], (above,))
    tree.reserve_of = {found[u.name]: found[u.reserve] for u in plan.ups if u.reserve is not None}
    return [i for name, i in found.items() if name not in reserves] or list(tops.values())


def _add_cooling(tree: _Wiring, plan: PowerPlan) -> None:
    """The cooling plant as a load of what feeds it; how much it draws is the run's business."""
    if plan.cooling_fed_by is None:
        return
    tops = {node.name: at for at, node in enumerate(tree.nodes) if node.kind != "generator"}
    if plan.cooling_fed_by not in tops:
        hint = did_you_mean(plan.cooling_fed_by, tops)
        raise BuildError(
            "cooling.fed_by",
            f"unknown utility, switchboard or UPS {plan.cooling_fed_by!r}{hint}",
        )
    tree.connect(tree.add("cooling", "cooling", None, None), (tops[plan.cooling_fed_by],))


def module_ratings_w(gear: UpsGear, rating_w: float, alive: int | None = None) -> float:
    """The rating of all modules of a UPS that are alive (all of them if not said), summed."""
    modules = gear.modules
    if modules is None:
        return rating_w
    return modules.rating(rating_w, modules.count if alive is None else alive)


def _refuse_same_names(nodes: Sequence[PowerNode], plan: PowerPlan) -> None:
    """Names of rows, racks and nodes are made of one another, so a clash is with a stated name."""
    stated = {one.name: f"power.generators[{at}].name" for at, one in enumerate(plan.generators)}
    stated |= {one.name: f"power.msbs[{at}].name" for at, one in enumerate(plan.msbs)}
    stated |= {one.name: f"power.ups[{at}].name" for at, one in enumerate(plan.ups)}
    kinds: dict[str, str] = {}
    for node in nodes:
        if node.name in kinds:
            raise BuildError(
                stated.get(node.name, "site.halls"),
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
                breaker=plan.pdu_breaker,
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

    The top is the utility's own rating, else the switchboards, else the UPSs but for reserves,
    else (without UPSs) the PDUs.
    """
    if plan.utility_budget_w is not None:
        return plan.utility_budget_w
    if plan.utility_rating_w is not None:
        return plan.utility_rating_w
    if plan.msbs:
        return sum(msb.rating_w for msb in plan.msbs)
    if plan.ups:
        reserves = {gear.reserve for gear in plan.ups}
        return sum(gear.rating_w for gear in plan.ups if gear.name not in reserves)
    if plan.pdu_rating_w is not None and plan.pdus_per_row:
        return rows * plan.pdus_per_row * plan.pdu_rating_w
    return None
