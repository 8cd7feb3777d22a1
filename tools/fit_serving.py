"""Fits the pooled serving overheads on measured runs and writes data/calibration/serving.yaml.

    python tools/fit_serving.py SERVING_TABLE.csv

The table is the silicon sample of the PyPI package aiconfigurator-core 0.12.0 (NVIDIA,
Apache-2.0). Every run is simulated as `rackplan predict serving` does; half of the configurations
(GPU, LLM, precision, degrees and lengths; all concurrencies together) are fitted, the other half is
reported: with what is known of a run's lengths, and as a user would ask who knows only the stated
ones. Needs scipy.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sim.catalog.arithmetic import default_kv_precision
from sim.catalog.library import load
from sim.catalog.types import Gpu, Llm
from sim.engine.predict import measure
from sim.paths import data
from sim.perf import ReplicaModel, replica_model
from sim.perf.operators import HALF

Floats = NDArray[np.float64]
LLMS = {
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "Qwen/Qwen3-235B-A22B-FP8": "qwen3-235b-a22b",
    "openai/gpt-oss-120b": "gpt-oss-120b",
}
#: Name -> unit; the fit is in these units, positive.
PARAMETERS = {
    "layer_s": 1e-6, "moe_layer_s": 1e-6, "iteration_s": 1e-3, "sequence_s": 1e-6,
    "activation_passes": 1.0,
}  # fmt: skip
#: ``activation_passes`` starts from a count of reads and writes; fitted, it holds whatever else
#: of a prefill grows with its tokens.
START = {"layer_s": 30, "moe_layer_s": 20, "iteration_s": 1, "sequence_s": 20,
         "activation_passes": 11}  # fmt: skip
FIXED = {"inner_passes": 3.0, "stage_hop_s": 1e-5}
#: InferenceX draws lengths from U(0.8, 1) of the nominal ones: 0.9 of them, within a ninth.
SPREAD = {"inferencex_csv": (0.9, 1 / 9), "nvidia_internal": (1.0, 0.0)}
#: Spreads of the stated lengths to choose from, for runs of which no more is known.
SPREADS = (0.0, 0.001, 0.002, 0.003, 0.005, 0.008)
LONG_TTFT_S = 60.0
STACK_ROWS = 20


@dataclass(frozen=True)
class Run:
    """One measured run and the replica that it ran on, overheads not yet in its cost."""

    stack: str
    configuration: str
    model: ReplicaModel
    layers: int
    moe_layers: int
    token_pass_s: float  # seconds per token of one pass of the hidden state over all layers
    stated: tuple[int, int]  # input and output tokens as the table has them
    input_tokens: int
    output_tokens: int
    clients: int
    spread: float
    ttft_s: float
    tpot_s: float

    @property
    def throughput(self) -> float:
        """Tokens per second of a closed loop with these latencies."""
        e2e_s = self.ttft_s + (self.output_tokens - 1) * self.tpot_s
        return self.clients * self.output_tokens / e2e_s


def bare(model: ReplicaModel, run: dict[str, float]) -> ReplicaModel:
    """The model with other overheads added to those it has (each may be negative)."""
    cost = model.cost[0]
    grid = tuple(
        t + run["token"] * max(m, 1) for m, t in zip(cost.grid_tokens, cost.grid_s, strict=True)
    )
    changed = replace(
        cost,
        fixed_s=cost.fixed_s + run["fixed"],
        per_decode_s=cost.per_decode_s + run["decode"],
        grid_s=grid,
    )
    return replace(model, cost=(changed,))


def read_runs(path: Path) -> list[Run]:
    """The table without duplicates, empty concurrency, long queues, unknown LLMs, attention DP."""
    with path.open() as file:
        next(file)
        rows = [
            dict(items) for items in dict.fromkeys(tuple(r.items()) for r in csv.DictReader(file))
        ]
    catalog = load()
    models: dict[tuple[str, ...], ReplicaModel | None] = {}
    runs: list[Run] = []
    for row in rows:
        if not row["concurrency"] or row["model_path"] not in LLMS:
            continue
        if row["attention_dp_size"] != "1" or float(row["ttft_ms"]) > 1000 * LONG_TTFT_S:
            continue
        llm = catalog.llms[LLMS[row["model_path"]]]
        gpu = catalog.gpus[catalog.canonical("gpu", row["system"])]
        precision = llm.native_precision if llm.native_precision == "fp4" else row["precision"]
        clients = int(float(row["concurrency"]))
        key = (llm.name, gpu.name, precision, row["tp_size"], str(clients))
        if key not in models:
            models[key] = replica(llm, gpu, precision or "bf16", int(row["tp_size"]), clients)
        share, spread = SPREAD[row["origin"]]
        runs.append(
            Run(
                stack=" ".join(
                    row[n] for n in ("system", "model_path", "precision", "backend",
                                     "backend_version", "origin")
                ),
                configuration="/".join(
                    row[n] for n in ("system", "model_path", "precision", "tp_size", "isl", "osl",
                                     "moe_ep_size")
                ),
                model=models[key],
                layers=llm.layers,
                moe_layers=llm.layers - llm.dense_layers if llm.experts else 0,
                token_pass_s=llm.hidden * HALF * llm.layers / gpu.memory_bandwidth_bytes_per_s,
                stated=(int(row["isl"]), int(row["osl"])),
                input_tokens=round(share * int(row["isl"])),
                output_tokens=round(share * int(row["osl"])),
                clients=clients,
                spread=spread,
                ttft_s=float(row["ttft_ms"]) / 1000,
                tpot_s=float(row["tpot_ms"]) / 1000,
            )
        )  # fmt: skip
    return runs


def replica(llm: Llm, gpu: Gpu, precision: str, tensor_parallel: int, clients: int) -> ReplicaModel:
    """The replica with whatever overheads the data file holds now."""
    return replica_model(
        llm, gpu, precision=precision, kv_precision=default_kv_precision(precision),
        tensor_parallel=tensor_parallel, pipeline_parallel=1, max_sequences=max(256, clients),
        max_batch_tokens=8192, memory_utilisation=0.9, stage_bytes_per_s=gpu.link_bytes_per_s,
    )  # fmt: skip


def simulate(run: Run, values: dict[str, float], now: dict[str, float]) -> tuple[float, ...]:
    """Predicted TPOT, throughput, median and mean TTFT with overheads ``values``."""
    delta = {name: values[name] - now[name] for name in PARAMETERS}
    fixed = delta["iteration_s"] + delta["layer_s"] * run.layers
    fixed += delta["moe_layer_s"] * run.moe_layers
    token = delta["activation_passes"] * run.token_pass_s
    model = bare(run.model, {"fixed": fixed, "decode": delta["sequence_s"], "token": token})
    answer = measure(
        model, run.input_tokens, run.output_tokens, run.clients, max(256, run.clients), 8192,
        run.spread,
    )  # fmt: skip
    # Throughput as the table's is counted: from latencies, at the mean length of the run.
    e2e_s = answer.ttft_mean_s + (run.output_tokens - 1) * answer.tpot_p50_s
    throughput = run.clients * run.output_tokens / e2e_s
    return answer.tpot_p50_s, throughput, answer.ttft_p50_s, answer.ttft_mean_s


def errors(runs: list[Run], values: dict[str, float], now: dict[str, float]) -> Floats:
    """[runs, 4] relative errors of TPOT, throughput, median TTFT, mean TTFT."""
    out = np.empty((len(runs), 4))
    for i, run in enumerate(runs):
        measured = (run.tpot_s, run.throughput, run.ttft_s, run.ttft_s)
        out[i] = np.array(simulate(run, values, now)) / measured - 1
    return out


def fit(runs: list[Run], now: dict[str, float]) -> dict[str, float]:
    """The pooled overheads that fit these runs' TPOT and throughput."""

    def values(x: Floats) -> dict[str, float]:
        return {n: float(v) * unit for (n, unit), v in zip(PARAMETERS.items(), x, strict=True)}

    def residuals(x: Floats) -> Floats:
        off = errors(runs, values(x), now)[:, :2]
        return np.log1p(off).ravel()

    start = np.array([START[name] for name in PARAMETERS], dtype=float)
    found = least_squares(
        residuals, start, bounds=(0, np.inf), x_scale=start, loss="soft_l1", f_scale=0.1,
        diff_step=0.02, max_nfev=12,
    )  # fmt: skip
    # The search approaches its bound at zero without reaching it.
    return {
        name: 0.0 if value < 1e-3 * PARAMETERS[name] else float(f"{value:.3g}")
        for name, value in values(found.x).items()
    }


def as_stated(runs: list[Run], spread: float) -> list[Run]:
    """The runs at the lengths that the table states, within a share."""
    return [
        replace(run, input_tokens=run.stated[0], output_tokens=run.stated[1], spread=spread)
        for run in runs
    ]


def best_spread(runs: list[Run], values: dict[str, float], now: dict[str, float]) -> float:
    """The spread of stated lengths whose median TTFT is nearest; of near ones the middle one."""
    off = [errors(as_stated(runs, spread), values, now)[:, 2] for spread in SPREADS]
    score = [float(np.mean(abs(np.log1p(some)))) for some in off]
    print(dict(zip(SPREADS, score, strict=True)), file=sys.stderr, flush=True)
    near = [spread for spread, s in zip(SPREADS, score, strict=True) if s < 1.01 * min(score)]
    return near[len(near) // 2]


def line(name: str, off: Floats) -> str:
    """Median absolute errors (and biases)."""
    parts = [
        f"{what} {100 * median(abs(off[:, i])):.1f} % ({100 * median(off[:, i]):+.1f})"
        for i, what in enumerate(("TPOT", "throughput", "TTFT as median", "TTFT as mean"))
    ]
    return f"{name}: {len(off)} runs, {', '.join(parts)}"


def report(runs: list[Run], off: Floats) -> list[str]:
    """The line of all runs and of each stack with enough of them."""
    stacks = np.array([run.stack for run in runs])
    return [line("all", off)] + [
        line(str(stack), off[stacks == stack])
        for stack in sorted(set(stacks))
        if (stacks == stack).sum() * 2 >= STACK_ROWS
    ]


def halves(runs: list[Run]) -> tuple[list[Run], list[Run]]:
    """Half of the configurations, and the other half."""
    names = np.random.default_rng(0).permutation(sorted({run.configuration for run in runs}))
    held = set(names[::2])
    return (
        [run for run in runs if run.configuration not in held],
        [run for run in runs if run.configuration in held],
    )


def main(path: Path) -> None:
    target = data("calibration", "serving.yaml")
    tree = yaml.safe_load(target.read_text(encoding="utf-8"))
    now = {name: float(tree["overheads"][name]) for name in PARAMETERS}
    trained, held = halves(read_runs(path))
    values = fit(trained, now)
    print(values, file=sys.stderr, flush=True)
    spread = best_spread(trained, values, now)
    stated = [
        line(f"all, stated lengths within {share:g}", errors(as_stated(held, share), values, now))
        for share in (0.0, spread)
    ]
    tree["record"] = {**RECORD, "errors": stated + report(held, errors(held, values, now))}
    tree["overheads"] = {**values, **FIXED}
    tree["benchmark"] = {"length_spread": spread}
    order = ("record", "assumed", "overheads", "benchmark", "memory")
    text = yaml.safe_dump({name: tree[name] for name in order}, sort_keys=False, width=100)
    target.write_text(HEADER + text, encoding="utf-8")


HEADER = """\
# What a serving engine adds to its kernels, and holds in memory besides weights and KV. SI units.
# Overheads and the spread of lengths fitted by tools/fit_serving.py.
"""
RECORD = {
    "source_id": "aiconfigurator-core",
    "date": "2026-11-24",
    "source": (
        "silicon sample of PyPI aiconfigurator-core 0.12.0 (NVIDIA): H100 runs and the Llama runs "
        "on H200, of vLLM, TensorRT-LLM and SGLang; half of the public table"
    ),
    "licence": "Apache-2.0",
    "method": (
        "each run simulated as a closed loop; soft-L1 least squares of log errors of TPOT and "
        "throughput on half of the configurations; medians of absolute errors (and biases) of the "
        "other half; constant lengths, for InferenceX 0.9 of the nominal within a ninth; "
        "length_spread: that of stated lengths whose median TTFT is nearest on the fitted half"
    ),
}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
