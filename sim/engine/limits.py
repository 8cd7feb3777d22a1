"""The limits of power nodes as contracts change them, and how near each node came to its own."""

from __future__ import annotations

from typing import NamedTuple

from sim.site.load import milliwatts
from sim.site.types import PowerTree


class Nearest(NamedTuple):
    """A node over the measurement window, mW."""

    limit_mw: int | None  # in force when it came nearest to it
    draw_mw: float  # the highest under that limit
    peak_mw: float  # … and under any
    changed: bool  # whether its limit was ever another


class Limits:
    """The limit of each node now, and the peaks under those that the window has seen before."""

    def __init__(self, tree: PowerTree) -> None:
        stated = [n.rating_w if n.budget_w is None else n.budget_w for n in tree.nodes]
        self._now_mw = [None if limit_w is None else milliwatts(limit_w) for limit_w in stated]
        self._last_mw: dict[int, int | None] = {}  # when the window closed, if changed since
        self._before: dict[int, list[tuple[int | None, float]]] = {}
        self._since_s: dict[int, float] = {}  # of the last change
        self._opened_s = 0.0
        self._open = self._closed = False

    def change(self, node: int, limit_mw: int, peak_mw: float, time_s: float) -> None:
        """A node has another limit; under the one before it drew ``peak_mw`` at most.

        A limit that held for no time is nowhere.
        """
        if self._open and time_s > max(self._opened_s, self._since_s.get(node, 0.0)):
            self._before.setdefault(node, []).append((self._now_mw[node], peak_mw))
        if self._closed:
            self._last_mw.setdefault(node, self._now_mw[node])
        self._since_s[node] = time_s
        self._now_mw[node] = limit_mw

    def open_window(self, time_s: float) -> None:
        """The measurement window starts."""
        self._open, self._opened_s = True, time_s

    def close_window(self) -> None:
        """The measurement window ends."""
        self._open, self._closed = False, True

    def nearest(self, node: int, peak_mw: float) -> Nearest:
        """How near a node came to its limit; ``peak_mw``: under the last one of the window."""
        last = (self._last_mw.get(node, self._now_mw[node]), peak_mw)
        seen = [*self._before.get(node, []), last]
        limited = [(limit, peak) for limit, peak in seen if limit is not None]
        nearest = min(limited, key=lambda one: one[0] - one[1], default=last)
        most_mw = max(peak for _, peak in seen)
        return Nearest(*nearest, most_mw, node in self._since_s)
