"""Peak, mean and time over the limit of each power node, against the rows of change."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sim.engine.power_meter import NodeMeter, PowerMeter
from tests.engine_world import site, tree

#: (server, change of its GPUs' draw in W, time): the highest draw before the window, and two
#: changes that are undone at the same instant.
CHANGES = [
    (1, 6000, 0.25), (1, -6000, 0.75),
    (0, 2000, 1.0), (1, 900, 1.5), (0, 3000, 3.0), (0, -3000, 3.0), (0, -1500, 4.0),
    (1, 4000, 5.0), (1, -4000, 5.5), (0, 5000, 6.0), (0, -5000, 6.0), (1, 100, 8.0),
]  # fmt: skip
WINDOW = (1.25, 7.0)


def metered(budget_w: float | None) -> tuple[PowerMeter, list[tuple[int, float, int, int]]]:
    """A meter over two servers after ``CHANGES``, and the rows it wrote."""
    rows: list[tuple[int, float, int, int]] = []
    meter = PowerMeter(
        site(2), tree(2, budget_w), lambda *row: rows.append(row), lambda *span: None
    )
    meter.start([560_000, 560_000])
    opened = closed = False
    for server, change_w, time_s in CHANGES:
        if not opened and time_s >= WINDOW[0]:
            meter.open_window(WINDOW[0])
            opened = True
        if not closed and time_s >= WINDOW[1]:
            meter.close_window(WINDOW[1])
            closed = True
        meter.change(server, change_w * 1000, time_s)
    meter.finish(10.0)
    return meter, rows


def stretches(
    rows: Sequence[tuple[int, float, int, int]], node: int, on_intake: bool
) -> list[tuple[float, int]]:
    """(length inside the window, what is judged in mW) of each state of a node."""
    mine = [row for row in rows if row[0] == node]
    ends = [row[1] for row in mine[1:]] + [10.0]
    found = []
    for (_, start_s, out_mw, in_mw), end_s in zip(mine, ends, strict=True):
        length_s = min(end_s, WINDOW[1]) - max(start_s, WINDOW[0])
        if length_s > 0:
            found.append((length_s, in_mw if on_intake else out_mw))
    return found


@pytest.mark.parametrize("budget_w", [None, 9000.0, 50_000.0])
def test_nodes_against_their_rows(budget_w: float | None) -> None:
    meter, rows = metered(budget_w)
    for node, (plan, found) in enumerate(zip(tree(2, budget_w).nodes, meter.nodes, strict=True)):
        states = stretches(rows, node, on_intake=plan.kind == "utility")
        assert len(states) > 1
        assert sum(length_s for length_s, _ in states) == pytest.approx(WINDOW[1] - WINDOW[0])
        assert found.window_peak_mw == max(draw_mw for _, draw_mw in states)
        mean = sum(length_s * draw_mw for length_s, draw_mw in states)
        assert found.mean.window == pytest.approx(mean, rel=1e-12)
        limit_w = plan.rating_w if plan.budget_w is None else plan.budget_w
        if limit_w is not None:
            over = [length_s for length_s, draw_mw in states if draw_mw > limit_w * 1000]
            assert found.over.window == pytest.approx(sum(over), abs=1e-12)
    over_s = meter.nodes[0].over.window
    assert (over_s > 0) == (budget_w == 9000.0)


@pytest.mark.parametrize(("on_intake", "over_s"), [(False, 0.5), (True, 1.5)])
def test_a_draw_equal_to_the_limit_is_within_it(on_intake: bool, over_s: float) -> None:
    spans: list[tuple[float, ...]] = []
    meter = NodeMeter(1.0, on_intake, lambda *span: spans.append(span))
    meter.open_window(0.0)
    for out_mw, in_mw, time_s in ((1000, 1000, 0.0), (1001, 1002, 3.0), (1000, 1001, 3.5)):
        meter.set(out_mw, in_mw, time_s)
    meter.set(999, 1000, 4.5)
    meter.close_window(5.0)
    assert meter.over.window == over_s
    peak_mw = 1002 if on_intake else 1001
    assert spans == [(3.0, 3.0 + over_s, peak_mw, 1000)]
