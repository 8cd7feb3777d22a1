"""NVIDIA's aisimulate, where it can be installed, side by side with the compiled engine.

    RACKPLAN_BENCH_AISIMULATE=1 make bench

makes an environment of its own under ``build/`` and installs it from PyPI. What PyPI has is a stub
that fetches the package from pypi.nvidia.com, so it needs that host, and Hugging Face for the LLM's
configuration. Where any of it fails, the bench is skipped with the reason. Written after the
documentation of version 0.13 (``aisimulate predict --config``).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sim
from tests.bench.figures import DEFAULT, Figures, cpu_s

ASKED = "RACKPLAN_BENCH_AISIMULATE"
PYTHON = DEFAULT.parent / "aisimulate" / "bin" / "python"
REPLICAS, CLIENTS = 8, 512
INPUT_TOKENS, OUTPUT_TOKENS = 1024, 128
#: Two sizes: their difference leaves out what starting takes.
FEW, MANY = 4_000, 20_000


def install() -> None:
    """An environment with aisimulate, or a skip that says why there is none."""
    if PYTHON.exists():
        return
    folder = PYTHON.parents[1]
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    done = subprocess.run(
        [str(PYTHON), "-m", "pip", "install", "aisimulate"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        PYTHON.unlink()  # so that the next time tries again
        pytest.skip(f"aisimulate cannot be installed: {last_line(done.stdout + done.stderr)}")


def last_line(text: str) -> str:
    """The last line of a tool's output that names an exception, or else its last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error: " in line]
    return (errors or lines or ["no output"])[-1]


def predict_cpu_s(requests: int, folder: Path) -> float:
    """CPU seconds of one prediction, its start included."""
    folder.mkdir()
    config = {
        "traffic": {
            "source": {
                "type": "synthetic", "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS,
            },
            "load": {"type": "concurrency", "concurrency": CLIENTS},
            "stop": {"requests": requests},
        },
        "engine": {
            "mode": "aggregated", "model": "Qwen/Qwen3-32B-FP8", "hardware": "h200_sxm",
            "backend": "vllm",
            "workers": {"aggregated": {"parallelism": {"replicas": REPLICAS, "tensor": 2}}},
        },
    }  # fmt: skip
    (folder / "prediction.yaml").write_text(json.dumps(config), encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            str(PYTHON.parent / "aisimulate"), "predict", "--config", "prediction.yaml",
            "--output-dir", "out",
        ],
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        pytest.skip(f"aisimulate does not predict: {last_line(done.stdout + done.stderr)}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(duration_s: float, folder: Path) -> sim.Scenario:
    """The same closed loop on the same replicas."""
    content: dict[str, Any] = {
        "rackplan": 1,
        "name": "side-by-side",
        "duration": f"{duration_s} s",
        "warm_up": "1 s",
        "record": {"level": "summary"},
        "site": {
            "halls": [
                {"name": "hall", "rows": [{"name": "row", "racks": [{"type": "dgx-h200-2"}]}]}
            ]
        },
        "llms": [{"name": "qwen3-32b", "precision": "fp8"}],
        "pools": [{"name": "p", "llm": "qwen3-32b", "tensor_parallel": 2, "replicas": REPLICAS}],
        "workload": [
            {
                "name": "w", "pool": "p", "clients": CLIENTS,
                "source": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
            }
        ],
        "policies": {"routing": {"kind": "round-robin"}},
    }  # fmt: skip
    file = folder / "side-by-side.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    return sim.load_scenario(file)


@pytest.mark.bench
def test_the_same_closed_loop(tmp_path: Path, figures: Figures) -> None:
    scenario = ours(600.0, tmp_path)
    made = sim.run_scenario(scenario, engine="compiled").metrics["arrivals"].value
    assert made is not None
    assert made > MANY  # so much that starting takes no share
    taken_s = cpu_s(lambda: sim.run_scenario(scenario, engine="compiled"))
    own = figures.add("closed loop of 512 clients/rackplan", made / taken_s, "requests/CPU s")
    if not os.environ.get(ASKED):
        pytest.skip(f"aisimulate runs beside it where {ASKED}=1 asks for it")
    install()
    few_s = predict_cpu_s(FEW, tmp_path / "few")
    many_s = predict_cpu_s(MANY, tmp_path / "many")
    theirs = (MANY - FEW) / (many_s - few_s)
    figures.add("closed loop of 512 clients/aisimulate", theirs, "requests/CPU s")
    figures.add("closed loop of 512 clients/rackplan, times aisimulate", own / theirs, "x")
