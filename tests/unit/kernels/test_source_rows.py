"""Rows of a source, filled from columns."""

from __future__ import annotations

import numpy as np
import pytest

from sim.kernels.source_rows import SOURCE_ROW, fill_rows
from sim.workload import build_source
from tests.unit.workload.conftest import make_synthetic, make_workload

NAMES = SOURCE_ROW.names or ()


@pytest.mark.parametrize(
    "changes",
    [
        {"rate_per_s": 40.0, "priority": 3},
        {"rate_per_s": 40.0, "cancel_after_s": 2.0, "cancel_fraction": 0.5},
        {"clients": 7, "think_s": 1.5},
        {"rate_per_s": 40.0, "kind": "embedding"},
    ],
    ids=["open", "impatient", "closed", "embedding"],
)
def test_rows_of_a_chunk(changes) -> None:
    workload = make_workload(synthetic=make_synthetic("synthetic-chat"), **changes)
    chunk = next(build_source(workload, index=0, seed=1, duration_s=2000.0).chunks())
    columns = [getattr(chunk, name) for name in NAMES]
    rows = np.zeros(len(chunk) + 1, SOURCE_ROW)
    fill_rows(rows[:-1], *columns)
    for name, column in zip(NAMES, columns, strict=True):
        np.testing.assert_array_equal(rows[name][:-1], column)
    assert rows[-1] == np.zeros(1, SOURCE_ROW)[0]


def test_columns_of_any_stride() -> None:
    rng = np.random.default_rng(1)
    reals = rng.random((50, 3))
    tokens = rng.integers(0, 2**31 - 1, (3, 100))[:, ::2]
    rows = np.empty(50, SOURCE_ROW)
    fill_rows(rows, *reals.T, *tokens)
    for name, column in zip(NAMES, [*reals.T, *tokens], strict=True):
        np.testing.assert_array_equal(rows[name], column)
