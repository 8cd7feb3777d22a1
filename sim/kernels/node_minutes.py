"""What power nodes drew minute by minute, from their changes or from envelopes of minutes.

Per node only the minute that is open is kept, and what the minute before drew: a minute is written
when it is over and only if it drew otherwise than the one before it. So memory follows the nodes,
and rows follow what happens, not how long nothing does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.kernels.jit import entry, kernel

Records = NDArray[Any]

MINUTE_S = 60.0
MILLI = 1000.0

#: Why ``count_changes`` and ``count_minutes`` returned.
DONE, FULL, BAD_NODE, BAD_TIME = range(4)
#: The most rows that one call of ``stretch`` and ``close`` together can write.
AT_ONCE = 3

#: One node. A minute of -1 is none.
NODE = np.dtype(
    [
        ("since_s", np.float64),  # of its last change; NaN = none yet
        ("draw_mw", np.int64),  # from then on
        ("minute", np.int64),  # the open one
        ("seconds", np.float64),  # of it so far
        ("energy_mj", np.float64),
        ("low_mw", np.int64),
        ("high_mw", np.int64),
        ("next", np.int64),  # no minute before this one can follow
        ("min_w", np.float64),  # of the minute before, NaN = none
        ("mean_w", np.float64),
        ("max_w", np.float64),
    ]
)

#: A row of ``summary/power``.
ENVELOPE = np.dtype(
    [
        ("min_w", np.float64),
        ("mean_w", np.float64),
        ("max_w", np.float64),
        ("node", np.int32),
        ("minute", np.int32),
    ]
)


def new_nodes(count: int) -> Records:
    """``count`` nodes of which nothing is known."""
    nodes = np.zeros(count, NODE)
    for name in ("since_s", "min_w", "mean_w", "max_w"):
        nodes[name] = np.nan
    nodes["minute"] = -1
    return nodes


@entry
def count_changes(
    rows: Records, on_intake: NDArray[np.bool_], nodes: Records, out: Records, at: NDArray[np.int64]
) -> int:
    """Count ``rows`` [n] of ``POWER_ROW`` from ``at[0]`` on; why it returned.

    ``at``: [2] first row that is not counted, rows of ``out`` in use.
    """
    for i in range(at[0], len(rows)):
        at[0] = i
        row = rows[i]
        if at[1] + AT_ONCE > len(out):
            return FULL
        if not 0 <= row.node < len(nodes):
            return BAD_NODE
        node = nodes[row.node]
        if not row.t_s >= 0.0 or row.t_s < node.since_s:
            return BAD_TIME
        if node.since_s == node.since_s:
            at[1] = stretch(node, row.node, node.since_s, row.t_s, out, at[1])
        node.since_s = row.t_s
        node.draw_mw = row.in_mw if on_intake[row.node] else row.out_mw
    at[0] = len(rows)
    return DONE


@entry
def count_minutes(rows: Records, nodes: Records, out: Records, at: NDArray[np.int64]) -> int:
    """Count ``rows`` [n] of ``MINUTE_ROW`` from ``at[0]`` on, as ``count_changes`` does."""
    for i in range(at[0], len(rows)):
        at[0] = i
        row = rows[i]
        if at[1] + AT_ONCE > len(out):
            return FULL
        if not 0 <= row.node < len(nodes):
            return BAD_NODE
        node = nodes[row.node]
        if row.minute < node.next or (row.minute == node.minute and row.minutes > 1):
            return BAD_TIME
        if row.minute != node.minute:
            at[1] = close(node, row.node, out, at[1])
        add(node, row.minute, row.seconds, row.energy_mj, row.low_mw, row.high_mw)
        if row.minutes > 1:
            at[1] = close(node, row.node, out, at[1])
            node.next = row.minute + row.minutes
    at[0] = len(rows)
    return DONE


@entry
def finish(first: int, end_s: float, nodes: Records, out: Records, at: NDArray[np.int64]) -> int:
    """End the nodes from ``first`` on at ``end_s``; the first that ``out`` has no room for."""
    for index in range(first, len(nodes)):
        if at[1] + AT_ONCE > len(out):
            return index
        node = nodes[index]
        if node.since_s < end_s:
            at[1] = stretch(node, index, node.since_s, end_s, out, at[1])
            node.since_s = end_s
        at[1] = close(node, index, out, at[1])
    return len(nodes)


@kernel
def stretch(node: Any, index: int, start_s: float, end_s: float, out: Records, used: int) -> int:
    """The node drew ``draw_mw`` from ``start_s`` to ``end_s``; rows of ``out`` then in use."""
    if end_s <= start_s:
        return used
    draw = node.draw_mw
    first, last = minute_of(start_s), minute_of(end_s)
    if last * MINUTE_S == end_s:
        last -= 1  # an end on the minute belongs to the minute before it
    if first != node.minute:
        used = close(node, index, out, used)
    stop_s = min(end_s, (first + 1) * MINUTE_S)
    add(node, first, stop_s - start_s, (stop_s - start_s) * draw, draw, draw)
    if last > first:
        used = close(node, index, out, used)
        if last > first + 1:
            add(node, first + 1, MINUTE_S, MINUTE_S * draw, draw, draw)
            used = close(node, index, out, used)
        rest_s = end_s - last * MINUTE_S
        add(node, last, rest_s, rest_s * draw, draw, draw)
    return used


@kernel
def minute_of(t_s: float) -> int:
    """The minute that ``t_s`` is in, whatever the division rounds to."""
    minute = int(t_s / MINUTE_S)
    while minute * MINUTE_S > t_s:
        minute -= 1
    while (minute + 1) * MINUTE_S <= t_s:
        minute += 1
    return minute


@kernel
def add(
    node: Any, minute: int, seconds: float, energy_mj: float, low_mw: int, high_mw: int
) -> None:
    """Add a part of ``minute``, which is the open one or is opened."""
    if node.minute != minute:
        node.minute = minute
        node.next = minute
        node.seconds = 0.0
        node.energy_mj = 0.0
        node.low_mw = low_mw
        node.high_mw = high_mw
    node.seconds += seconds
    node.energy_mj += energy_mj
    node.low_mw = min(node.low_mw, low_mw)
    node.high_mw = max(node.high_mw, high_mw)


@kernel
def close(node: Any, index: int, out: Records, used: int) -> int:
    """End the open minute; write it unless it was as the one before. Rows then in use."""
    if node.minute < 0 or node.seconds <= 0.0:
        return used
    low_w, high_w = node.low_mw / MILLI, node.high_mw / MILLI
    # Rounding must not make a constant draw leave its envelope.
    mean_w = min(max(node.energy_mj / node.seconds / MILLI, low_w), high_w)
    if not (node.min_w == low_w and node.mean_w == mean_w and node.max_w == high_w):
        row = out[used]
        row.min_w = low_w
        row.mean_w = mean_w
        row.max_w = high_w
        row.node = index
        row.minute = node.minute
        used += 1
    node.min_w = low_w
    node.mean_w = mean_w
    node.max_w = high_w
    node.next = node.minute + 1
    node.minute = -1
    return used
