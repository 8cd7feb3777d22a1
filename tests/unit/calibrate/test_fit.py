"""From measurements to constants: what the fits recover, and what they say they cannot."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from sim.calibrate.fit import as_tree, fit, write
from sim.calibrate.folds import folds
from sim.calibrate.gemm_form import BOUNDS, GemmFit, fit_gemm
from sim.calibrate.kernel import Kernel
from sim.calibrate.read import read
from sim.calibrate.roofline import Roofline, fit_family
from sim.catalog.library import load
from sim.errors import DataError, RackplanError
from sim.perf.calibration import device, gemm_constants
from sim.perf.gemm import GemmConstants, gemm_s
from sim.perf.own import own_constants
from tests.unit.calibrate.made_up import MadeUpDevice
from tests.unit.calibrate.test_record import start

SHAPES = [(n, k) for n in (1024, 4096, 14336) for k in (1024, 4096, 8192)]
ROWS = (1, 16, 128, 512, 2048, 8192)
A100 = ("a100_sxm", "bfloat16")


def noisy(times: list[float], noise: float = 0.02) -> list[float]:
    rng = np.random.default_rng(0)
    return [float(t * np.exp(noise * rng.standard_normal())) for t in times]


def test_a_roofline_is_recovered() -> None:
    true = Roofline(5e-6, 3e14, 2e12, 2.5)
    kernels = [Kernel("gemm", "bf16", (m, n, k)) for n, k in SHAPES for m in ROWS]
    flops, moved = (
        np.array([getattr(k.work, name) for k in kernels]) for name in ("flops", "bytes")
    )
    found = fit_family(kernels, noisy(true.seconds(flops, moved).tolist()))
    assert found is not None
    for name, value in asdict(true).items():
        assert getattr(found.constants, name) == pytest.approx(value, rel=0.15)
    assert found.held_out is not None
    assert found.held_out.mean < 0.025  # of the noise of 2 %, nothing is left to explain
    assert (found.rows, found.shapes, found.unsure) == (54, 9, ())


def test_what_the_timings_do_not_tell_is_said() -> None:
    """Copies of 1 GiB and more say nothing of the launch."""
    kernels = [Kernel("copy", "fp32", ((1 << 30) + (i << 27),)) for i in range(8)]
    found = fit_family(kernels, [k.work.bytes / 2e12 for k in kernels])
    assert found is not None
    assert found.constants.flops_per_s is None
    assert found.constants.bytes_per_s == pytest.approx(2e12, rel=0.01)
    assert found.unsure == ("launch_s",)
    assert fit_family(kernels[:5], [1.0] * 5) is None
    norms = [Kernel("rms_norm", "fp32", (m, 4096)) for m in (1, 4, 16, 64, 256, 1024)]
    alike = fit_family(norms, [k.work.bytes / 1e12 for k in norms])
    assert alike is not None
    assert alike.held_out is None  # one shape: nothing to hold out


def test_folds_hold_out_whole_shapes() -> None:
    shapes = [n for n in range(7) for _ in range(3)]
    masks = list(folds(shapes))
    assert len(masks) == 5
    assert (np.sum(masks, axis=0) == 1).all()
    for mask in masks:
        assert all(len(set(mask[3 * i : 3 * i + 3])) == 1 for i in range(7))


def true_constants() -> GemmConstants:
    """Those of another H100: slower memory, a longer launch, less compute."""
    shipped = gemm_constants("h100-sxm", "bf16")
    return replace(shipped, launch_s=3.5e-6, bandwidth=0.75, compute=0.72, resident_mb=0.0)


def timings() -> tuple[list[Kernel], list[float]]:
    kernels = [Kernel("gemm", "bf16", (m, n, k)) for n, k in SHAPES for m in ROWS]
    m, n, k = np.array([kernel.sizes for kernel in kernels]).T
    here = device(load().gpus["h100-sxm"], "bf16")
    true = gemm_s(m, n, k, true_constants(), here, weight_bytes=2, activation_bytes=2)
    return kernels, noisy(true.tolist())


def test_constants_of_products_are_recovered() -> None:
    kernels, seconds = timings()
    here = device(load().gpus["h100-sxm"], "bf16")
    found = fit_gemm(kernels, seconds, here, gemm_constants("h100-sxm", "bf16"))
    assert isinstance(found, GemmFit)
    assert found.shipped.mean > 0.1
    assert found.held_out.mean < 0.03
    assert min(error for _, error in found.by_free) == found.held_out.mean
    assert found.constants.bandwidth == pytest.approx(0.75, rel=0.05)
    assert found.constants.launch_s == pytest.approx(3.5e-6, rel=0.15)
    few = fit_gemm(kernels[:12], seconds[:12], here, gemm_constants("h100-sxm", "bf16"))
    assert few == ("12 products of 2 (n, k) with sides of 512 or more; the form needs 40 of 8")


def test_a_gpu_is_reached_from_a_relative(shared_data: Path) -> None:
    """Measured kernels of an A100, from the constants of the H100: half of the error goes."""
    with (shared_data / "kernels" / "aic_gemm_all_gpus.csv").open(encoding="utf-8") as file:
        next(file)
        table = [r for r in csv.DictReader(file) if (r["gpu"], r["dtype"]) == A100]
    sizes = [tuple(int(row[name]) for name in ("m", "n", "k")) for row in table]
    kernels = [Kernel("gemm", "bf16", size) for size in sizes]
    seconds = [float(row["latency_ms"]) / 1e3 for row in table]
    here = device(load().gpus["a100-sxm"], "bf16")
    found = fit_gemm(kernels, seconds, here, gemm_constants("h100-sxm", "bf16"))
    assert isinstance(found, GemmFit)
    assert (found.rows, found.pairs) == (175, 25)
    assert found.held_out.mean < 0.09
    assert found.held_out.mean < 0.6 * found.shipped.mean


def test_bounds_name_constants_of_the_form() -> None:
    assert set(BOUNDS) <= set(asdict(true_constants()))
    for name, (scale, low, high) in BOUNDS.items():
        for gpu in ("h100-sxm", "h200-sxm", "a100-sxm", "b200"):
            value = getattr(gemm_constants(gpu, "bf16"), name) / scale
            assert low - 1e-9 <= value <= high + 1e-9, (gpu, name)


def as_h100(path: Path, folder: Path) -> Path:
    """The made-up file as if it were of an H100, with products timed as above."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["header"]["device"] |= {"kind": "gpu", "name": "NVIDIA H100 80GB HBM3"}
    pattern = next(b for b in lines if "measured" in b)["measured"]
    rows = []
    for kernel, time_s in zip(*timings(), strict=True):
        case = {"launches": 1, "median_s": time_s, "seconds": [time_s] * 7, "sensors": {}}
        row = {**pattern, "kind": "gemm", "dtype": "bf16", "sizes": kernel.named}
        rows.append({"measured": {**row, "cases": {"warm": case, "cold": case}}})
    file = folder / "h100.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines[:2], *rows]))
    return file


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fit") / "made-up.jsonl"
    start(path, MadeUpDevice(), 3.0)
    return path


def test_a_file_becomes_constants_that_can_be_read(made_up: Path, tmp_path: Path) -> None:
    target = tmp_path / "own" / "h100.yaml"
    write(fit(read(as_h100(made_up, tmp_path))), target)
    own = own_constants(target)
    assert own.gpu == "h100-sxm"
    assert own.gemm["bf16"].bandwidth == pytest.approx(0.75, rel=0.05)
    assert 0 < own.error["bf16"] < 0.03
    record = yaml.safe_load(target.read_text())["record"]
    assert record["device"] == "NVIDIA H100 80GB HBM3"
    assert record["source"] == "h100.jsonl"
    assert len(record["sha256"]) == 64


def test_a_cpu_has_rooflines_only(made_up: Path, tmp_path: Path) -> None:
    fitted = fit(read(made_up))
    assert fitted.gemm is None
    tree = as_tree(fitted)
    copies = tree["roofline"]["copy"]["fp32"]
    assert copies["constants"]["bytes_per_s"] == pytest.approx(1e12, rel=0.02)
    assert copies["constants"]["launch_s"] == pytest.approx(2e-6, rel=0.1)
    assert copies["held_out"]["mean"] < 0.02
    target = tmp_path / "cpu.yaml"
    write(fitted, target)
    with pytest.raises(DataError, match="has no constants of a GPU in 'gemm'"):
        own_constants(target)
    with pytest.raises(RackplanError, match="is of a CPU, Made-up 9000: drop --gpu"):
        fit(read(made_up), "h100")


def test_kernels_at_another_clock_are_left_out(made_up: Path, tmp_path: Path) -> None:
    text = made_up.read_text()
    file = tmp_path / "drifted.jsonl"
    first = '"drifted":false'
    file.write_text(text.replace(first, '"drifted":true', 3))
    fitted = fit(read(file))
    assert "3 kernels timed at another clock than that of the start" in fitted.left_out
    file.write_text(text.replace(first, '"drifted":true'))
    with pytest.raises(RackplanError, match="nothing to fit: "):
        fit(read(file))


def test_an_unknown_gpu_must_be_named(made_up: Path, tmp_path: Path) -> None:
    file = as_h100(made_up, tmp_path)
    text = file.read_text().replace("NVIDIA H100 80GB HBM3", "NVIDIA Z1000")
    file.write_text(text)
    fitted = fit(read(file))
    assert fitted.gemm is None
    assert any("NVIDIA Z1000 is no GPU of the catalog: --gpu" in note for note in fitted.left_out)
    assert fit(read(file), "H100").gpu == "h100-sxm"
    with pytest.raises(RackplanError, match="unknown"):
        fit(read(file), "h1000000")


def test_faults_of_a_file_of_constants_are_named(made_up: Path, tmp_path: Path) -> None:
    target = tmp_path / "own.yaml"
    write(fit(read(as_h100(made_up, tmp_path))), target)
    tree = yaml.safe_load(target.read_text())

    def refused(message: str) -> None:
        target.write_text(yaml.safe_dump(tree))
        with pytest.raises(DataError) as caught:
            own_constants(target)
        assert message in str(caught.value)

    constants = tree["gemm"]["h100-sxm"]["bf16"]["constants"]
    constants["compute"] = "much"
    refused("gemm.h100-sxm.bf16.constants: could not convert string to float: 'much'")
    del constants["compute"]
    refused("gemm.h100-sxm.bf16.constants: keys missing or unknown: compute")
    del tree["gemm"]["h100-sxm"]["bf16"]["constants"]
    refused("gemm.h100-sxm.bf16: lacks 'constants'")
    tree["gemm"] = {"h1oo": {}}
    refused("gemm: unknown GPU 'h1oo' (known: a100-sxm, b200")
    tree["record"]["version"] = 9
    refused("record.version is 9; this rackplan reads 1")
    tree["record"] = None
    refused("is no file of rackplan calibrate fit: it lacks record.version")
