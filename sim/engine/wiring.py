"""How the electrical tree is connected at a moment: what the facility tells a serving plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.site.load import Intake


@dataclass(frozen=True)
class Wiring:
    """Which feeds are live, and what takes part.

    Attributes:
        feeds: for each node its live (parent, share in 1/256), shares that sum to 256; none: dead,
            a top, or a UPS on battery.
        unfed: nodes that take in nothing, not even their losses.
        off: servers (indices of the site) without power.
        extra_mw: what nodes take in beside what they deliver: batteries that charge.
        curves: losses of nodes whose losses change at all during a run: banks of modules.
    """

    feeds: Sequence[Sequence[tuple[int, int]]]
    unfed: frozenset[int] = frozenset()
    off: frozenset[int] = frozenset()
    extra_mw: Mapping[int, int] = field(default_factory=dict)
    curves: Mapping[int, Intake] = field(default_factory=dict)
