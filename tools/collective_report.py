"""Errors of the model of collectives out of sample: ``fit_collectives.py FOLDER --report``."""

from __future__ import annotations

from pathlib import Path

import collective_fits as fits
import numpy as np
from collective_fits import Floats, Rows

#: Columns of the last table: operation and width of numbers.
COLUMNS = {
    "AR 16-bit": ("all-reduce", "16-bit"),
    "AR 8-bit": ("all-reduce", "8-bit"),
    "AG": ("all-gather", "any"),
    "RS 16-bit": ("reduce-scatter", "16-bit"),
    "RS 8-bit": ("reduce-scatter", "8-bit"),
    "all-to-all": ("all-to-all", "any"),
}


def report(folder: Path) -> str:
    """Every test of the fits, a line each: what was fitted, what was tested, errors in per cent."""
    k, p = fits.read_k(folder), fits.read_p(folder)
    lines = [
        f"{'tested':<45}{'fitted on':<30}{'rows':>4}{'median':>8}{'P90':>7}{'max':>6}",
        *one_node(k, p),
        *between_two(k, p),
        *whole(k, folder),
        "",
        *by_size(k),
    ]
    return "\n".join(lines)


def line(tested: str, fitted: str, errors: Floats) -> str:
    """One row of the table."""
    median, high, worst = (100 * float(np.quantile(errors, q)) for q in (0.5, 0.9, 1.0))
    return f"{tested:<45}{fitted:<30}{len(errors):>4}{median:>7.1f}%{high:>6.1f}%{worst:>5.0f}%"


def p_of_h100(p: Rows) -> Rows:
    """nccl-tests of one server of 8 H100."""
    return p.where(np.isin(p.series, fits.ONE_NODE))


def k_of_h100(k: Rows) -> Rows:
    """The same of aiconfigurator, in 16 bits."""
    return fits.pick(k, "h100-sxm", 8, "all-reduce", "16-bit")


def one_node(k: Rows, p: Rows) -> list[str]:
    """All-reduce of 8 H100: each set under the fit of the other, and a textbook ring."""
    pages, tables = p_of_h100(p), k_of_h100(k)
    of_k, of_p = fits.fit_domain(tables), fits.fit_domain(pages)
    on_pages = fits.errors(fits.domain_s(of_k, pages.size), pages.seconds)
    large = pages.size >= 2.0**20
    ring = 14 * 1e-6 + 1.75 * pages.size / 450e9
    title = "all-reduce 8 x h100-sxm"
    return [
        line(f"{title}, pages (P)", "tables (K)", on_pages),
        line(f"{title}, P from 1 MiB", "K", on_pages[large]),
        line(f"{title}, P above 512 MiB", "K (up to 512 MiB)", on_pages[pages.size > 6e8]),
        line(f"{title}, K", "P", fits.errors(fits.domain_s(of_p, tables.size), tables.seconds)),
        line(f"{title}, P", "textbook ring, 1 us, 450 GB/s", fits.errors(ring, pages.seconds)),
    ]


def between_two(k: Rows, p: Rows) -> list[str]:
    """Two servers: in sample, and each series (or every other size) held out."""
    lines = []
    for (transport, op), kind in fits.NETWORKS.items():
        rows = p.where(np.isin(p.series, kind.series))
        x = fits.fit_network(rows, k, kind)
        title = f"{op} 2 x 8, {transport}"
        inside = fits.errors(fits.network_s(x, rows, k, kind), rows.seconds)
        lines.append(line(title, "the same rows (in sample)", inside))
        held = fits.series_out(rows, k, kind)
        if len(kind.series) == 1:
            lines.append(line(title, "every other size", held))
            continue
        lines += [
            line(f"  {series}", "the other series", held[rows.series == series])
            for series in kind.series
        ]
    return lines


def whole(k: Rows, folder: Path) -> list[str]:
    """An older NCCL, other spans, larger sizes: all GPUs on NVLink together."""
    old = fits.read_k(folder, "old")
    found = []
    for (gpu, span, op, width), rows in fits.groups(old):
        x = fits.fit_domain(fits.pick(k, gpu, span, op, width))
        found.append(fits.errors(fits.domain_s(x, rows.size), rows.seconds))
    return [
        line("NCCL 2.23, all but all-reduce, H100 and H200", "later NCCL", np.concatenate(found)),
        line("span not measured: A100, H200, B200", "another span", fits.span_rule(k)[1]),
        line("sizes above 128 MiB, all GPUs on NVLink", "sizes up to 128 MiB", fits.beyond(k)),
        line("sizes above 16 MiB, all GPUs on NVLink", "sizes up to 16 MiB",
             fits.beyond(k, 2.0**24)),
    ]  # fmt: skip


def by_size(k: Rows) -> list[str]:
    """Every GPU, span and operation: each half of the sizes under the fit of the other."""
    cells: dict[tuple[str, int], dict[tuple[str, str], str]] = {}
    for (gpu, span, op, width), rows in fits.groups(k):
        held = fits.held_out(rows)
        cells.setdefault((gpu, span), {})[op, width] = cell(
            float(np.median(held)), float(np.quantile(held, 0.9))
        )
    head = "".join(f"{title:>12}" for title in COLUMNS)
    return [
        "every other size held out: median / P90, per cent",
        f"{'':<14}{head}",
        *(
            f"{f'{span} x {gpu}':<14}" + "".join(f"{row[key]:>12}" for key in COLUMNS.values())
            for (gpu, span), row in cells.items()
        ),
    ]


def cell(median: float, p90: float) -> str:
    """``4.2 / 9.4``, in per cent."""
    return f"{100 * median:.1f} / {100 * p90:.0f}"
