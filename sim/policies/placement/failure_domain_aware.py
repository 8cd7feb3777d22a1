"""Failure-domain-aware placement: the replicas of a pool apart from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sim.errors import RackplanError, did_you_mean
from sim.policies.base import PlacementView, register
from sim.policies.placement.domains import Domains, Place
from sim.rng import KeyedBits
from sim.site.power import feeds_of

LEVELS = ("utility", "msb", "ups", "pdu", "leaf", "row", "rack", "node")


@register("placement", "failure-domain-aware")
@dataclass(frozen=True)
class FailureDomainAware:
    """Put each replica where the loss of what it hangs on takes the fewest others of its pool.

    Of the first level the one with the fewest replicas is best, of equals that of the next level,
    and so on; of places equal in all, that in the fullest NVLink domain. A replica counts wherever
    it has a GPU. One of two feeds counts half: the loss of either takes nobody, that of both does.
    Leaves count where a network is stated: all that its NVLink domains have NICs on, as GPUs send
    over each other's. What a site does not have (PDUs, say) does not count.

    Attributes:
        levels: what may fail, the most important first: utility, msb, ups, pdu, leaf, row, rack,
            node (a server).
    """

    levels: tuple[str, ...] = ("ups", "pdu", "leaf", "rack", "node")

    def __post_init__(self) -> None:
        """Refuse levels that are none, none at all, or one twice.

        Raises:
            RackplanError: that.
        """
        for level in self.levels:
            if level not in LEVELS:
                hint = did_you_mean(level, LEVELS)
                raise RackplanError(f"levels are of {', '.join(LEVELS)}, not {level!r}{hint}")
        if not self.levels or len(set(self.levels)) != len(self.levels):
            named = f"[{', '.join(self.levels)}]"
            raise RackplanError(f"levels names one level or more, each once, not {named}")

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PlacementView, state: None, rng: KeyedBits) -> Iterator[Place]:
        """One suggestion per server that can hold the first stage, the loneliest first."""
        domains = Domains(view)
        hangs = _Hangs(view, domains)
        taken: dict[str, dict[int, float]] = {level: {} for level in self.levels}
        for place in view.placed.get(view.pool, ()):
            for level, others in taken.items():
                for at, share in hangs.on(level, place).items():
                    others[at] = others.get(at, 0.0) + share

        def lost(place: Place) -> list[float]:
            """Replicas that go with the worst of each level, this one included."""
            found = []
            for level, others in taken.items():
                mine = hangs.on(level, place)
                found.append(max((others.get(at, 0.0) + mine[at] for at in mine), default=0.0))
            return found

        yield from sorted(domains.places(by="node"), key=lost)


class _Hangs:
    """What a replica hangs on: of each level, which ones, and by what share."""

    def __init__(self, view: PlacementView, domains: Domains) -> None:
        site, self._tree, self._domains = view.site, view.power, domains
        self._feeds = [] if view.power is None else feeds_of(view.power)
        self._node: list[int] = site.gpu_node.tolist()
        self._rack: list[int] = site.node_rack.tolist()
        self._row: list[int] = site.rack_row.tolist()
        self._racks: dict[int, dict[str, dict[int, float]]] = {}

    def on(self, level: str, place: Place) -> Mapping[int, float]:
        """Position → 1, or the largest share of any of the replica's servers that it feeds."""
        if level == "leaf":
            return dict.fromkeys(self._domains.leaves_of(place), 1.0)
        nodes = {self._node[gpu] for gpu in place}
        if level == "node":
            return dict.fromkeys(sorted(nodes), 1.0)
        most: dict[int, float] = {}
        for rack in sorted({self._rack[node] for node in nodes}):
            for at, share in self._above(rack).get(level, {}).items():
                most[at] = max(most.get(at, 0.0), share)
        return most

    def _above(self, rack: int) -> Mapping[str, Mapping[int, float]]:
        """Level → what a rack hangs on, with its share of what each server there draws."""
        if rack not in self._racks:
            found = {"rack": {rack: 1.0}, "row": {self._row[rack]: 1.0}}
            todo = {}
            if self._tree is not None:
                todo[int(self._tree.server_index[self._rack.index(rack)])] = 1.0
            while self._tree is not None and todo:
                node = max(todo)  # feeds come before what they feed
                share = todo.pop(node)
                if (kind := self._tree.nodes[node].kind) not in found:
                    found[kind] = {}
                if kind != "rack":  # those of the tree are numbered otherwise
                    found[kind][node] = share
                for parent, part in self._feeds[node]:
                    todo[parent] = todo.get(parent, 0.0) + share * part
            self._racks[rack] = found
        return self._racks[rack]
