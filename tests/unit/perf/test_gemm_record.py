"""The record of the matrix-product fit: complete, bounded, and found again from the tables."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sim.catalog.library import load
from sim.errors import DataError
from sim.perf.calibration import device, gemm_constants, read_tree
from sim.perf.gemm_record import M_REGIMES, GemmSpread, gemm_record

GEMM = read_tree("calibration", "kernels.yaml")["gemm"]
RECORD = read_tree("calibration", "gemm_record.yaml")["gemm_record"]
ROWS = [(gpu, dtype) for gpu, row in GEMM.items() for dtype in row]
#: Fits that are made again here, a second each.
AGAIN = (("a100-sxm", "bf16"), ("l40s", "fp8"), ("b200", "fp4"))
#: A search may end a little elsewhere on another machine: relative, of predicted times.
ROUNDING = 0.005


@pytest.fixture
def kernels(shared_data: Path) -> Path:
    """The folder of tables; skipped by name where one is missing."""
    for name in ("aic_gemm_all_gpus.csv", "aic_gemm_h100_sxm.csv"):
        if not (shared_data / "kernels" / name).is_file():
            pytest.skip(f"needs ../shared/data/kernels/{name}, which is missing here")
    return shared_data / "kernels"


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/gemm_errors.py, which made the record."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "tools"))
    import gemm_errors

    return sys.modules[gemm_errors.__name__]


def table_of(errors: ModuleType, folder: Path, gpu: str, precision: str) -> Any:
    return next(
        table
        for table in errors.tables(folder)
        if (table.setup.gpu, table.setup.precision) == (gpu, precision)
    )


def test_every_fit_has_its_record_and_the_other_way_round() -> None:
    assert {gpu: set(row) for gpu, row in RECORD.items()} == {
        g: set(row) for g, row in GEMM.items()
    }


@pytest.mark.parametrize(("gpu", "dtype"), ROWS)
def test_a_record_is_consistent(gpu: str, dtype: str) -> None:
    row = RECORD[gpu][dtype]
    record = gemm_record(gpu, dtype)
    for regimes in (row["by_m"], row["by_weight_bytes"]):
        assert sum(regime["rows"] for regime in regimes.values()) == record.rows
        mean = sum(r["rows"] * r["mape"] for r in regimes.values()) / record.rows
        assert mean == pytest.approx(record.held_out.mape, rel=0.01)
    assert record.held_out.mape == pytest.approx(np.mean(row["mape_of_seeds"]), rel=0.01)
    assert record.in_sample_mape < record.held_out.mape
    assert record.held_out.median < record.held_out.mape < record.held_out.p90
    assert record.held_out.log_p10 < 0 < record.held_out.log_p90
    assert abs(record.held_out.bias) < 0.03


def test_which_errors_a_kernel_gets() -> None:
    record = gemm_record("h100-sxm", "bf16")
    assert [record.errors_at(m) for m in (16, 17, 255, 256, 4096)] == [
        record.by_m[M_REGIMES[at][0]] for at in (0, 1, 1, 2, 3)
    ]
    assert replace(record, by_m={}).errors_at(1) == record.held_out


def test_what_is_outside_is_said() -> None:
    record = gemm_record("b200", "bf16")
    assert record.outside(1, 512, 16384) == ""
    assert record.outside(16384, 64, 131072) == (
        "outside the calibrated region: m 16384 > 8192 measured, n 64 < 512 measured, "
        "k 131072 > 16384 measured"
    )


def test_another_gpus_constants_bring_their_record() -> None:
    assert gemm_record("l4", "bf16") is not gemm_record("h100-sxm", "bf16")
    assert (gemm_record("l4", "bf16").gpu, gemm_record("mi300x", "int8").dtype) == ("l40s", "fp8")
    with pytest.raises(DataError, match="no GEMM constants for fp4 to give h100-sxm"):
        gemm_record("h100-sxm", "fp4")


def test_sampled_factors_have_the_spread_that_is_stated() -> None:
    spread = GemmSpread(constants=0.03, shape=0.04, row=0.05)
    draws = np.random.default_rng(0).standard_normal((20_000, 2))
    logs = np.log([spread.factor(*draw) for draw in draws])
    assert logs.std() == pytest.approx(0.05, rel=0.02)
    assert spread.factor(0, 0) == 1


@pytest.mark.parametrize(("gpu", "dtype"), ROWS)
def test_constants_are_within_their_bounds(errors: ModuleType, gpu: str, dtype: str) -> None:
    from fit_gemm import RANGE

    for name, value in GEMM[gpu][dtype].items():
        scale, low, high, *_ = RANGE[name]
        off = value == (1.0 if name.startswith("gemv_") else 0.0)
        assert off or low * (1 - 1e-3) <= value / scale <= high * (1 + 1e-3), name


@pytest.mark.parametrize(("gpu", "dtype"), AGAIN)
def test_the_fit_is_found_again(errors: ModuleType, kernels: Path, gpu: str, dtype: str) -> None:
    table = table_of(errors, kernels, gpu, dtype)
    setup, rows = table.setup, table.rows
    canonical = load().canonical("precision", dtype)
    assert setup.device == device(load().gpus[gpu], canonical)
    again = setup.predict(rows, table.fit())
    stored = setup.predict(rows, gemm_constants(gpu, dtype))
    np.testing.assert_allclose(again, stored, rtol=ROUNDING)


def test_the_held_out_error_is_found_again(errors: ModuleType, kernels: Path) -> None:
    table = table_of(errors, kernels, "b200", "fp4")
    held = errors.cross_validate(table, [0])
    found = np.abs(np.expm1(held.log_error)).mean()
    assert found == pytest.approx(RECORD["b200"]["fp4"]["mape_of_seeds"][0], rel=0.02)


def test_no_fold_sees_a_shape_that_it_is_tested_on(
    errors: ModuleType, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the fit of the GPU that it is held to."""
    import fit_gemm

    table = table_of(errors, kernels, "h200-sxm", "bf16")
    seen: dict[str, list[set[float]]] = {"h100-sxm": [], "h200-sxm": []}

    def fit(setup: Any, rows: Any, like: Any) -> Any:
        seen[setup.gpu].append(set(rows.pairs()))
        return gemm_constants(setup.gpu, setup.precision)

    monkeypatch.setattr(fit_gemm, "fit", fit)
    held = errors.cross_validate(table, [0])
    assert np.isfinite(held.log_error).all()
    every = set(table.rows.pairs())
    out = [every - part for part in seen["h200-sxm"]]
    assert [len(part) for part in out] == [5] * 5
    assert set.union(*out) == every
    assert all(not part & other for part, other in zip(out, seen["h100-sxm"], strict=True))


def test_an_error_in_the_data_is_split_into_its_parts(errors: ModuleType) -> None:
    """A made-up table whose shapes and rows are off by known amounts."""
    from fit_gemm import Measured

    rng = np.random.default_rng(1)
    n, m = (axis.ravel().astype(float) for axis in np.meshgrid(np.arange(400), np.arange(20)))
    rows = Measured(m, n, n, np.ones_like(n))
    error = 0.08 * rng.standard_normal(400)[n.astype(int)] + 0.03 * rng.standard_normal(len(n))
    folds = error + 0.02 * rng.standard_normal(5)[:, None]
    parts = errors.spread(rows, errors.HeldOut(error[None], folds))
    assert parts["shape"] == pytest.approx(0.08, rel=0.1)
    assert parts["row"] == pytest.approx(0.03, rel=0.05)
    assert 0.01 < parts["constants"] < 0.08
