"""The table ``summary/links``: how much of each link was in use in each slot of simulated time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sim.kernels.flow_readings import SlotMeters

#: Lengths of a slot to choose from, in seconds.
_WIDTHS_S = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 10_800.0,
             21_600.0, 86_400.0)  # fmt: skip
#: Most slots of a run, and most slots of all its links: that bounds the table.
MOST_SLOTS, MOST_ROWS = 300, 4_000_000


def slot_width_s(duration_s: float, links: int) -> float:
    """Length of a slot: as short as keeps the table small, whatever links carry."""
    slots = max(1, min(MOST_SLOTS, MOST_ROWS // max(1, links)))
    found = (width for width in _WIDTHS_S if duration_s / width <= slots)
    return next(found, _WIDTHS_S[-1] * math.ceil(duration_s / slots / _WIDTHS_S[-1]))


class LinkSlots:
    """Gathers what links did, slot by slot, until arrivals end.

    Attributes:
        start_s, end_s: of the slot that comes next; infinite after the last one.
    """

    def __init__(self, duration_s: float, links: int) -> None:
        self._duration_s = duration_s
        known = math.isfinite(duration_s)
        self._width_s = slot_width_s(duration_s, links) if known else math.inf
        self._number = 0
        self.start_s = 0.0
        self.end_s = min(self._width_s, duration_s)
        self._parts: list[tuple[float, float, SlotMeters]] = []

    def add(self, slot: SlotMeters, until_s: float) -> None:
        """Take down a slot, which ended at ``until_s``."""
        if len(slot.link):
            self._parts.append((self.start_s, until_s - self.start_s, slot))
        self._number += 1
        self.start_s = until_s
        over = until_s >= self._duration_s
        self.end_s = min((self._number + 1) * self._width_s, self._duration_s)
        if over:
            self.start_s = self.end_s = math.inf

    def columns(self) -> dict[str, Any]:
        """Columns of ``summary/links``, by slot and link."""
        counts = [len(slot.link) for _, _, slot in self._parts]
        length = np.repeat([length for _, length, _ in self._parts], counts)
        slots = [slot for _, _, slot in self._parts]

        def joined(name: str) -> Any:
            return np.concatenate([np.zeros(0), *(getattr(slot, name) for slot in slots)])

        return {
            "link": joined("link").astype(np.int32),
            "start_s": np.repeat([start for start, _, _ in self._parts], counts),
            "slot_s": length,
            "mean_use": np.minimum(joined("use_s") / length, 1.0),
            "max_use": joined("peak_use"),
            "saturated_s": joined("full_s"),
        }
