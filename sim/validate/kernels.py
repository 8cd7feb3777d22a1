"""Measured matrix products against the model of kernels: errors by GPU, data type and shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.catalog.library import fold, load
from sim.catalog.types import PRECISION_BYTES
from sim.errors import UnknownName
from sim.perf.calibration import device, gemm_constants, gemm_dtypes
from sim.perf.gemm import gemm_s
from sim.validate.tables import lines_of, number

Floats = NDArray[np.float64]
COLUMNS = ("dtype", "m", "n", "k", "latency_ms")
#: Products narrower than this are no layer of an LLM; the constants were not fitted to them.
NARROW = 512


@dataclass(frozen=True)
class Products:
    """Measured products [m, k] x [k, n] of one GPU and data type, and their predictions."""

    file: str
    gpu: str
    dtype: str
    m: NDArray[np.int64]
    n: NDArray[np.int64]
    k: NDArray[np.int64]
    measured_s: Floats
    predicted_s: Floats

    @property
    def errors(self) -> Floats:
        """Relative errors."""
        off: Floats = self.predicted_s / self.measured_s - 1
        return off


def is_products(columns: set[str]) -> bool:
    """Whether a table with these columns is one of matrix products."""
    return set(COLUMNS) <= columns


def products(path: Path) -> Iterator[Products]:
    """The products of a table by GPU and data type, narrow ones left out.

    A table without a column ``gpu`` is of the one that its file's name says.

    Raises:
        DataError: a cell that is no number above 0.
    """
    groups: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for line in lines_of(path):
        row = line[1]
        name = row.get("gpu") or path.stem.removeprefix("aic_gemm_")
        m, n, k, latency_ms = (number(path, line, column) for column in COLUMNS[1:])
        if min(n, k) >= NARROW:
            groups.setdefault((name, row["dtype"]), []).append((m, n, k, latency_ms))
    for (name, dtype), rows in groups.items():
        found = _predicted(path, name, dtype, np.array(rows))
        if found is not None:
            yield found


def _predicted(path: Path, name: str, dtype: str, rows: Floats) -> Products | None:
    """None where the catalog has no such GPU, or it has no constants of its own."""
    catalog = load()
    try:
        gpu = catalog.gpus[catalog.canonical("gpu", name)]
        precision = catalog.canonical("precision", dtype)
    except UnknownName:
        return None
    own = next((d for d in gemm_dtypes(gpu.name) if fold(d) == fold(dtype)), None)
    if own is None and precision in gemm_dtypes(gpu.name):
        own = precision
    if own is None or precision not in gpu.peak_flops:
        return None
    m, n, k = (rows[:, i].astype(np.int64) for i in range(3))
    predicted = np.empty(len(rows))
    constants, size = gemm_constants(gpu.name, own), PRECISION_BYTES[precision]
    for shape in {(int(a), int(b)) for a, b in zip(n, k, strict=True)}:
        here = (n == shape[0]) & (k == shape[1])
        predicted[here] = gemm_s(
            rows[here, 0], *shape, constants, device(gpu, precision, own),
            weight_bytes=size, activation_bytes=size,
        )  # fmt: skip
    return Products(path.name, gpu.name, dtype, m, n, k, rows[:, 3] / 1e3, predicted)
