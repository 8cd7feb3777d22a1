"""The part of the report that is of attention, experts and collectives, and their CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from sim.validate.tables import Floats, Mask
from sim.validate.timings import HeldOut, Timings

TITLES = {
    "attention-decode": "Attention of decoding (one layer)",
    "attention-prefill": "Attention of prefill (one layer, whole prompts)",
    "moe": "Routed experts (one layer, the hottest rank)",
    "all-reduce": "All-reduces by engines' own kernels, in one server",
    "collective": "Collectives by NCCL, in one NVLink domain or server",
    "network": "Collectives by NCCL, between two servers",
}
#: What a shape is, where it says how rows are held out; else sizes are, in turns.
SHAPES = {
    "attention-decode": "head dimension/query heads/KV heads",
    "attention-prefill": "head dimension/query heads/KV heads",
    "moe": "hidden/FFN/experts per token/experts/tensor parallel/expert parallel",
}
_EDGES: dict[str, dict[str, tuple[float, ...]]] = {
    "attention-decode": {"batch_size": (1, 8, 64, 512), "kv_len": (128, 1024, 8192, 32768)},
    "attention-prefill": {"batch_size": (1, 8, 64), "isl": (128, 512, 2048, 8192)},
    "moe": {"num_tokens": (16, 128, 1024, 8192)},
}
_COLLECTIVE = (4096, 65536, 2**20, 2**24, 2**27)
#: A median error beyond this, or a P90 beyond that, is one not to trust.
LIMIT, LIMIT_P90 = 0.10, 0.30
#: Fewest rows of which a part is named, and most parts and shapes that are.
LEAST_ROWS, MOST_NAMED, WORST = 10, 12, 10
_FIGURES = "rows | median | P90 | bias"


def layers_text(timings: Sequence[Timings], skipped: Sequence[str]) -> Iterator[str]:
    """Tables for each kind of kernel: all rows, regimes, residuals by shape, worst shapes."""
    if timings:
        yield "## Attention, experts and collectives"
        yield ""
        yield "Every row is predicted from the shipped constants. *In the fit* are rows of shapes "
        yield "(of collectives: sizes) that the constants were fitted to: their errors are of the "
        yield "fit itself. *Not in the fit* are all others. *Record* is what the fit said of whole "
        yield "shapes that it had not seen, in cross-validation; it is not computed here. Median "
        yield "and P90 are of absolute relative errors, bias the median with its sign."
        yield ""
    for kind, title in TITLES.items():
        some = [one for one in timings if one.kind == kind]
        if some:
            yield from _kind(kind, title, some)
    if skipped:
        yield "Kernels without a prediction:"
        yield ""
        yield from (f"* {line}" for line in skipped)
        yield ""


def _kind(kind: str, title: str, some: Sequence[Timings]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    yield f"| file | GPU, kernel | seen | {_FIGURES} | record: rows | median | P90 | bias |"
    yield "|---" * 11 + "|"
    for one in some:
        for label, mask in (("in the fit", one.fitted), ("not in the fit", ~one.fitted)):
            if mask.any():
                cells = figures(one.errors[mask])
                yield f"| {one.file} | {one.name} | {label} | {cells} | {_record(one.record)} |"
    yield ""
    if kind != "network":
        yield f"| part | seen | {_FIGURES} |"
        yield "|---" * 6 + "|"
        for label, seen, errors in _parts(some):
            yield f"| {label} | {seen} | {figures(errors)} |"
        yield ""
    yield from _residuals(kind, some)
    yield from _worst(kind, some)


def _parts(some: Sequence[Timings]) -> Iterator[tuple[str, str, Floats]]:
    """Regimes over all kernels of a kind: name, whether in the fit, errors."""
    for name in dict.fromkeys(name for one in some for name in one.regimes):
        for seen in (True, False):
            parts = [
                one.errors[one.regimes[name] & (one.fitted == seen)]
                for one in some
                if name in one.regimes
            ]
            errors = np.concatenate(parts)
            if len(errors):
                yield name, "in the fit" if seen else "not in the fit", errors


def _residuals(kind: str, some: Sequence[Timings]) -> Iterator[str]:
    """Errors of all rows by each column that they are binned by."""
    errors = np.concatenate([one.errors for one in some])
    for column, edges in _EDGES.get(kind, {"size_bytes": _COLLECTIVE}).items():
        values = np.concatenate([one.columns[column] for one in some])
        yield f"| {column} | {_FIGURES} |"
        yield "|---" * 5 + "|"
        for low, high in pairwise((0.0, *edges, np.inf)):
            here = (values > low) & (values <= high)
            if here.any():
                label = f"above {low:,.0f}" if high == np.inf else f"to {high:,.0f}"
                yield f"| {label} | {figures(errors[here])} |"
        yield ""


def _worst(kind: str, some: Sequence[Timings]) -> Iterator[str]:
    """The shapes with the largest medians."""
    if kind not in SHAPES:
        return
    found = []
    for one in some:
        for shape in np.unique(one.shape):
            mask = one.shape == shape
            errors = one.errors[mask]
            found.append((float(np.median(abs(errors))), one.name, str(shape), errors))
    found.sort(key=lambda line: (-line[0], *line[1:3]))
    yield f"Worst shapes ({SHAPES[kind]}):"
    yield ""
    yield f"| GPU, kernel | shape | {_FIGURES} |"
    yield "|---" * 6 + "|"
    for _, name, shape, errors in found[:WORST]:
        yield f"| {name} | {shape} | {figures(errors)} |"
    yield ""


def figures(errors: Floats) -> str:
    """Rows, median, P90 and bias as cells of a table."""
    off = 100 * abs(errors)
    return (
        f"{len(off)} | {np.median(off):.1f} % | {np.percentile(off, 90):.1f} % | "
        f"{100 * np.median(errors):+.1f} %"
    )


def _record(held: HeldOut | None) -> str:
    if held is None:
        return "none | | | "
    bias = "" if held.bias is None else f"{100 * held.bias:+.1f} %"
    return f"{held.rows} | {100 * held.median:.1f} % | {100 * held.p90:.1f} % | {bias}"


def layers_distrust(timings: Iterable[Timings]) -> Iterator[str]:
    """Kernels, and parts of them, with errors beyond the limits; the worst first."""
    found = []
    for one in timings:
        parts: dict[str, Mask] = {"all rows": np.ones(len(one.measured_s), dtype=bool)}
        for name, mask in (parts | dict(one.regimes)).items():
            errors = abs(one.errors[mask])
            if len(errors) < LEAST_ROWS:
                continue
            median, high = float(np.median(errors)), float(np.percentile(errors, 90))
            if median > LIMIT or high > LIMIT_P90:
                found.append((median, high, f"{one.kind} on {one.name}, {name}", len(errors)))
    found.sort(key=lambda line: -line[0])
    for median, high, what, rows in found[:MOST_NAMED]:
        yield f"* {what} ({rows} rows): median {100 * median:.0f} %, P90 {100 * high:.0f} %"
    if len(found) > MOST_NAMED:
        rest = len(found) - MOST_NAMED
        yield (
            f"* {rest} more parts of kernels: median above {100 * LIMIT:.0f} % or P90 above "
            f"{100 * LIMIT_P90:.0f} % (the tables above)"
        )


def layers_lines(timings: Iterable[Timings]) -> Iterator[str]:
    """A line a kind of kernel and GPU, for the terminal."""
    kinds: dict[tuple[str, str], list[Timings]] = {}
    for one in timings:
        kinds.setdefault((one.kind, one.gpu), []).append(one)
    for (kind, gpu), some in kinds.items():
        for seen in (True, False):
            mine = [one for one in some if (one.fitted == seen).any()]
            if not mine:
                continue
            off = 100 * abs(np.concatenate([one.errors[one.fitted == seen] for one in mine]))
            held = [100 * one.record.median for one in mine if one.record is not None]
            yield (
                f"{kind} on {gpu}: {len(off)} rows {'' if seen else 'not '}in the fit, median "
                f"error {np.median(off):.1f} % (P90 {np.percentile(off, 90):.0f} %)"
                + (f"; record, held out {min(held):.1f} to {max(held):.1f} %" if held else "")
            )


def layers_tree(timings: Iterable[Timings]) -> dict[str, dict[str, object]]:
    """The same as JSON: rows and shares, by kind, GPU, kernel and file."""
    found: dict[str, dict[str, object]] = {}
    for one in timings:
        for label, mask in (("in the fit", one.fitted), ("not in the fit", ~one.fitted)):
            if mask.any():
                errors = one.errors[mask]
                found[f"{one.kind}, {one.name} ({one.file}), {label}"] = {
                    "rows": len(errors),
                    "median": float(np.median(abs(errors))),
                    "p90": float(np.percentile(abs(errors), 90)),
                    "bias": float(np.median(errors)),
                    "held_out_median": None if one.record is None else one.record.median,
                }
    return found


def write_layers(folder: Path, timings: Sequence[Timings]) -> None:
    """One file a kind, ``attention-decode.csv`` and so on, with one row a measured kernel."""
    for kind in TITLES:
        some = [one for one in timings if one.kind == kind]
        if not some:
            continue
        names = list(some[0].columns)
        with (folder / f"{kind}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["file", "gpu", "kernel", *names, "in_the_fit", "predicted_s",
                             "measured_s", "error"])  # fmt: skip
            for one in some:
                times = zip(one.predicted_s, one.measured_s, one.errors, strict=True)
                cells = zip(*(one.columns[name] for name in names), strict=True)
                for values, fitted, last in zip(cells, one.fitted, times, strict=True):
                    writer.writerow(
                        [one.file, one.gpu, one.kernel, *map(_cell, values),
                         "yes" if fitted else "no", *(f"{v:.6g}" for v in last)]
                    )  # fmt: skip


def _cell(value: object) -> str:
    return str(value) if isinstance(value, str) else f"{value:.12g}"
