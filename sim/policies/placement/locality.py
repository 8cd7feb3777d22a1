"""Locality: replicas of pools that hand KV to each other near one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import PlacementView, register
from sim.policies.placement.domains import Domains, Place
from sim.policies.placement.nearness import Level, Links, Want
from sim.rng import KeyedBits


@register("placement", "locality")
@dataclass(frozen=True)
class Locality:
    """Put a replica near those of the pools that it sends KV to, or takes KV from.

    Best is the NVLink domain with the most of their replicas for each of the own pool's there, this
    one included; then the rack, then the leaf (all leaves of a domain count), then the fewest links
    to their leaves in the mean. As long as they have no places the own pool leaves room: first come
    places where the partners' GPUs, in equal shares for each own replica, still fit into the
    domain, then into the rack, then below the leaf. What is equal in all of that is packed as by
    topology-aware, and so is a pool without partners. Within a domain the GPUs are taken whose own
    leaves the pool uses least: KV arrives on the rails of its target. Leaves count where a network
    is stated.
    """

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PlacementView, state: None, rng: KeyedBits) -> Iterator[Place]:
        """One suggestion per domain that can hold the first stage, the nearest first."""
        domains = Domains(view)
        if not view.partners:
            yield from domains.places()
            return
        own = view.placed.get(view.pool, ())
        others = [place for name in view.partners for place in view.placed.get(name, ())]
        left = view.to_come.get(view.pool)
        all_own = len(own) + (1 if left is None else left.replicas)
        asked = [view.to_come[name] for name in view.partners if name in view.to_come]
        wants = [Want(one.replicas * one.gpus / all_own, one.allowed) for one in asked]
        levels = [Level(units, domains, own, others, wants) for units in domains.units]
        links = Links(domains, others)

        used = Counter(leaf for place in own for leaf in domains.on_leaves(place))
        packed = {domain: at for at, domain in enumerate(domains.fullest_first)}

        def rank(place: Place) -> tuple[float, ...]:
            near = [-level.partners(place) for level in levels]
            crowded = [level.crowded(place) for level in levels]
            rails = sum(used[leaf] for leaf in domains.on_leaves(place))
            return (*near, links.mean(place), *crowded, packed[domains.first_of(place)], rails)

        yield from sorted(domains.places(by="group"), key=rank)
