"""Measured attention kernels: reads the tables, and predicts them row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from sim.catalog.types import PRECISION_BYTES, Gpu
from sim.errors import DataError
from sim.perf.attention import (
    Chip,
    Heads,
    PrefillConstants,
    decode_s,
    grouped,
    prefill_s,
)
from sim.perf.layer_constants import chip, decode_constants, prefill_constants
from sim.validate.tables import (
    Columns,
    Floats,
    Line,
    Mask,
    columns,
    gpu_of,
    groups,
    lines_of,
    precision_of,
    take,
)
from sim.validate.timings import Found, Timings, held_out, seen_shapes

_HEADS = ("head_dim", "n_q", "n_kv", "batch_size")
DECODE_COLUMNS = ("kv_cache_dtype", *_HEADS, "kv_len", "latency_ms")
PREFILL_COLUMNS = ("attn_dtype", "kv_cache_dtype", *_HEADS, "isl", "latency_ms")


def heads_table(path: Path, lines: list[Line], length: str) -> Columns:
    """Columns of these rows: those of heads and batches, ``length``, ``shape`` and ``group``.

    Raises:
        DataError: a cell that is no number above 0, or KV heads that do not divide the others.
    """
    table = columns(path, lines, (*_HEADS, length))
    table["shape"] = np.array(
        [f"{d:g}/{q:g}/{kv:g}"
         for d, q, kv in zip(table["head_dim"], table["n_q"], table["n_kv"], strict=True)]
    )  # fmt: skip
    table["group"] = table["n_q"] / table["n_kv"]
    if (uneven := table["group"] % 1 != 0).any():
        number = lines[int(uneven.argmax())][0]
        raise DataError(str(path), "column 'n_kv': KV heads must divide those of 'n_q'", number)
    return table


def by_shape(table: Columns, run: Callable[[Heads, Columns], Floats]) -> Floats:
    """[n] what ``run(heads, rows of the table)`` says, called once for each shape of heads."""
    out = np.empty(len(table["seconds"]))
    for shape in np.unique(table["shape"]):
        mask = table["shape"] == shape
        some = take(table, mask)
        heads = Heads(int(some["n_q"][0]), int(some["n_kv"][0]), float(some["head_dim"][0]))
        out[mask] = run(heads, some)
    return out


def by_grouped(table: Columns, kv_bytes: float, sms: int) -> Mask:
    """[n] whether the grouped kernel of decoding runs."""
    which = by_shape(
        table, lambda heads, t: grouped(heads, t["batch_size"], t["kv_len"], kv_bytes, sms)
    )
    return which > 0


def decode_regimes(table: Columns, kv_bytes: float) -> dict[str, Mask]:
    """Parts of decoding in which other things decide."""
    kv_mb = 2 * table["batch_size"] * table["kv_len"] * table["n_kv"] * table["head_dim"]
    kv_mb = kv_mb * kv_bytes / 1e6
    group = table["group"]
    return {
        "KV > 20 MB": kv_mb > 20,
        "KV > 100 MB": kv_mb > 100,
        "groups 2-16": (group >= 2) & (group <= 16),
        "groups 17-32": (group > 16) & (group <= 32),
        "groups > 32": group > 32,
        "group 1": group == 1,
    }


def prefill_regimes(table: Columns) -> dict[str, Mask]:
    """Parts of prefill in which other things decide."""
    return {
        "> 100 us": table["seconds"] > 1e-4,
        "> 100 us, isl >= 512": (table["seconds"] > 1e-4) & (table["isl"] >= 512),
        "head dimension 64": table["head_dim"] == 64,
        "head dimension 128": table["head_dim"] == 128,
    }


def decode_timings(path: Path) -> Found:
    """Decode attention of a table with ``DECODE_COLUMNS``, by GPU, kernel and precision of KV.

    A table without a column ``gpu`` is of the one that its file's name says. All products are in
    16 bits, whatever a column ``attn_dtype`` says of 16-bit types.

    Raises:
        DataError: a cell that is not what its column says.
    """
    found = Found()
    for (name, dtype), lines in groups(lines_of(path), "gpu", "kv_cache_dtype").items():
        gpu, kv = gpu_of(name, path, "aic_attn_decode_"), precision_of(dtype)
        if gpu is None or kv is None:
            found.skipped.append(_unknown(path, name, lines, gpu, dtype))
            continue
        size = PRECISION_BYTES[kv]
        table = heads_table(path, lines, "kv_len")
        runs_grouped = by_grouped(table, size, gpu.sms)
        for kernel, mask in (("grouped", runs_grouped), ("single", ~runs_grouped)):
            if not mask.any():
                continue
            some = take(table, mask)
            one = partial(_decode_s, gpu=gpu, kv=kv, single=kernel == "single")
            regimes = decode_regimes(some, size)
            found.timings.append(_timings(
                path, "attention-decode", gpu, f"{kernel} kv {kv}", some, "kv_len", regimes,
                by_shape(some, one),
            ))  # fmt: skip
    return found


def _decode_s(heads: Heads, table: Columns, gpu: Gpu, kv: str, *, single: bool) -> Floats:
    c = decode_constants(gpu.name, kv, single=single)
    return decode_s(
        table["batch_size"], table["kv_len"], heads, PRECISION_BYTES[kv], c, chip(gpu),
        single=single,
    )  # fmt: skip


def prefill_timings(path: Path) -> Found:
    """Causal attention of whole prompts of a table with ``PREFILL_COLUMNS``, by GPU and types.

    Raises:
        DataError: a cell that is not what its column says.
    """
    found = Found()
    keys = ("gpu", "attn_dtype", "kv_cache_dtype")
    for (name, products, dtype), lines in groups(lines_of(path), *keys).items():
        gpu = gpu_of(name, path, "aic_attn_prefill_")
        precision, kv = precision_of(products), precision_of(dtype)
        both = f"{products} with KV in {dtype}"
        if gpu is None or precision is None or kv is None or precision not in gpu.peak_flops:
            found.skipped.append(_unknown(path, name, lines, gpu, both))
            continue
        try:
            c = prefill_constants(gpu.name, precision, kv)
        except DataError:
            found.skipped.append(_unknown(path, name, lines, gpu, both))
            continue
        table = heads_table(path, lines, "isl")
        one = partial(_prefill_s, c=c, device=chip(gpu, precision))
        found.timings.append(_timings(
            path, "attention-prefill", gpu, f"{precision}-kv-{kv}", table, "isl",
            prefill_regimes(table), by_shape(table, one),
        ))  # fmt: skip
    return found


def _prefill_s(heads: Heads, table: Columns, c: PrefillConstants, device: Chip) -> Floats:
    return prefill_s(table["batch_size"], table["isl"], heads, c, device)


def _timings(
    path: Path, kind: str, gpu: Gpu, kernel: str, table: Columns, length: str,
    regimes: Mapping[str, Mask], predicted_s: Floats,
) -> Timings:  # fmt: skip
    name = f"{kind} {gpu.name} {kernel}"
    return Timings(
        path.name, kind, gpu.name, kernel, table["shape"],
        {column: table[column] for column in (*_HEADS, length)}, regimes,
        seen_shapes(name, table["shape"]), table["seconds"], predicted_s, held_out(name),
    )  # fmt: skip


def _unknown(path: Path, name: str, lines: list[Line], gpu: Gpu | None, dtype: str) -> str:
    """Why these rows have no prediction."""
    what = f"{path.name}: {len(lines)} rows of attention"
    if gpu is None:
        return f"{what}, no GPU {name or path.stem} in the catalog"
    return f"{what}, no constants for {dtype} on {gpu.name}"
