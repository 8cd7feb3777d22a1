"""One replica's weights on their way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from sim.check.scenario import Weights
from sim.engine.network import Flow
from sim.engine.world import PlacedReplica

#: ``done(time_s)``: the replica is loaded.
Done: TypeAlias = Callable[[float], None]


@dataclass(eq=False)
class Load:
    """A replica that boots or loads; each of its GPUs (ranks) takes its share as one flow."""

    replica: int
    plan: Weights
    placed: PlacedReplica  # where it loads
    ready_s: float  # it has booted
    done: Done
    dropped: Done | None = None  # it is not wanted any more
    booted: bool = False
    start_s: float | None = None  # the first byte
    size_bytes: float = 0.0
    alone_s: float | None = None  # it would take, if nothing else moved
    left: dict[int, float] = field(default_factory=dict)  # rank → bytes of shares not there yet
    flows: dict[int, Flow] = field(default_factory=dict)  # by rank, those on their way
    peers: dict[int, int] = field(default_factory=dict)  # rank → replica that sends its share
    nodes: dict[int, int] = field(default_factory=dict)  # rank → storage node that does
    sources: dict[str, int | None] = field(default_factory=dict)  # whatever has sent; its replica
    links: set[int] = field(default_factory=set)  # that its shares came over
    blocked: bool = False  # some of it has no source or no way: what changes lets it try again
    told: bool = False  # that it waits

    @property
    def waits(self) -> bool:
        """Whether a share of it is neither there nor on its way."""
        return self.booted and len(self.flows) < len(self.left)
