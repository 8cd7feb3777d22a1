"""The summary of a placement, of one seed or several: what stays unallocated, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.summary import Marks, plain_text
from sim.cli.summary_seeds import half_width, print_expectations
from sim.results.metrics import Metric
from sim.results.placement_metrics import FAILURES, STEPS
from sim.results.result import RunResult
from sim.results.wording import percent, quantity, shown
from sim.study.naming import seeds_in_words
from sim.study.result import SeedsResult

_ROWS = {
    **{name: f"at {100 * at:g} %" for name, at in STEPS.items()},
    "unallocated": "at the end",
    "fragmentation": "of it fragmented",
    "placed": "pods placed",
    "failed": "pods without a place",
}
_WANT = {
    "failed_gpu_type": "for want of a GPU type", "failed_gpu": "for want of GPUs",
    "failed_cpu": "for want of CPU", "failed_memory": "for want of memory",
    "failed_isolation": "for want of a domain of their own",
    "failed_quota": "because of a quota", "failed_preempted": "that were preempted",
}  # fmt: skip


def print_placement(result: RunResult, out: Console) -> None:
    """Print the summary of one seed."""
    manifest, metrics = result.manifest, result.metrics
    _print_head(manifest, f"seed {manifest['seed']}", metrics, out)
    table = _table("GPUs not allocated", "")
    for name, label in _rows(metrics):
        table.add_row(label, shown(metrics[name]))
    out.print(table)
    _print_end(result, out)


def print_placement_seeds(result: SeedsResult, out: Console) -> None:
    """Print the summary of several seeds."""
    metrics = result.metrics
    _print_head(result.manifest, seeds_in_words(result.seeds), metrics, out)
    for failed in result.manifest["failed"]:
        reason = failed["reason"].partition("\n")[0]
        out.print(Text(plain_text(f"Seed {failed['seed']} failed: {reason}"), "red"))
    table = _table("GPUs not allocated", "mean", "± (95 %)", "lowest seed", "highest seed")
    for name, label in _rows(metrics):
        metric, definition = metrics[name], metrics[name].definition
        seeds = [seed[name].value for seed in result.by_seed.values()]
        values = [value for value in seeds if value is not None]
        half = half_width(metric)
        table.add_row(
            label,
            *(
                "none" if value is None else quantity(value, definition.unit, definition.dimension)
                for value in (metric.value, half, min(values), max(values))
            ),
        )
    out.print(table)
    _print_end(result, out)


def _print_head(
    manifest: Mapping[str, Any], seeds: str, metrics: Mapping[str, Metric], out: Console
) -> None:
    resolved, nodes, pods = manifest["resolved"], manifest["nodes"], manifest["pods"]
    arrival = resolved["arrival"]
    until = "each pod once, as listed" if arrival == "list" else f"arrival {percent(arrival)}"
    policy = resolved["policies"]["placement"]["kind"]
    idle = shown(metrics["unallocated"])
    out.print(Text(plain_text(f"{policy} leaves {idle} of the GPUs unallocated"), "bold"))
    out.print(
        Text(
            plain_text(
                f"{manifest['scenario']}, {seeds}: {pods['count']:,} pods ({resolved['pods']}), "
                f"demand {percent(pods['demand'])} of {nodes['gpus']:,} GPUs on "
                f"{nodes['count']:,} nodes ({resolved['nodes']}); {until}"
            ),
            "dim",
        )
    )
    out.print()


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _rows(metrics: Mapping[str, Metric]) -> Iterator[tuple[str, str]]:
    """Metrics that were measured, and reasons that there were, with what they are called."""
    for name, label in _ROWS.items():
        if metrics[name].value is not None:
            yield name, label
    for name in FAILURES:
        if metrics[name].value:
            yield name, f"  {_WANT[name]}"


def _print_end(result: RunResult | SeedsResult, out: Console) -> None:
    for warning in result.manifest["warnings"]:
        out.print(Text.assemble(("Warning: ", "yellow"), plain_text(warning)))
    print_expectations(result.manifest["expectations"], result.metrics, Marks(out), out)
    if result.folder is not None:
        beside = ", and a folder beside it for each seed" * isinstance(result, SeedsResult)
        out.print(Text(f"Results: {plain_text(result.folder)}{beside}"))
