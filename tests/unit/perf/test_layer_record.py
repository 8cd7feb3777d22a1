"""data/calibration/layers.yaml: every kernel has a record, no constant defies physics."""

from __future__ import annotations

from dataclasses import fields

import pytest

from sim.errors import DataError
from sim.perf.attention import DecodeConstants, PrefillConstants
from sim.perf.calibration import read_tree
from sim.perf.experts import NODES
from sim.perf.layer_constants import (
    decode_constants,
    expert_constants,
    expert_kernels,
    fit_of,
    prefill_constants,
)

TREE = read_tree("calibration", "layers.yaml")


def test_every_record_says_how_good_its_fit_is() -> None:
    names = [line["kernel"] for line in TREE["record"]["kernels"]]
    assert len(names) == len(set(names)) >= 25
    for line in TREE["record"]["kernels"]:
        held = line["held_out"]
        assert held["rows"] > 0
        assert line["shapes"] >= 3
        assert 0 < held["median_pct"] <= held["p90_pct"] < 60, line["kernel"]
        assert 0 < held["mape_pct"] <= held["p90_pct"]
        assert 0 < held["spread_log"] < 0.6
        assert abs(held["bias_pct"]) < held["mape_pct"]
        assert all(low <= high for low, high in line["calibrated"].values())
        assert all(some["rows"] <= held["rows"] for some in line["regimes"].values())


def test_every_kernel_has_its_record() -> None:
    for kernel in ("grouped kv bf16", "grouped kv fp8", "single kv bf16", "single kv fp8"):
        assert fit_of("attention-decode", "h100-sxm", kernel).own
    for kind in ("bf16-kv-bf16", "bf16-kv-fp8", "fp8-kv-fp8"):
        assert not fit_of("attention-prefill", "l40s", kind).own
    for gpu in ("h100-sxm", "h200-sxm", "b200"):
        for kernel in TREE["experts"][gpu]:
            fit = fit_of("moe", gpu, kernel)
            assert fit.own
            assert 0.03 < fit.mape < 0.25
            assert fit.calibrated["num_tokens"] == (1, 16384)


def test_goals_of_the_fits() -> None:
    """Held out, within a tenth of what was published of the same rows."""
    for kernel, goal in (
        ("attention-decode h100-sxm groups 2-16, kernel by rule, kv bf16", 12.4),
        ("attention-decode h100-sxm groups 2-16, kernel by rule, kv fp8", 12.4),
        ("attention-prefill h100-sxm bf16-kv-bf16", 9.7),
        ("moe h100-sxm bf16", 8.9), ("moe h100-sxm fp8", 9.5), ("moe h200-sxm fp8", 10.6),
        ("moe b200 bf16", 9.5), ("moe b200 fp8", 12.9), ("moe b200 fp4", 18.2),
    ):  # fmt: skip
        line = next(x for x in TREE["record"]["kernels"] if x["kernel"] == kernel)
        assert line["held_out"]["mape_pct"] <= goal


def test_shares_and_times_are_possible() -> None:
    rows: list[DecodeConstants | PrefillConstants] = [
        decode_constants("h100-sxm", kv, single=single)
        for kv in ("bf16", "fp8")
        for single in (True, False)
    ]
    rows += [
        prefill_constants("h100-sxm", products, kv)
        for products, kv in (("bf16", "bf16"), ("bf16", "fp8"), ("fp8", "fp8"))
    ]
    for row in rows:
        assert 0 < row.bandwidth <= 1
        assert getattr(row, "compute", 1.0) <= 1
        for field in fields(row):
            if field.name.endswith("_s"):
                assert 0 <= getattr(row, field.name) <= 1e-2
    for gpu, table in TREE["experts"].items():
        for kernel in table:
            c = expert_constants(gpu, kernel)
            assert 0 < c.compute <= 1
            assert 0 < c.bandwidth <= 1
            assert len(c.correction) in (0, len(NODES))


def test_what_a_gpu_lacks_it_takes_from_its_donor() -> None:
    assert expert_constants("gb200", "fp4") == expert_constants("b200", "fp4")
    assert expert_constants("a100-sxm", "bf16") == expert_constants("h100-sxm", "bf16")
    assert "fp4" in expert_kernels("gb200")
    assert "fp4" not in expert_kernels("h200-sxm")
    with pytest.raises(DataError, match="no constants of experts in fp4 to give l40s"):
        expert_constants("l40s", "fp4")
    with pytest.raises(DataError, match="not fp8-kv-bf16"):
        prefill_constants("h100-sxm", "fp8", "bf16")
