"""What nodes drew per minute against a loop over their changes, and how little is kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from sim.kernels.rows import MINUTE_ROW, POWER_ROW
from sim.results import power_minutes
from sim.results.power_minutes import PowerMinutes

KINDS = ("utility", "ups")


class Kept:
    """Rows that were handed on."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, float, float, float]] = []

    def __call__(self, columns: dict[str, np.ndarray]) -> None:
        names = ("node", "minute", "min_w", "mean_w", "max_w")
        self.rows += zip(*(columns[name].tolist() for name in names), strict=True)

    def every_minute(self, node: int, end_s: float) -> Iterator[tuple[float, float, float]]:
        """The envelope of each minute of ``node``: one without a row is as the one before it."""
        mine = {minute: rest for index, minute, *rest in self.rows if index == node}
        held: tuple[float, ...] = ()
        for minute in range(int(np.ceil(end_s / 60.0))):
            held = tuple(mine.get(minute, held))
            yield held


def changes(seed: int, n: int) -> np.ndarray:
    """Drawn changes of two nodes, both known from the start; some at one instant on a minute."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n + 2, POWER_ROW)
    time = np.sort(rng.uniform(0, 900, n))
    time[rng.integers(0, n, n // 5)] = 120.0
    rows["t_s"][2:] = np.sort(time)
    rows["node"][1] = 1
    rows["node"][2:] = rng.integers(0, 2, n)
    rows["out_mw"] = rng.integers(1000, 9000, n + 2)
    rows["in_mw"] = rng.integers(9000, 20000, n + 2)
    return rows


def count(rows: np.ndarray, end_s: float, size: int = 50) -> Kept:
    kept = Kept()
    minutes = PowerMinutes(KINDS, kept)
    for start in range(0, len(rows), size):
        block = rows[start : start + size].copy()
        (minutes.add if rows.dtype == POWER_ROW else minutes.add_minutes)(block)
        block[:] = 0
    minutes.finish(end_s)
    return kept


@pytest.mark.parametrize("n", [0, 6, 200])
@pytest.mark.parametrize("seed", range(4))
def test_minutes_against_a_loop(seed: int, n: int) -> None:
    rows, end_s = changes(seed, n), 930.0
    kept = count(rows, end_s)
    for node, column in ((0, "in_mw"), (1, "out_mw")):
        mine = rows[rows["node"] == node]
        times = np.append(mine["t_s"], end_s)
        draws = mine[column] / 1000.0
        found = list(kept.every_minute(node, end_s))
        assert len(found) == 16
        for minute, (low_w, mean_w, high_w) in enumerate(found):
            low, high = minute * 60.0, min((minute + 1) * 60.0, end_s)
            parts = [
                (min(b, high) - max(a, low), draw)
                for a, b, draw in zip(times, times[1:], draws, strict=False)
                if min(b, high) > max(a, low)
            ]
            assert low_w == min(draw for _, draw in parts)
            assert high_w == max(draw for _, draw in parts)
            mean = sum(seconds * draw for seconds, draw in parts) / (high - low)
            assert mean_w == pytest.approx(mean, rel=1e-12)
            assert low_w <= mean_w <= high_w


def envelopes(rows: np.ndarray, end_s: float) -> np.ndarray:
    """``MINUTE_ROW``s of the same changes, by another way: cut at minutes, runs held together."""
    found = []
    for node, column in ((0, "in_mw"), (1, "out_mw")):
        mine = rows[rows["node"] == node]
        edges = np.append(mine["t_s"], end_s)
        for start, end, draw in zip(edges, edges[1:], mine[column].tolist(), strict=False):
            cuts = [start, *np.arange(start // 60 + 1, np.ceil(end / 60)) * 60, end]
            pieces = [(int(a // 60), b - a) for a, b in pairwise(cuts) if b > a]
            whole = [minute for minute, seconds in pieces[1:-1] if seconds == 60.0]
            for minute, seconds in pieces:
                if minute in whole[1:]:
                    continue
                held = len(whole) if minute in whole else 1
                found.append((seconds * draw, seconds, draw, draw, node, minute, held))
    return np.array(sorted(found, key=lambda row: row[5]), MINUTE_ROW)


@pytest.mark.parametrize("n", [0, 6, 200])
@pytest.mark.parametrize("seed", range(4))
def test_envelopes_say_what_changes_say(seed: int, n: int) -> None:
    rows, end_s = changes(seed, n), 930.0
    of_minutes = envelopes(rows, end_s)
    assert (n > 6) or of_minutes["minutes"].max() > 1
    left, right = count(rows, end_s), count(of_minutes, end_s, size=7)
    assert len(left.rows) == len(right.rows) > 0
    for one, other in zip(sorted(left.rows), sorted(right.rows), strict=True):
        assert one[:2] == other[:2]
        assert one[2:] == pytest.approx(other[2:], rel=1e-12)


def test_rows_do_not_depend_on_how_changes_came_in(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = changes(5, 300)
    whole = count(rows, 930.0, size=1000)
    monkeypatch.setattr(power_minutes, "_ROWS", 4)
    assert count(rows, 930.0, size=1).rows == whole.rows


def test_a_node_that_does_not_change_has_one_row_however_long_it_holds() -> None:
    rows = np.zeros(3, POWER_ROW)
    rows["node"] = [0, 1, 1]
    rows["t_s"] = [0.0, 0.0, 90.0]
    rows["in_mw"] = rows["out_mw"] = [5000, 1000, 2000]
    years_s = 10 * 365 * 86_400.0
    assert sorted(count(rows, years_s).rows) == [
        (0, 0, 5.0, 5.0, 5.0),
        (1, 0, 1.0, 1.0, 1.0),
        (1, 1, 1.0, 1.5, 2.0),
        (1, 2, 2.0, 2.0, 2.0),
    ]


def test_a_draw_that_holds_stays_constant_whatever_the_seconds_round_to() -> None:
    rows = np.zeros(40, POWER_ROW)
    rows["t_s"] = np.cumsum(np.full(40, 0.1)) / 3.0
    rows["in_mw"] = 1_234_567
    assert count(rows, 777.7).rows == [(0, 0, 1234.567, 1234.567, 1234.567)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([(5.0, 1, 1, 0), (4.0, 1, 1, 0)], POWER_ROW), r"node 0 go back in time, at 4\.0"),
        (np.array([(-1.0, 1, 1, 0)], POWER_ROW), r"node 0 go back in time, at -1\.0 s"),
        (np.array([(np.nan, 1, 1, 0)], POWER_ROW), "node 0 go back in time, at nan s"),
        (np.array([(0.0, 1, 1, 2)], POWER_ROW), "name node 2 of 2"),
        (np.array([(1.0, 1.0, 1, 1, -1, 0, 1)], MINUTE_ROW), "name node -1 of 2"),
        (
            np.array([(1.0, 1.0, 1, 1, 0, 7, 1), (1.0, 1.0, 1, 1, 0, 6, 1)], MINUTE_ROW),
            "node 0 go back in time, at minute 6",
        ),
        (
            np.array([(60.0, 60.0, 1, 1, 1, 2, 9), (60.0, 60.0, 1, 1, 1, 10, 1)], MINUTE_ROW),
            "node 1 go back in time, at minute 10",
        ),
    ],
)
def test_rows_that_no_run_can_have_made_are_refused(rows: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count(rows, 1e9)
