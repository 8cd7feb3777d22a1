"""``rackplan validate``: on a little of the public tables, and on a file of one's own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sim.catalog.library import load
from sim.cli.app import app
from sim.engine.predict import Predictor, ServingQuery
from sim.perf.kernels import kernel_s

DATA = Path(__file__).parents[4] / "shared" / "data"
SERVING = DATA / "serving" / "serving_silicon_agg.csv"
OWN = "llm,gpu,precision,tensor_parallel,input_tokens,output_tokens,concurrency,ttft_s,tpot_s,stack"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["validate", *map(str, arguments)])


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def own_runs(path: Path, factor: float) -> Path:
    """A file with runs that are slower than predicted by a factor."""
    catalog = load()
    lines = [OWN]
    for clients in (4, 16):
        query = ServingQuery("bf16", 2, 1000, 100, clients, stack="vllm-0.12", length_spread=0.0)
        said = Predictor().serving(catalog.llms["qwen3-32b"], catalog.gpus["h100-sxm"], query)
        assert said.ttft_s is not None
        assert said.tpot_s is not None
        lines.append(
            f"qwen3-32b,h100-sxm,bf16,2,1000,100,{clients},{factor * said.ttft_s},"
            f"{factor * said.tpot_s},vllm-0.12"
        )
    file = path / "own.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_runs_of_ones_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = invoke("--against", own_runs(tmp_path, 1.25), "--out", out, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["serving"]["seen stack, held out"]
    assert found["runs"] == 2
    assert found["bias"]["tpot"] == pytest.approx(1 / 1.25 - 1, abs=0.01)
    assert found["bias"]["throughput"] == pytest.approx(0.25, abs=0.02)
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "**No kernel tables were given.**" in text
    assert "vllm-0.12-bf16, qwen3-32b on h100-sxm (2 runs): median errors tpot 20 %" in text
    rows = table(out / "serving.csv")
    assert [row["concurrency"] for row in rows] == ["4", "16"]
    assert float(rows[0]["error_tpot"]) == pytest.approx(-0.2, abs=0.01)


def test_ranges_of_samples_are_counted_and_printed(tmp_path: Path) -> None:
    out, near = tmp_path / "out", own_runs(tmp_path, 1.0)
    result = invoke("--against", near, "--out", out, "--uncertainty", 7, "--json")
    assert result.exit_code == 0, result.output
    ranges = json.loads(result.stdout)["ranges"]
    assert list(ranges) == ["seen stack, held out", "to 8 clients", "9 to 64 clients"]
    (whole, *parts) = ranges.values()
    assert (whole["runs"], whole["nominal"]) == (2, 0.75)
    assert whole["inside"] == {"tpot": 1.0, "throughput": 1.0, "ttft": 1.0}
    assert [part["runs"] for part in parts] == [1, 1]
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "| seen stack, held out | 2 | 100 % | 100 % | 100 % |" in text
    far = invoke("--against", own_runs(tmp_path, 3.0), "--out", out, "--uncertainty", 7)
    line = "within their range of samples (75 % should be), seen stack, held out: 2 runs, tpot 0 %"
    assert line in far.stdout


def test_a_threshold_decides_the_exit(tmp_path: Path) -> None:
    out = tmp_path / "out"
    file = own_runs(tmp_path, 1.25)
    assert invoke("--against", file, "--out", out, "--within", 0.5).exit_code == 0
    failed = invoke("--against", file, "--out", out, "--within", 0.1)
    assert failed.exit_code == 1
    assert "FAILED: median tpot error 20" in failed.stdout


def test_kernels_by_shape(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    lines = ["# products", "gpu,dtype,m,n,k,latency_ms"]
    lines += [f"h100_sxm,bfloat16,{m},4096,4096,1.0" for m in (1, 64, 4096)]
    lines += ["h100_sxm,bfloat16,1,64,4096,1.0", "unknown-gpu,bfloat16,1,4096,4096,1.0"]
    (folder / "gemm.csv").write_text("\n".join(lines) + "\n")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    out = tmp_path / "out"
    result = invoke(folder, "--out", out)
    assert result.exit_code == 0, result.output
    assert "products, h100-sxm bfloat16 (gemm.csv): mean error" in result.stdout
    rows = table(out / "kernels.csv")
    assert [row["m"] for row in rows] == ["1", "64", "4096"]
    assert all(float(row["predicted_s"]) > 0 for row in rows)
    gpu = load().gpus["h100-sxm"]
    said = [kernel_s(gpu, "bfloat16", "bf16", m, 4096, 4096) for m in (1, 64, 4096)]
    assert [float(row["predicted_s"]) for row in rows] == pytest.approx(said, rel=1e-5)
    assert "**No serving runs were given.**" in (out / "report.md").read_text(encoding="utf-8")


def test_products_whose_kernel_never_splits_are_predicted_so(tmp_path: Path) -> None:
    """``fp8_block`` has a library of its own, which few rows of a long k show."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "aic_gemm_h100_sxm.csv").write_text(
        "dtype,m,n,k,latency_ms\nfp8_block,1,512,16384,1.0\nfp8,1,512,16384,1.0\n"
    )
    assert invoke(folder, "--out", tmp_path).exit_code == 0
    gpu = load().gpus["h100-sxm"]
    block, plain = (kernel_s(gpu, dtype, "fp8", 1, 512, 16384) for dtype in ("fp8_block", "fp8"))
    assert block > 1.2 * plain
    found = [float(row["predicted_s"]) for row in table(tmp_path / "kernels.csv")]
    assert found == pytest.approx([block, plain], rel=1e-5)


def test_nothing_to_validate_against_is_explained(tmp_path: Path) -> None:
    for arguments in ((), (tmp_path / "none",), (tmp_path,)):
        result = invoke(*arguments, "--out", tmp_path / "out")
        assert "serving_silicon_agg.csv" in str(result.exception)
        assert "--against" in str(result.exception)


@pytest.mark.skipif(not SERVING.exists(), reason=f"needs {SERVING.name} in shared/data/serving")
def test_a_little_of_the_public_table_is_as_recorded(tmp_path: Path) -> None:
    lines = SERVING.read_text(encoding="utf-8").splitlines()
    small = tmp_path / "tables"
    small.mkdir()
    part = [lines[0], lines[1], *lines[2::12]]
    (small / SERVING.name).write_text("\n".join(part) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    result = invoke(small, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    held = json.loads(result.stdout)["serving"]["seen stack, held out"]
    assert held["runs"] >= 20
    assert held["median"]["tpot"] < 0.08
    assert held["median"]["throughput"] < 0.08
    assert held["median"]["ttft"] < 0.20
    assert held["tau"] > 0.9
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "not simulated" in text
    assert "Where not to trust it" in text
