"""Bundles: many arrays behind one pointer."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from sim.kernels.bundle import BundleType, array_of, opener, prefetch, table_of

LAYOUT = np.dtype([("seconds", np.float64), ("yes", np.bool_), ("small", np.int8)], align=True)
OTHER = np.dtype([("seconds", np.float64)], align=True)
BUNDLE = BundleType(
    "test", (("one", array_of(LAYOUT)), ("grid", array_of(OTHER, 2)), ("plain", array_of(np.int64)))
)
open_bundle = opener(BUNDLE)


def arrays() -> dict[str, Any]:
    return {
        "one": np.zeros(3, LAYOUT),
        "grid": np.zeros((2, 4), OTHER),
        "plain": np.arange(5),
    }


@numba.njit
def work(table: Any) -> int:
    """Read and write every kind of field."""
    s = open_bundle(table)
    row = s.one[1]
    for place in range(s.grid.shape[1]):
        prefetch(s.grid, (1, place + 100))  # beyond the end: nothing happens
        s.grid[1, place].seconds = place + row.small
        row.small = 7
        row.yes = s.grid[1, place].seconds > 2.0
    s.plain[0] = len(s.one)
    return s.plain[0] + s.plain[4]


def test_kernels_read_and_write_the_arrays_themselves() -> None:
    held = arrays()
    held["one"]["small"][1] = 5
    assert work(table_of(BUNDLE, held)) == 7
    assert held["grid"]["seconds"].tolist() == [[0.0] * 4, [5.0, 8.0, 9.0, 10.0]]
    assert held["one"].tolist() == [(0.0, False, 0), (0.0, True, 7), (0.0, False, 0)]
    assert held["plain"].tolist() == [3, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("one", np.zeros(3, OTHER)),
        ("one", np.zeros((3, 1), LAYOUT)),
        ("grid", np.zeros((4, 2), OTHER).T),
        ("plain", np.arange(5.0)),
        ("plain", np.arange(10)[::2]),
    ],
)
def test_an_array_that_is_not_what_the_bundle_states(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} is .*, not column"):
        table_of(BUNDLE, {**arrays(), name: wrong})


def test_a_layout_without_alignment_is_refused() -> None:
    with pytest.raises(TypeError, match="are not aligned"):
        array_of(np.dtype([("yes", np.bool_), ("seconds", np.float64)]))


def test_a_field_that_no_layout_has() -> None:
    @numba.njit
    def wrong(table: Any) -> float:
        return open_bundle(table).one[0].hours  # type: ignore[no-any-return]

    with pytest.raises(numba.TypingError, match="hours"):
        wrong(table_of(BUNDLE, arrays()))
