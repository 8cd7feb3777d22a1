"""Power-aware placement: planned peaks spread over the electrical tree by its limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.errors import RackplanError
from sim.policies.base import PlacementView, register
from sim.policies.placement.domains import Domains, Place
from sim.policies.placement.planned_power import PlannedPower
from sim.rng import KeyedBits


@register("placement", "power-aware")
@dataclass(frozen=True)
class PowerAware:
    """Put each replica where the most loaded node of the electrical tree above it stays lowest.

    A node's load is what it carries when all that is placed draws its most at once, losses and
    what servers draw besides GPUs included, over the lower of its rating and budget; a node without
    either does not count. A GPU counts with the highest draw that is predicted for its replica
    (TDP where nothing is), a free one parked. Dual feeds split the load. Of places whose most
    loaded nodes are equal the next ones decide, then the fullest NVLink domain.

    Attributes:
        step: loads are compared in steps of this share of the limit, so that no domain is broken
            for the sake of nothing.
    """

    step: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a step that makes no sense.

        Raises:
            RackplanError: it is not above 0, or above 1.
        """
        if not 0.0 < self.step <= 1.0:
            raise RackplanError(f"step must be above 0 and at most 100 %, not {self.step:g}")

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PlacementView, state: None, rng: KeyedBits) -> Iterator[Place]:
        """One suggestion per domain that can hold the first stage, the most headroom first."""
        places = list(Domains(view).places())
        if view.power is None or not places:
            yield from places
            return
        planned = PlannedPower(view, view.power)

        def rank(place: Place) -> tuple[int, ...]:
            return tuple(round(load / self.step) for load in planned.loads(place))

        yield from sorted(places, key=rank)
