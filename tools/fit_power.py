"""Fits the draw of a GPU on measured serving runs and writes data/calibration/power.yaml.

    python tools/fit_power.py ENERGY_TABLE.csv

The table holds the LLM runs of the ML.ENERGY Benchmark v3 (github.com/ml-energy/leaderboard,
Apache-2.0). Constants are fitted to the steps that `rackplan predict serving` predicts for each
run, as these are what the simulator multiplies them with. Errors are those of rows whose LLM, or
whose whole family of one architecture, the fit has not seen: with predicted steps, and, refitted
to them, with measured ones. Needs scipy.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from power_runs import Phases, Run, measured, picked, predicted, read_runs
from scipy.optimize import least_squares

from sim.paths import data
from sim.perf.constants import DrawConstants
from sim.perf.gemm import Floats
from sim.perf.power import share_of_tdp

#: Name -> start, lowest, highest. Beyond these bounds a term loses its meaning.
PARAMETERS = {
    "base": (0.4, 0.0, 0.9), "memory": (0.3, 0.0, 3.0), "tensor": (1.0, 0.0, 2.0),
    "group": (0.02, 0.0, 0.2), "weight_pass": (0.1, 0.0, 1.0), "memory_power": (0.5, 0.3, 0.7),
    "tensor_power": (0.6, 0.3, 1.0), "experts": (1.5, 1.0, 8.0), "experts_8bit": (2.0, 1.0, 8.0),
    "kv": (0.6, 0.2, 1.0),
}  # fmt: skip
FIXED = {"pass_s": 1e-3, "cap_norm": 8.0}
#: Of the soft-L1 loss of log errors: some runs are in another state (host-bound) than their like.
LOSS_SCALE = 0.3
#: Standard deviations within which 90 % of a normal distribution lie.
NORMAL_90 = 1.6449

Ints = NDArray[np.int64]


class Sample:
    """Runs on one GPU type and their phases, in arrays; ``only`` takes some of the runs."""

    def __init__(self, runs: list[Run], phases: Phases) -> None:
        self.runs, self.phases = runs, phases
        self.gpu_w = np.array([run.gpu_w for run in runs])
        gpu = runs[0].gpu
        self.tdp_w, self.idle_share = gpu.tdp_w, gpu.loaded_idle_w / gpu.tdp_w
        count = Counter(run.model_id for run in runs)
        # An LLM of many rows counts as the square root of them.
        self.weight = np.array([count[run.model_id] ** -0.5 for run in runs])
        self.weight /= self.weight.mean()

    def only(self, kept: Ints) -> Sample:
        position = np.full(len(self.runs), -1)
        position[kept] = np.arange(len(kept))
        chosen = np.flatnonzero(position[self.phases.run] >= 0)
        phases = Phases(
            position[self.phases.run[chosen]],
            self.phases.share[chosen],
            picked(self.phases.use, chosen),
        )
        return Sample([self.runs[i] for i in kept], phases)

    def watts(self, c: DrawConstants) -> Floats:
        """[runs] mean draw of one GPU."""
        watts = share_of_tdp(c, self.phases.use, self.idle_share).max(axis=1) * self.tdp_w
        return np.bincount(self.phases.run, watts * self.phases.share, len(self.runs))

    def errors(self, c: DrawConstants) -> Floats:
        """[runs] relative errors."""
        return self.watts(c) / self.gpu_w - 1


def constants(x: Floats) -> DrawConstants:
    """The constants of a point of the search."""
    return DrawConstants(**dict(zip(PARAMETERS, map(float, x), strict=True)), **FIXED)


def fit(sample: Sample) -> DrawConstants:
    """The constants that fit these runs, to three digits."""
    start, low, high = (np.array(column) for column in zip(*PARAMETERS.values(), strict=True))

    def residuals(x: Floats) -> Floats:
        off = np.log(sample.watts(constants(x)) / sample.gpu_w) / LOSS_SCALE
        bent = LOSS_SCALE * np.sqrt(2 * (np.sqrt(1 + off**2) - 1))
        return bent * np.sqrt(sample.weight)

    found = least_squares(
        residuals, start, bounds=(low, high), x_scale=np.maximum(0.1, start), diff_step=1e-4,
        max_nfev=60,
    )  # fmt: skip
    # The search approaches a bound without reaching it.
    return constants(np.array([float(f"{value:.3g}") for value in np.round(found.x, 6)]))


def held_out(sample: Sample, group: Callable[[Run], str]) -> Floats:
    """[runs] errors where the fit has seen no run of the same group."""
    groups = np.array([group(run) for run in sample.runs])
    errors = np.empty(len(groups))
    for name in sorted(set(groups)):
        inside = groups == name
        found = fit(sample.only(np.flatnonzero(~inside)))
        errors[inside] = sample.only(np.flatnonzero(inside)).errors(found)
    return errors


def samples(runs: list[Run], phases: Callable[[list[Run]], Phases]) -> dict[str, Sample]:
    """One sample for each GPU type."""
    names = sorted({run.gpu.name for run in runs})
    parts = {name: [run for run in runs if run.gpu.name == name] for name in names}
    return {name: Sample(part, phases(part)) for name, part in parts.items()}


def llm_out(sample: Sample) -> Floats:
    return held_out(sample, lambda run: run.model_id)


def family_out(sample: Sample) -> Floats:
    return held_out(sample, lambda run: run.llm.name)


def percent(errors: Floats) -> float:
    """MAPE in per cent, to a tenth."""
    return round(100 * float(np.mean(abs(errors))), 1)


def held_out_errors(sample: Sample, out: Floats) -> dict[str, float]:
    """Of errors where the fit had not seen the LLM: median and P90 of their size, and spreads.

    The spreads are of the draw above idle, which is what ``sim.perf.sampled`` draws: standard
    deviations of what all runs of an LLM share and of the rest, in the proportion of the variances
    between and within LLMs (by one-way analysis), and together those of the normal distribution
    whose 90 % quantile of |log error|, bias included, is measured.
    """
    idle_w = sample.idle_share * sample.tdp_w
    logs = np.log((sample.gpu_w * (1 + out) - idle_w) / (sample.gpu_w - idle_w))
    _, which = np.unique([run.model_id for run in sample.runs], return_inverse=True)
    count = np.bincount(which)
    means = np.bincount(which, logs) / count
    within = float(np.sum((logs - means[which]) ** 2) / (len(logs) - len(count)))
    # Runs an LLM, as unequal as they are: Searle, Linear Models, on the one-way classification.
    each = (len(logs) - float(np.sum(count**2)) / len(logs)) / (len(count) - 1)
    between = float(np.sum(count * (means - logs.mean()) ** 2) / (len(count) - 1))
    of_llm = max(0.0, (between - within) / each)
    total = float(np.quantile(abs(logs), 0.9)) / NORMAL_90
    scale = total / np.sqrt(of_llm + within)
    return {
        "median": round(float(np.quantile(abs(out), 0.5)), 4),
        "p90": round(float(np.quantile(abs(out), 0.9)), 4),
        "log_sd_llm": round(float(scale * np.sqrt(of_llm)), 4),
        "log_sd_run": round(float(scale * np.sqrt(within)), 4),
    }


def score(sample: Sample) -> tuple[dict[str, float], str, dict[str, float]]:
    """MAPE in sample, with the LLM out, with its family out; the second in words and in figures."""
    out = llm_out(sample)
    table = {
        "in_sample": percent(sample.errors(fit(sample))),
        "llm_out": percent(out),
        "family_out": percent(family_out(sample)),
    }
    median, high = 100 * np.quantile(abs(out), (0.5, 0.9))
    words = f"LLM held out: median {median:.1f} %, P90 {high:.0f} %, bias {100 * out.mean():+.1f} %"
    return table, words, held_out_errors(sample, out)


def bounds_met(c: DrawConstants) -> list[str]:
    """Parameters at a bound of theirs."""
    return [
        name
        for name, (_, low, high) in PARAMETERS.items()
        if min(getattr(c, name) - low, high - getattr(c, name)) < 1e-3 * (high - low)
    ]


def main(path: Path) -> None:
    target = data("calibration", "power.yaml")
    tree = yaml.safe_load(target.read_text(encoding="utf-8"))
    runs = read_runs(path)
    mape: dict[str, dict[str, dict[str, float]]] = {}
    words, found, errors = [], {}, {}
    for kind, phases in (("measured", measured), ("predicted", predicted)):
        for name, sample in samples(runs, phases).items():
            table, more, errors[name] = score(sample)
            mape.setdefault(name, {})[kind] = table
            words.append(f"{name}, {kind} steps, {len(sample.runs)} runs, {more}")
            found[name] = fit(sample)  # of the predicted steps in the end, as are the errors
            print(words[-1], table, file=sys.stderr, flush=True)
    at_bounds = [f"{n} {', '.join(bounds_met(c))}" for n, c in found.items() if bounds_met(c)]
    method = f"{METHOD}. At their bounds: {'; '.join(at_bounds) or 'none'}"
    tree["record"] = {**RECORD, "method": method, "errors": words, "mape_percent": mape}
    tree["held_out"] = {name: errors[name] for name in sorted(errors, reverse=True)}
    tree["draw"] = {name: asdict(found[name]) for name in sorted(found, reverse=True)}
    order = ("record", "assumed", "transfer", "held_out", "draw", "clocks")
    text = yaml.safe_dump({name: tree[name] for name in order}, sort_keys=False, width=100)
    target.write_text(HEADER + text, encoding="utf-8")


HEADER = """\
# Draw of one GPU at work: constants of the form in sim/perf/power.py, shares of its TDP; written by
# tools/fit_power.py, which leaves `assumed`, `transfer` and `clocks` as they are.
"""
RECORD = {
    "source_id": "ml-energy-v3",
    "date": "2026-11-26",
    "source": (
        "ML.ENERGY Benchmark v3 steady runs (github.com/ml-energy/leaderboard 0cd52dab, half of "
        "the LLMs: 240 runs on H100, 246 on B200; GPU draw by NVML)"
    ),
    "licence": "Apache-2.0",
}
METHOD = (
    "soft-L1 fit of log errors to the steps predicted for each run (mape_percent: predicted); the "
    "form refitted to batch/throughput for comparison (measured); all rows of an LLM out at once, "
    "family: all LLMs of one architecture; form, loss and bounds were chosen looking at these "
    "rows, so other LLMs may read worse; prompt lengths guessed by task; experts hit uniformly; "
    "B200: identical settings are found in two states, one of them host-bound"
)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
