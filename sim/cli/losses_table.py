"""Losses of workloads against a baseline on a terminal: over the window, and at their worst."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.table import Table

from sim.results.wording import span
from sim.study.losses import LOSSES, Loss

_HEADS = {"e2e_p50_loss": "e2e p50", "e2e_p99_loss": "e2e p99", "goodput_loss": "goodput"}

#: What the numbers are, below the table.
EXPLAINED = (
    "Latencies are of completed requests; what failed counts in goodput. The worst slice is that "
    "with the greatest loss under each seed, which chance alone puts above 0"
)


def loss_heads(lengths_s: Iterable[float | None]) -> list[str]:
    """The headers of ``loss_cells``; ``lengths_s``: of the slices of all that is shown."""
    lengths = {length_s for length_s in lengths_s if length_s is not None}
    worst = "worst slice"
    if len(lengths) == 1:
        (length_s,) = lengths
        worst = "worst hour" if length_s == 3600.0 else f"worst {length_s / 60.0:.0f} min"
    return [_HEADS.get(name, worst) for name in LOSSES]


def loss_cells(losses: Mapping[str, Loss]) -> list[str]:
    """``+3.14 ± 0.42`` for each loss, in percent or percentage points."""
    return [_cell(losses[name]) for name in LOSSES]


def _cell(loss: Loss) -> str:
    if loss.mean is None:
        return "-"
    mean = 100.0 * loss.mean
    if loss.low is None or loss.high is None:
        return f"{mean:+.2f}" if mean else "0"
    half = 100.0 * max(loss.mean - loss.low, loss.high - loss.mean)
    digits = 2 if half < 1.0 else 1 if half < 10.0 else 0
    return f"{mean:+.{digits}f} ± {half:.{digits}f}"


def losses_table(losses: Mapping[str, Mapping[str, Loss]], slice_s: float | None) -> Table:
    """One row a workload."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for head in loss_heads([slice_s]):
        table.add_column(head, justify="right")
    for workload, found in losses.items():
        table.add_row(workload, *loss_cells(found))
    return table


def missing(losses: Iterable[Mapping[str, Loss]]) -> Iterator[str]:
    """Why there are losses without a value."""
    for of_workload in losses:
        for name, loss in of_workload.items():
            if loss.mean is None:
                yield f"{name}: {loss.reason}"


def worst_of_all(losses: Iterable[tuple[str, Mapping[str, Loss]]]) -> str:
    """The largest loss of a 99th percentile of any slice in words; "" where nothing is lost.

    ``losses``: (where, losses of a workload).
    """
    found = [
        (loss.highest, where, loss)
        for where, of_workload in losses
        for name, loss in of_workload.items()
        if name == "e2e_p99_loss_worst" and loss.highest is not None and loss.highest > 0.0
    ]
    if not found:
        return ""
    highest, where, loss = max(found, key=lambda entry: entry[0])
    return (
        f"The worst of all: e2e p99 {100.0 * highest:+.1f} % of {where}, from "
        f"{span(loss.at_s or 0.0)} on under seed {loss.seed}"
    )
