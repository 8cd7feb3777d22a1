"""How far to trust the times of matrix products: the record of their fit, as frozen rows.

``data/calibration/gemm_record.yaml`` holds, for each (GPU, dtype) with constants of its own, the
errors on whole (n, k) shapes that the fit had not seen, by regime of m and of weight bytes, the
region that was measured, and where the error comes from. ``tools/gemm_errors.py`` writes it.

To sample the uncertainty of times honestly (``GemmSpread.factor``): what the choice of measured
shapes does to the constants moves all products of a GPU and dtype together, what the form misses of
one shape moves that (n, k) at every m, and what is left, mostly the library's choice of tiles, is
another draw at every m. The first two are whole factors on time, so a sampled time stays continuous
and non-decreasing in m. The third averages out over the batches that a run goes through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf
from typing import Any

from sim.errors import DataError
from sim.perf.calibration import gemm_owner, read_row, read_tree

FILE = ("calibration", "gemm_record.yaml")
#: Name, from, below.
M_REGIMES = (
    ("m <= 16", 0.0, 17.0),
    ("m 17-255", 17.0, 256.0),
    ("m 256-4095", 256.0, 4096.0),
    ("m >= 4096", 4096.0, inf),
)
WEIGHT_REGIMES = (
    ("weights < 8 MB", 0.0, 8e6),
    ("weights 8-64 MB", 8e6, 64e6),
    ("weights >= 64 MB", 64e6, inf),
)


@dataclass(frozen=True)
class GemmErrors:
    """Relative errors (predicted/measured - 1) of held-out rows.

    ``log_p10`` and ``log_p90`` are the tenth and ninetieth percentile of log(measured/predicted):
    of ten measured times about eight are between time·exp(log_p10) and time·exp(log_p90).
    """

    mape: float
    median: float
    p90: float
    bias: float
    log_p10: float
    log_p90: float


@dataclass(frozen=True)
class GemmSpread:
    """Standard deviations of log time, of independent parts of the error."""

    constants: float  # common to all products of the (GPU, dtype)
    shape: float  # common to all m of one (n, k)
    row: float  # of each (m, n, k)

    def factor(self, common: float, of_shape: float) -> float:
        """The factor on the times of one (n, k), from two standard normal draws.

        ``common`` is drawn once for a (GPU, dtype), ``of_shape`` once for each of its (n, k).
        """
        return exp(self.constants * common + self.shape * of_shape)


@dataclass(frozen=True)
class GemmRecord:
    """The record of one (GPU, dtype)."""

    gpu: str
    dtype: str
    table_dtype: str  # the dtype's name in the measured table
    rows: int
    pairs: int
    held_out: GemmErrors
    in_sample_mape: float
    by_m: Mapping[str, GemmErrors]
    by_weight_bytes: Mapping[str, GemmErrors]
    region: Mapping[str, tuple[int, int]]  # of m, n, k
    log_sd: GemmSpread

    def errors_at(self, m: float) -> GemmErrors:
        """Errors of the regime of ``m``; of all rows where that regime was not measured."""
        name = next(name for name, _, below in M_REGIMES if m < below)
        return self.by_m.get(name, self.held_out)

    def outside(self, m: int, n: int, k: int) -> str:
        """Which of m, n and k leave the measured region, and how; empty if none does."""
        parts = []
        for name, value in (("m", m), ("n", n), ("k", k)):
            low, high = self.region[name]
            if value > high:
                parts.append(f"{name} {value} > {high} measured")
            elif value < low:
                parts.append(f"{name} {value} < {low} measured")
        return f"outside the calibrated region: {', '.join(parts)}" if parts else ""


@lru_cache(maxsize=64)
def gemm_record(gpu: str, precision: str) -> GemmRecord:
    """The record of the constants that this GPU uses for this precision, its own or another's.

    Raises:
        DataError: no constants to give it, or a record that does not belong to the constants.
    """
    name, kind = gemm_owner(gpu, precision)
    where = f"gemm_record.{name}.{kind}"
    try:
        row = read_tree(*FILE)["gemm_record"][name][kind]
        return GemmRecord(
            gpu=name,
            dtype=kind,
            table_dtype=str(row["table_dtype"]),
            rows=int(row["rows"]),
            pairs=int(row["pairs"]),
            held_out=_errors(row["held_out"], f"{where}.held_out"),
            in_sample_mape=float(row["in_sample"]["mape"]),
            by_m=_regimes(row["by_m"], f"{where}.by_m"),
            by_weight_bytes=_regimes(row["by_weight_bytes"], f"{where}.by_weight_bytes"),
            region={axis: (int(low), int(high)) for axis, (low, high) in row["region"].items()},
            log_sd=read_row(GemmSpread, row["log_sd"], FILE, f"{where}.log_sd"),
        )
    except KeyError as error:
        raise DataError("/".join(FILE), f"{where}: no key {error}") from error


def _regimes(rows: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, GemmErrors]:
    return {name: _errors(row, f"{where}.{name}") for name, row in rows.items()}


def _errors(row: Mapping[str, Any], where: str) -> GemmErrors:
    figures = {name: value for name, value in row.items() if name != "rows"}
    return read_row(GemmErrors, figures, FILE, where)
