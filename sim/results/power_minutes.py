"""Draw per power node and minute, integrated from the rows of change while they flow by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.results.latency import floats

_MINUTE_S = 60.0
_MILLI_PER_W = 1000.0


class PowerMinutes:
    """Lowest, time-weighted mean and highest draw of each node in each minute.

    What is counted is what is compared with the node's limit: the intake of the utility, the
    output of any other node. Rows of one node must ascend in time; a value that held for no time
    at all does not count.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        nodes = len(kinds)
        self._is_utility = np.array([kind == "utility" for kind in kinds], dtype=bool)
        self._since = np.full(nodes, np.nan)
        self._draw = np.zeros(nodes)
        self._seconds = np.zeros((nodes, 0))
        self._energy = np.zeros((nodes, 0))
        self._low = np.zeros((nodes, 0))
        self._high = np.zeros((nodes, 0))
        self.last_s = 0.0

    def add(self, rows: pa.Table) -> None:
        """Count a block of the ``power`` table."""
        node = rows.column("node").to_numpy()
        if len(node) == 0:
            return
        if node.min() < 0 or node.max() >= len(self._is_utility):
            raise ValueError(f"power rows name node {node.max()} of {len(self._is_utility)}")
        time = floats(rows, "t_s")
        draw = np.where(self._is_utility[node], floats(rows, "in_mw"), floats(rows, "out_mw"))
        order = np.argsort(node, kind="stable")
        self._add_sorted(node[order], time[order], draw[order] / _MILLI_PER_W)
        self.last_s = max(self.last_s, float(time.max()))

    def _add_sorted(
        self, node: NDArray[np.int32], time: NDArray[np.float64], draw: NDArray[np.float64]
    ) -> None:
        """Close, at each row, the stretch that its node's row before had opened."""
        first = np.concatenate(([True], node[1:] != node[:-1]))
        since = np.concatenate(([0.0], time[:-1]))
        held = np.concatenate(([0.0], draw[:-1]))
        since[first] = self._since[node[first]]
        held[first] = self._draw[node[first]]
        if np.any(time < since):
            at = int(np.flatnonzero(time < since)[0])
            raise ValueError(f"power rows of node {node[at]} go back in time, at {time[at]} s")
        known = ~np.isnan(since)
        self._stretches(node[known], since[known], time[known], held[known])
        last = np.concatenate((first[1:], [True]))
        self._since[node[last]] = time[last]
        self._draw[node[last]] = draw[last]

    def _stretches(
        self,
        node: NDArray[np.int32],
        start: NDArray[np.float64],
        end: NDArray[np.float64],
        draw: NDArray[np.float64],
    ) -> None:
        positive = end > start
        node, start, end, draw = node[positive], start[positive], end[positive], draw[positive]
        if not len(node):
            return
        first = np.floor(start / _MINUTE_S).astype(np.int64)
        # An end on the minute belongs to the minute before it.
        pieces = np.maximum(np.ceil(end / _MINUTE_S).astype(np.int64) - first, 1)
        index = np.repeat(np.arange(len(node)), pieces)
        offset = np.arange(len(index)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        minute = first[index] + offset
        seconds = np.minimum(end[index], (minute + 1) * _MINUTE_S) - np.maximum(
            start[index], minute * _MINUTE_S
        )
        self._grow(int(minute.max()) + 1)
        cell = (node[index], minute)
        np.add.at(self._seconds, cell, seconds)
        np.add.at(self._energy, cell, seconds * draw[index])
        np.minimum.at(self._low, cell, draw[index])
        np.maximum.at(self._high, cell, draw[index])

    def add_minutes(self, rows: NDArray[np.void]) -> None:
        """Count rows of ``MINUTE_ROW``."""
        if len(rows):
            held = rows["minutes"]
            offset = np.arange(held.sum()) - np.repeat(np.cumsum(held) - held, held)
            rows = np.repeat(rows, held)
            rows["minute"] += offset.astype(np.int32)
            self._grow(int(rows["minute"].max()) + 1)
            cell = (rows["node"], rows["minute"])
            np.add.at(self._seconds, cell, rows["seconds"])
            np.add.at(self._energy, cell, rows["energy_mj"] / _MILLI_PER_W)
            np.minimum.at(self._low, cell, rows["low_mw"] / _MILLI_PER_W)
            np.maximum.at(self._high, cell, rows["high_mw"] / _MILLI_PER_W)

    def _grow(self, minutes: int) -> None:
        have = self._seconds.shape[1]
        if minutes <= have:
            return
        more = ((0, 0), (0, max(minutes - have, have)))
        self._seconds = np.pad(self._seconds, more)
        self._energy = np.pad(self._energy, more)
        self._low = np.pad(self._low, more, constant_values=np.inf)
        self._high = np.pad(self._high, more, constant_values=-np.inf)

    def rows(self, end_s: float) -> dict[str, NDArray[np.generic]]:
        """The columns of ``summary/power``, every node's last value held until ``end_s``."""
        open_nodes = np.flatnonzero(~np.isnan(self._since) & (self._since < end_s))
        self._stretches(
            open_nodes.astype(np.int32),
            self._since[open_nodes],
            np.full(len(open_nodes), end_s),
            self._draw[open_nodes],
        )
        self._since[open_nodes] = end_s
        node, minute = np.nonzero(self._seconds > 0.0)
        cell = (node, minute)
        return {
            "node": node.astype(np.int32),
            "minute": minute.astype(np.int32),
            "min_w": self._low[cell],
            "mean_w": self._energy[cell] / self._seconds[cell],
            "max_w": self._high[cell],
        }
