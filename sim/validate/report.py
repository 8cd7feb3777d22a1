"""The report of a validation: Markdown tables for people, CSV rows for machines."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from sim.perf.calibration import read_tree
from sim.perf.expected import expected_error
from sim.perf.stacks import FILE
from sim.validate.kernels import Products
from sim.validate.layers_report import layers_distrust, layers_text
from sim.validate.runs import Run, groups
from sim.validate.serving import METRICS, Outcome, Score, score
from sim.validate.timings import Found

_HEAD = "| {} | runs | TPOT | P90 | bias | throughput | P90 | TTFT | P90 | bias | rank corr. |"
#: A group with a median error beyond these is one not to trust.
LIMITS = {"tpot": 0.10, "throughput": 0.10, "ttft": 0.25}
_RUN_COLUMNS = ("file", "line", "class", "stack", "llm", "gpu", "precision", "layout",
                "input_tokens", "output_tokens", "concurrency")  # fmt: skip
_PRODUCT_COLUMNS = ("file", "gpu", "dtype", "m", "n", "k", "predicted_s", "measured_s", "error")
_EDGES = {
    "concurrency": (4, 16, 64, 128), "input tokens": (512, 1024, 2048, 4096),
    "output tokens": (128, 512, 1024),
}  # fmt: skip


def kind_of(one: Outcome) -> str:
    """The error class of a run, and whether the shipped fit saw it."""
    run = one.run
    expected = expected_error(
        one.stack.name, llm=run.llm, gpu=run.gpu, tensor_parallel=run.layout.tensor_parallel
    )
    if expected.kind == "seen stack" and not run.held_out and run.origin != "own":
        return "seen stack, in the fit"
    held = ", held out" if expected.kind == "seen stack" else ""
    return expected.kind + held


def report(
    runs: Sequence[Run],
    outcomes: Sequence[Outcome],
    kernels: Sequence[Products],
    layers: Found,
    missing: str,
) -> str:
    """The whole report as Markdown."""
    parts = ["# Validation report", "", missing, *_found(runs, outcomes)]
    if outcomes:
        parts += _serving(outcomes)
    if kernels:
        parts += _kernels(kernels)
    parts += layers_text(layers.timings, layers.skipped)
    parts += _distrust(runs, outcomes, kernels, layers)
    return "\n".join(parts) + "\n"


def _found(runs: Sequence[Run], outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield f"{len(runs)} serving runs were read and {len(outcomes)} simulated."
    for reason, part in groups(list(runs)):
        yield f"* not simulated: {len(part)} runs, {reason}"
    reasons = dict.fromkeys(one.why_not for one in outcomes if one.why_not)
    for reason in reasons:
        count = sum(one.why_not == reason for one in outcomes)
        yield f"* no prediction: {count} runs, {reason}"
    yield ""


def _serving(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "## Serving: predicted against measured"
    yield ""
    yield "Medians and P90 of absolute relative errors, bias the median with its sign; rank "
    yield "correlation is Kendall's tau of throughput per GPU. The fit saw the runs marked so."
    yield from _table("class", outcomes, kind_of)
    yield from _table("file", outcomes, lambda one: one.run.file)
    fair = [one for one in outcomes if not kind_of(one).endswith("in the fit")]
    yield "### Runs that the fit did not see, by GPU, LLM, precision and stack"
    yield from _table(
        "GPU, LLM, precision, stack", fair,
        lambda one: f"{one.run.gpu}, {one.run.llm}, {one.run.precision}, {one.run.stack}",
    )  # fmt: skip
    yield "### Residuals by shape"
    for name, edges in _EDGES.items():
        yield from _table(name, fair, _binned(name, edges))
    yield from _table("layout", fair, lambda one: str(one.run.layout))
    recorded = read_tree(*FILE)["errors"]
    yield "### Errors of the record (data/calibration/stacks.yaml)"
    yield ""
    yield "| class | runs | TPOT | throughput | TTFT | rank corr. |"
    yield "|---|---|---|---|---|---|"
    for kind, entry in recorded.items():
        shares = " | ".join(f"{100 * entry[m][0]:.1f} % (P90 {100 * entry[m][1]:.0f} %)"
                            for m in METRICS)  # fmt: skip
        yield f"| {kind} | {entry['runs']} | {shares} | {entry['tau']:.3f} |"
    yield ""


def _binned(name: str, edges: Sequence[int]) -> Callable[[Outcome], str]:
    def label(one: Outcome) -> str:
        run = one.run
        value = {"concurrency": run.clients or 0, "input tokens": run.input_tokens,
                 "output tokens": run.output_tokens}[name]  # fmt: skip
        for edge in edges:
            if value <= edge:
                return f"to {edge:,}"
        return f"above {edges[-1]:,}"

    return label


def _table(title: str, outcomes: Sequence[Outcome], key: Callable[[Outcome], str]) -> Iterator[str]:
    yield ""
    yield _HEAD.format(title)
    yield "|---" * 11 + "|"
    parts: dict[str, list[Outcome]] = {}
    for one in outcomes:
        parts.setdefault(key(one), []).append(one)
    for name in sorted(parts, key=_order):
        yield f"| {name} | {_cells(score(parts[name]))} |"
    yield ""


def _order(label: str) -> tuple[int, float, str]:
    """Bins by their number, names by letter."""
    digits = "".join(c for c in label if c.isdigit())
    if label.startswith(("to ", "above ")):
        return (int(label.startswith("above")), float(digits), label)
    return (0, 0.0, label)


def _cells(s: Score) -> str:
    def share(table: Mapping[str, float], name: str, sign: str = "") -> str:
        return f"{100 * table[name]:{sign}.1f} %" if name in table else ""

    cells = [
        str(s.runs), share(s.median, "tpot"), share(s.p90, "tpot"), share(s.bias, "tpot", "+"),
        share(s.median, "throughput"), share(s.p90, "throughput"),
        share(s.median, "ttft"), share(s.p90, "ttft"), share(s.bias, "ttft", "+"),
        "" if s.tau is None else f"{s.tau:.3f}",
    ]  # fmt: skip
    return " | ".join(cells)


def _kernels(kernels: Sequence[Products]) -> Iterator[str]:
    yield "## Matrix products (n, k from 512 on)"
    yield ""
    yield "The shipped constants were fitted to the public tables: over those, these errors are of "
    yield "the fit itself. Those of shapes held out are in the record below."
    yield ""
    yield "| file | GPU | dtype | rows | mean | median | P90 | bias |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in kernels:
        yield f"| {one.file} | {one.gpu} | {one.dtype} | {_percent(one.errors)} |"
    yield ""
    yield "| rows of a product (m) | rows | mean | median | P90 | bias |"
    yield "|---|---|---|---|---|---|"
    m = np.concatenate([one.m for one in kernels])
    errors = np.concatenate([one.errors for one in kernels])
    edges = (0, 16, 128, 1024, 8192, np.inf)
    for low, high in pairwise(edges):
        here = (m > low) & (m <= high)
        if here.any():
            label = f"above {low:,}" if high == np.inf else f"{low + 1:,} to {high:,}"
            yield f"| {label} | {_percent(errors[here])} |"
    yield ""
    yield "Record (data/calibration/kernels.yaml), whole shapes held out:"
    yield ""
    for line in read_tree("calibration", "kernels.yaml")["record"]["errors"]:
        yield f"* {line}"
    yield ""


def _percent(errors: np.ndarray) -> str:
    off = 100 * abs(errors)
    return (
        f"{len(off)} | {off.mean():.1f} % | {np.median(off):.1f} % | "
        f"{np.percentile(off, 90):.1f} % | {100 * np.median(errors):+.1f} %"
    )


def _distrust(
    runs: Sequence[Run], outcomes: Sequence[Outcome], kernels: Sequence[Products], layers: Found
) -> Iterator[str]:
    yield "## Where not to trust it"
    yield ""
    fair = [one for one in outcomes if not kind_of(one).endswith("in the fit")]
    parts: dict[str, list[Outcome]] = {}
    for one in fair:
        parts.setdefault(f"{one.run.stack}, {one.run.llm} on {one.run.gpu}", []).append(one)
    for name, part in parts.items():
        s = score(part)
        bad = [
            f"{metric} {100 * s.median[metric]:.0f} %"
            for metric, limit in LIMITS.items()
            if s.median.get(metric, 0.0) > limit
        ]
        if bad:
            yield f"* {name} ({s.runs} runs): median errors {', '.join(bad)}"
    for reason, silent in groups(list(runs)):
        yield f"* {len(silent)} runs say nothing: {reason}"
    for table in kernels:
        worst = float(np.mean(abs(table.errors)))
        if worst > LIMITS["tpot"]:
            yield f"* products in {table.dtype} on {table.gpu}: mean error {100 * worst:.0f} %"
    yield from layers_distrust(layers.timings)
    yield "* GPUs, LLMs and layouts that no run was of: a summary warns of them"
    yield ""
    worst_runs = sorted(
        (one for one in fair if one.errors[0] is not None), key=lambda one: -abs(one.errors[0] or 0)
    )[:10]
    if worst_runs:
        yield "| worst TPOT | stack | LLM | GPU | layout | tokens in, out | clients | error |"
        yield "|---|---|---|---|---|---|---|---|"
    for one in worst_runs:
        run = one.run
        yield (
            f"| {run.place} | {run.stack} | {run.llm} | {run.gpu} | {run.layout} | "
            f"{run.input_tokens}, {run.output_tokens} | {run.clients} | "
            f"{100 * (one.errors[0] or 0):+.0f} % |"
        )


def write_rows(path: Path, outcomes: Iterable[Outcome]) -> None:
    """One CSV row a run: what it was of, predicted and measured, errors, class."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [f"{p}_{m}" for m in METRICS for p in ("predicted", "measured", "error")]
        writer.writerow([*_RUN_COLUMNS, *names, "why_not"])
        for one in outcomes:
            run = one.run
            cells: list[object] = []
            for p, m, e in zip(one.predicted, one.measured, one.errors, strict=True):
                cells += ["" if v is None else f"{v:.6g}" for v in (p, m, e)]
            writer.writerow(
                [run.file, run.line, kind_of(one), run.stack, run.llm, run.gpu, run.precision,
                 run.layout, run.input_tokens, run.output_tokens, run.clients or "", *cells,
                 one.why_not]
            )  # fmt: skip


def write_products(path: Path, kernels: Iterable[Products]) -> None:
    """One CSV row a product."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_PRODUCT_COLUMNS)
        for one in kernels:
            for cells in zip(
                one.m, one.n, one.k, one.predicted_s, one.measured_s, one.errors, strict=True
            ):
                writer.writerow([one.file, one.gpu, one.dtype, *cells[:3],
                                 *(f"{v:.6g}" for v in cells[3:])])  # fmt: skip
