"""Draw per power node and minute, counted while changes or envelopes of minutes flow by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sim.results.rows import Rows
from sim.site.types import ON_INTAKE

_COLUMNS = ("node", "minute", "min_w", "mean_w", "max_w")
#: Rows of ``summary/power`` that are handed on at once.
_ROWS = 1 << 16


class PowerMinutes:
    """Lowest, time-weighted mean and highest draw of each node in each minute.

    What is counted is what is compared with the node's limit: the intake of ``ON_INTAKE``, the
    output of any other node. Rows of one node must ascend in time; a value that held for no time
    at all does not count. A minute that drew as the one before it has no row.

    Args:
        kinds: of the nodes, by index.
        write: takes columns of ``summary/power`` whenever enough of them are there.
    """

    def __init__(self, kinds: Sequence[str], write: Callable[[dict[str, Any]], None]) -> None:
        from sim.kernels import node_minutes

        self._kernel = node_minutes
        self._on_intake = np.array([kind in ON_INTAKE for kind in kinds], dtype=bool)
        self._nodes = node_minutes.new_nodes(len(kinds))
        self._write = write
        self._out = np.zeros(_ROWS, node_minutes.ENVELOPE)
        self._at = np.zeros(2, np.int64)

    def add(self, rows: Rows) -> None:
        """Count [n] rows of ``POWER_ROW``.

        Raises:
            ValueError: a node that does not exist, or one whose rows go back in time.
        """
        kernel = self._kernel
        self._count(
            rows,
            lambda: kernel.count_changes(rows, self._on_intake, self._nodes, self._out, self._at),
        )

    def add_minutes(self, rows: Rows) -> None:
        """Count [n] rows of ``MINUTE_ROW``.

        Raises:
            ValueError: as ``add``.
        """
        kernel = self._kernel
        self._count(rows, lambda: kernel.count_minutes(rows, self._nodes, self._out, self._at))

    def _count(self, rows: Rows, count: Callable[[], int]) -> None:
        kernel = self._kernel
        self._at[0] = 0
        while (code := count()) != kernel.DONE:
            if code == kernel.FULL:
                self._flush()
                continue
            row = rows[self._at[0]]
            if code == kernel.BAD_NODE:
                raise ValueError(f"power rows name node {row['node']} of {len(self._nodes)}")
            change = "t_s" in (row.dtype.names or ())
            when = f"{row['t_s']} s" if change else f"minute {row['minute']}"
            raise ValueError(f"power rows of node {row['node']} go back in time, at {when}")

    def finish(self, end_s: float) -> None:
        """Write the rest, every node's last value held until ``end_s``."""
        node = 0
        while node < len(self._nodes):
            node = self._kernel.finish(node, end_s, self._nodes, self._out, self._at)
            self._flush()
        self._flush()

    def _flush(self) -> None:
        rows = self._out[: self._at[1]]
        self._at[1] = 0
        if len(rows):
            self._write({name: rows[name].copy() for name in _COLUMNS})
