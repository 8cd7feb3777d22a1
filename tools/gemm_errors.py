"""Errors of matrix products on shapes that their fit has not seen (run by ``fit_perf.py``).

    python tools/gemm_errors.py FOLDER GPU

prints what each part of the structure buys: held-out errors without it, or with another
generation's tiles. Five folds with whole (n, k) pairs held out, for several seeds of the folds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fit_gemm import AMPERE, BLACKWELL, HOPPER, Measured, Setup, Table, as_row, tables
from numpy.typing import NDArray

from sim.perf.gemm import GemmConstants
from sim.perf.gemm_record import M_REGIMES, WEIGHT_REGIMES

FOLDS = 5
#: Seeds of the folds. The H100's table has seven times as many shapes: one seed says as much.
SEEDS = (0, 1, 2)
MANY_ROWS = 1000
WORKERS = 2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """Log of predicted over measured by (seed, row), and all rows predicted by each fold's fit."""

    log_error: Floats  # [seeds, rows]
    log_of_fold: Floats  # [seeds * folds, rows]


def seeds_for(rows: Measured) -> tuple[int, ...]:
    return SEEDS[:1] if len(rows.m) > MANY_ROWS else SEEDS


def cross_validate(table: Table, seeds: Sequence[int]) -> HeldOut:
    """Every row predicted by the fit that has not seen its (n, k), for each seed."""
    rows = table.rows
    pairs = rows.pairs()
    errors = np.empty((len(seeds), len(pairs)))
    folds: list[Floats] = []
    for at, seed in enumerate(seeds):
        order = np.random.default_rng(seed).permutation(np.unique(pairs))
        for fold in range(FOLDS):
            held = np.isin(pairs, order[fold::FOLDS])
            constants = table.fit(pairs[held])
            log = np.log(table.setup.predict(rows, constants) / rows.seconds)
            errors[at, held] = log[held]
            folds.append(log)
    return HeldOut(errors, np.array(folds))


def figures(log_error: Floats) -> dict[str, float]:
    """Of [seeds, rows]: relative errors, and the tenths of log(measured/predicted)."""
    relative = np.expm1(log_error)
    size = np.abs(relative)
    return _short(
        mape=size.mean(),
        median=np.median(size),
        p90=np.quantile(size, 0.9),
        bias=relative.mean(),
        log_p10=np.quantile(-log_error, 0.1),
        log_p90=np.quantile(-log_error, 0.9),
    )


def record_of(table: Table, constants: GemmConstants) -> dict[str, object]:
    """The record of one (GPU, dtype): see ``sim.perf.gemm_record``."""
    setup, rows = table.setup, table.rows
    seeds = seeds_for(rows)
    held = cross_validate(table, seeds)
    inside = np.expm1(np.log(setup.predict(rows, constants) / rows.seconds))
    by_seed = np.abs(np.expm1(held.log_error)).mean(axis=1)
    weights = rows.n * rows.k * setup.size
    return {
        "table_dtype": setup.table_dtype,
        "rows": len(rows.m),
        "pairs": len(np.unique(rows.pairs())),
        "seeds": len(seeds),
        "mape_of_seeds": [float(f"{value:.4f}") for value in by_seed],
        "in_sample": _short(mape=np.abs(inside).mean(), bias=inside.mean()),
        "held_out": figures(held.log_error),
        "by_m": _by(M_REGIMES, rows.m, held.log_error),
        "by_weight_bytes": _by(WEIGHT_REGIMES, weights, held.log_error),
        "region": {
            name: [int(column.min()), int(column.max())]
            for name, column in (("m", rows.m), ("n", rows.n), ("k", rows.k))
        },
        "log_sd": spread(rows, held),
    }


def spread(rows: Measured, held: HeldOut) -> dict[str, float]:
    """Where the log error comes from, as three independent parts.

    ``constants``: what the choice of measured shapes does to the fit, by the jackknife over the
    folds: their common shift, root mean square over rows. ``shape``: what all rows of one (n, k)
    share; ``row``: what is left, mostly the library's choice of tiles (one-way analysis of variance
    of the held-out errors).
    """
    per_seed = held.log_of_fold.reshape(len(held.log_error), FOLDS, -1)
    around = per_seed - per_seed.mean(axis=1, keepdims=True)
    variance = (FOLDS - 1) / FOLDS * (around**2).sum(axis=1).mean()
    error = held.log_error.mean(axis=0)
    _, group = np.unique(rows.pairs(), return_inverse=True)
    counts = np.bincount(group)
    means = np.bincount(group, error) / counts
    within = ((error - means[group]) ** 2).sum() / (len(error) - len(counts))
    between = max(0.0, means.var(ddof=1) - within * (1 / counts).mean())
    return _short(constants=variance**0.5, shape=between**0.5, row=within**0.5)


def _by(
    regimes: Sequence[tuple[str, float, float]], values: Floats, log_error: Floats
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, low, high in regimes:
        inside = (values >= low) & (values < high)
        if inside.any():
            found[name] = {"rows": int(inside.sum()), **figures(log_error[:, inside])}
    return found


def _short(**values: float) -> dict[str, float]:
    return {name: float(f"{value:.4f}") for name, value in values.items()}


def line_of(setup: Setup, record: dict[str, object]) -> str:
    """One line for people."""
    held, inside = record["held_out"], record["in_sample"]
    assert isinstance(held, dict)
    assert isinstance(inside, dict)
    return (
        f"{setup.gpu} {setup.precision}: {record['rows']} rows, MAPE held out"
        f" {100 * held['mape']:.1f} % (median {100 * held['median']:.1f}, P90"
        f" {100 * held['p90']:.1f}, bias {100 * held['bias']:+.1f}), in sample"
        f" {100 * inside['mape']:.1f} %"
    )


Gemm = dict[str, dict[str, dict[str, float]]]
Records = dict[str, dict[str, dict[str, object]]]


def fit_all(folder: Path) -> tuple[Gemm, Records, list[str]]:
    """Constants and record by GPU and dtype, and a line on the error of each."""
    gemm: Gemm = {}
    records: Records = {}
    lines: list[str] = []
    with ProcessPoolExecutor(max_workers=WORKERS) as pool:
        for setup, constants, record in pool.map(_fit_one, tables(folder)):
            lines.append(line_of(setup, record))
            print(lines[-1], file=sys.stderr, flush=True)
            gemm.setdefault(setup.gpu, {})[setup.precision] = constants
            records.setdefault(setup.gpu, {})[setup.precision] = record
    return gemm, records, lines


def _fit_one(table: Table) -> tuple[Setup, dict[str, float], dict[str, object]]:
    row = as_row(table.fit())
    return table.setup, row, record_of(table, GemmConstants(**row))


def variants(table: Table) -> Iterator[tuple[str, Table]]:
    """The table with one thing of its fit changed at a time."""
    setup = table.setup
    yield "as it is", table
    if table.like:
        yield f"not held to {table.like.setup.gpu}", replace(table, like=None)
    for name in ("tail", "stairs", "gemv"):
        if name in setup.free:
            free = tuple(field for field in setup.free if not field.startswith(name))
            yield f"no {name}", _with(table, free=free)
        else:
            added = (name, "gemv_n", "gemv_k") if name == "gemv" else (name,)
            yield f"with {name}", _with(table, free=(*setup.free, *added))
    for name, library in (("Hopper", HOPPER), ("Ampere", AMPERE), ("Blackwell", BLACKWELL)):
        device = replace(setup.device, tiles=library.tiles)
        if device != setup.device:
            yield f"tiles of {name}", _with(table, device=device)
    for splits in ((1,), (1, 2, 4), (1, 2, 4, 8, 16)):
        if splits != setup.device.splits:
            yield f"splits {splits}", _with(table, device=replace(setup.device, splits=splits))


def _with(table: Table, **changes: Any) -> Table:
    like = _with(table.like, **changes) if table.like and "free" in changes else table.like
    return replace(table, setup=replace(table.setup, **changes), like=like)


def ablate(folder: Path, gpu: str) -> None:
    """Prints the held-out error of every variant of every dtype of this GPU."""
    for table in tables(folder):
        if table.setup.gpu != gpu:
            continue
        for name, variant in variants(table):
            held = cross_validate(variant, seeds_for(table.rows))
            errors = 100 * np.abs(np.expm1(held.log_error)).mean(axis=1)
            figures = f"{errors.mean():.2f} % {errors.round(2)}"
            print(f"{gpu} {table.setup.precision} {name}: {figures}", flush=True)


if __name__ == "__main__":
    ablate(Path(sys.argv[1]), sys.argv[2])
