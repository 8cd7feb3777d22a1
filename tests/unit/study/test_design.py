"""Drawn points: one in each part of every axis, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from sim.errors import Mark
from sim.spec.span import Span
from sim.study.points import Study, load_study
from tests.unit.study.studies import study_file

DRAWN = """
rackplan: 1
kind: study
name: drawn
base: tiny.yaml
axes:
  pools[chat].replicas: {from: 1, to: 2}
  workload[chat].rate: {from: 1 /s, to: 16 /s, scale: log}
  drain: {from: 10 s, to: 50 s}
  policies.routing: [{kind: round-robin}, {kind: random}, {kind: least-outstanding-requests}]
sampling: {kind: latin-hypercube, points: 12, seed: 4}
seeds: 1
"""


def drawn(folder: Path, text: str = DRAWN) -> Study:
    return load_study(study_file(folder, text))


def number(label: object) -> float:
    return float(str(label).split()[0])


def test_every_axis_has_one_point_in_each_of_its_parts(tmp_path: Path) -> None:
    points = drawn(tmp_path).points
    labels = list(zip(*(point.labels for point in points), strict=True))
    assert Counter(labels[0]) == {1: 6, 2: 6}
    assert Counter(labels[3]) == {"round-robin": 4, "random": 4, "least-outstanding-requests": 4}
    # A part of the logarithm from 1 to 16 is a third of a doubling; values have four digits.
    import math

    parts = sorted(math.log2(number(label)) * 3.0 for label in labels[1])
    assert all(n - 0.01 <= part <= n + 1.01 for n, part in enumerate(parts))
    parts = sorted((number(label) - 10.0) / 40.0 * 12.0 for label in labels[2])
    assert all(n - 0.01 <= part <= n + 1.01 for n, part in enumerate(parts))
    rates = [point.scenario.workloads[0].rate_per_s for point in points]
    assert rates == [pytest.approx(number(label)) for label in labels[1]]


def test_the_seed_alone_decides(tmp_path: Path) -> None:
    labels = [point.labels for point in drawn(tmp_path).points]
    assert [point.labels for point in drawn(tmp_path).points] == labels
    other = drawn(tmp_path, DRAWN.replace("seed: 4", "seed: 5"))
    assert [point.labels for point in other.points] != labels
    # Which points are drawn is seen before anything is run, so it must not move unnoticed.
    assert labels[0] == (1, "12.01 /s", "30.02 s", "round-robin")


@pytest.mark.parametrize(
    ("low", "high", "whole", "log", "share", "value"),
    [
        ("1", "4", True, False, 0.0, 1),
        ("1", "4", True, False, 0.2499, 1),
        ("1", "4", True, False, 0.25, 2),
        ("1", "4", True, False, 0.9999, 4),
        ("1", "15", True, True, 0.5, 4),  # 1 · 16^0.5
        ("100", "10000", False, True, 0.5, 1000.0),
        ("0", "0.3", False, False, 1.0 / 3.0, 0.1),
        ("-10", "10", False, False, 0.12345, -7.53),
    ],
)
def test_a_share_of_a_range(
    low: str, high: str, whole: bool, log: bool, share: float, value: float
) -> None:
    span = Span(Decimal(low), Decimal(high), "", whole, log, Mark("here"))
    assert span.at(share) == value
    assert type(span.at(share)) is (int if whole else float)


def test_a_quantity_keeps_its_unit() -> None:
    span = Span(Decimal("60"), Decimal("90"), "kW", False, False, Mark("here"))
    assert span.at(0.51234) == "75.37 kW"
    assert span.text == "60 kW to 90 kW"
