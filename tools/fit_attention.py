"""Fits decode and prefill attention on the H100 (run by ``fit_layers.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from layer_fits import Form, Ranges, record, rounded

from sim.catalog.library import load
from sim.perf.attention import (
    Chip,
    DecodeConstants,
    PrefillConstants,
    decode_s,
    prefill_s,
)
from sim.validate.attention import (
    by_grouped,
    by_shape,
    decode_regimes,
    heads_table,
    prefill_regimes,
)
from sim.validate.tables import Columns, Floats, lines_of, take

GPU = "h100-sxm"
US = 1e-6
GROUPED: Ranges = {
    "launch_s": (US, 2, 6, 12),
    "launch_64": (1, 0.7, 1, 1.5),
    "wait_s": (US, 0, 1, 10),
    "wait_tokens": (1, 16, 100, 256),
    "split_s": (US, 0, 0.3, 3),
    "norm": (1, 1, 3, 8),
    "bandwidth": (1, 0.7, 0.95, 1),
    "bandwidth_64": (1, 0.6, 1, 1.2),
    "ramp_s": (US, 0, 6, 40),
    "ramp_bytes": (1e6, 5, 45, 70),
    "group_loss": (1, 0, 0.1, 1),
    "block_s": (US, 0.5, 8, 30),
    "block_64": (1, 0.3, 1, 1.5),
    "block_16": (1, 0, 0.1, 1),
    "block_32": (1, 0, 0.5, 4),
}
SINGLE: Ranges = {
    "launch_s": (US, 2, 6, 12),
    "launch_64": (1, 0.7, 1, 1.5),
    "wait_s": (US, 0, 0.5, 10),
    "wait_tokens": (1, 16, 32, 256),
    "split_s": (US, 0, 1, 5),
    "norm": (1, 1, 3, 8),
    "bandwidth": (1, 0.7, 0.95, 1),
    "bandwidth_64": (1, 0.6, 1, 1.2),
    "ramp_s": (US, 0, 10, 40),
    "ramp_bytes": (1e6, 5, 45, 70),
    "block_s": (US, 0.5, 5, 30),
    "block_context_s": (US, 0, 1, 5),
    "block_64": (1, 0.3, 1, 1.5),
    "l2": (1, 1, 2, 6),
}
PREFILL: Ranges = {
    "launch_s": (US, 2, 10, 15),
    "log_s": (US, 0, 0.4, 5),
    "compute": (1, 0.3, 0.8, 1),
    "softmax_s": (US, 0, 0.45, 3),
    "row_s": (US, 0, 3.6, 8),
    "tail": (1, 0, 0.5, 1),
    "bandwidth": (1, 0.3, 0.8, 1),
    "throttle": (1, 0, 0.06, 0.3),
    "throttle_s": (1e-3, 0.5, 1, 10),
}
KV_BYTES = {"bfloat16": 2.0, "fp8": 1.0}
NAMES = {"bfloat16": "bf16", "fp8": "fp8"}


def chip(precision: str) -> Chip:
    gpu = load().gpus[GPU]
    return Chip(gpu.sms, gpu.memory_bandwidth_bytes_per_s, gpu.peak_flops[precision])


def _table(path: Path, length: str, keys: Mapping[str, str]) -> Columns:
    lines = [line for line in lines_of(path) if all(line[1][k] == v for k, v in keys.items())]
    return heads_table(path, lines, length)


def decode(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Constants by kernel and precision of KV, and the record of each."""
    constants: dict[str, Any] = {"grouped": {}, "single": {}}
    records = []
    device = chip("bf16")
    for dtype, size in KV_BYTES.items():
        table = _table(folder / "aic_attn_decode_h100_sxm.csv", "kv_len", {"kv_cache_dtype": dtype})
        which = by_grouped(table, size, device.sms)
        errors, group = {}, {}
        for kernel, ranges in (("grouped", GROUPED), ("single", SINGLE)):
            some = take(table, which if kernel == "grouped" else ~which)
            fixed = dict.fromkeys(
                ("group_loss", "block_16", "block_32", "block_context_s", "l2"), 0.0
            )
            form = Form(
                ranges, {n: v for n, v in fixed.items() if n not in ranges},
                partial(_decode, size=size, device=device, single=kernel == "single"),
            )  # fmt: skip
            off = form.held_out(some, some["shape"])
            found = form.fit(some)
            inside = form.seconds(found, some) / some["seconds"] - 1
            constants[kernel][NAMES[dtype]] = rounded(DecodeConstants, found)
            errors[kernel], group[kernel] = off, some
            regimes = decode_regimes(some, size)
            records.append(
                record(
                    f"attention-decode {GPU} {kernel} kv {NAMES[dtype]}", some, some["shape"],
                    off, inside, regimes, ("batch_size", "kv_len", "head_dim", "n_q", "n_kv"),
                )
            )  # fmt: skip
        both = np.concatenate([errors[k] for k in errors])
        every = {n: np.concatenate([group[k][n] for k in group]) for n in table}
        usual = (every["group"] >= 2) & (every["group"] <= 16)
        records.append(
            record(
                f"attention-decode {GPU} groups 2-16, kernel by rule, kv {NAMES[dtype]}",
                take(every, usual), every["shape"][usual], both[usual], both[usual],
                {name: part for name, part in decode_regimes(take(every, usual), size).items()
                 if name.startswith("KV")},
                ("batch_size", "kv_len", "head_dim", "n_q", "n_kv"),
            )
        )  # fmt: skip
    return constants, records


def _decode(
    values: Mapping[str, float], table: Columns, *, size: float, device: Chip, single: bool
) -> Floats:
    c = DecodeConstants(**values)
    return by_shape(
        table,
        lambda heads, t: decode_s(
            t["batch_size"], t["kv_len"], heads, size, c, device, single=single
        ),
    )


def prefill(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Constants by precision of products and of KV, and the record of each."""
    constants: dict[str, Any] = {}
    records = []
    for dtype, kv in (("bfloat16", "bfloat16"), ("bfloat16", "fp8"), ("fp8", "fp8")):
        device = chip(NAMES[dtype])
        table = _table(
            folder / "aic_attn_prefill_h100_sxm.csv", "isl",
            {"attn_dtype": dtype, "kv_cache_dtype": kv},
        )  # fmt: skip
        form = Form(PREFILL, {}, partial(_prefill, device=device))
        off = form.held_out(table, table["shape"])
        found = form.fit(table)
        inside = form.seconds(found, table) / table["seconds"] - 1
        name = f"{NAMES[dtype]}-kv-{NAMES[kv]}"
        constants[name] = rounded(PrefillConstants, found)
        regimes = prefill_regimes(table)
        records.append(
            record(
                f"attention-prefill {GPU} {name}", table, table["shape"], off, inside, regimes,
                ("batch_size", "isl", "head_dim", "n_q", "n_kv"),
            )
        )  # fmt: skip
    return constants, records


def _prefill(values: Mapping[str, float], table: Columns, *, device: Chip) -> Floats:
    c = PrefillConstants(**values)
    return by_shape(table, lambda heads, t: prefill_s(t["batch_size"], t["isl"], heads, c, device))
