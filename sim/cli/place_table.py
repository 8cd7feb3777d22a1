"""What ``rackplan place`` found, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Columns of the curve: arrivals at which a policy that starves some pods looks different.
_SHOWN = ("90", "95", "100")


def print_report(answer: Mapping[str, Any], out: Console) -> None:
    """One line a policy, then why pods failed, then notes."""
    nodes, pods, seeds = answer["nodes"], answer["pods"], answer["seeds"]
    out.print(
        Text(
            f"{pods['count']:,} pods ({pods['file']}), demand {pods['demand_pct']:.1f} % of "
            f"{nodes['gpus']:,} GPUs on {nodes['count']:,} nodes ({nodes['file']}); "
            f"{_arrival(answer['arrival_pct'])}, {_seeds(seeds)}"
        )
    )
    out.print()
    out.print(_table(answer))
    out.print()
    out.print(_failures(answer))
    if bound := answer.get("bound"):
        out.print()
        out.print(Text(bound["sentence"]))
    if found := answer.get("optimal"):
        out.print()
        out.print(_optimal(found))
        out.print()
        out.print(Text(found["sentence"]))
    for note in answer["notes"]:
        out.print(Text.assemble(("Note: ", "yellow"), note))


def _arrival(percent: float | None) -> str:
    return "each pod once, as listed" if percent is None else f"arrival {percent:g} %"


def _seeds(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"{len(seeds)} seeds ({seeds[0]} to {seeds[-1]}), mean ± standard deviation"


def _table(answer: Mapping[str, Any]) -> Table:
    """GPUs not allocated, at the end and on the way."""
    many = len(answer["seeds"]) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("GPUs not allocated, %")
    first = next(iter(answer["policies"].values()))
    end = list(first["at_arrival_pct"])[-1]
    steps = [step for step in _SHOWN if step in first["at_arrival_pct"] and step != end]
    for step in (*steps, end):
        table.add_column(f"at {float(step):.4g} %", justify="right")
    for name in ("fragmented", "pods placed", "failed", "s a run"):
        table.add_column(name, justify="right")
    ranked = sorted(
        answer["policies"].items(), key=lambda pair: -pair[1]["unallocated_pct"]["mean"]
    )
    for kind, found in ranked:
        curve = found["at_arrival_pct"]
        table.add_row(
            kind,
            *(f"{curve[step]['unallocated_pct']['mean']:.2f}" for step in steps),
            _spread(found["unallocated_pct"], many),
            f"{found['fragmentation_pct']['mean']:.2f}",
            f"{found['placed']['mean']:,.0f}",
            f"{found['failed']['mean']:,.0f}",
            f"{found['seconds']['mean']:.2f}",
        )
    return table


def _optimal(found: Mapping[str, Any]) -> Table:
    """GPUs allocated by each policy, the best placement found, and the bound, for one seed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"GPUs allocated at the end, seed {found['seed']}")
    for name in ("GPUs", "below the best found", "below the bound"):
        table.add_column(name, justify="right")
    for kind, one in sorted(found["policies"].items(), key=lambda pair: pair[1]["allocated_gpus"]):
        numbers = (one["allocated_gpus"], one["below_found_gpus"], one["below_bound_gpus"])
        table.add_row(kind, *(f"{number:,.2f}" for number in numbers))
    best, bound = found["found_gpus"], found["bound_gpus"]
    table.add_row("best found", f"{best:,.2f}", "", f"{bound - best:,.2f}")
    table.add_row("bound", f"{bound:,.2f}", "", "")
    return table


def _spread(found: Mapping[str, float], many: bool) -> str:
    return f"{found['mean']:.2f}" + (f" ± {found['std']:.2f}" if many else "")


def _failures(answer: Mapping[str, Any]) -> Table:
    """Pods without a place by what stood in the way, for each policy; only reasons there are."""
    policies = answer["policies"]
    reasons = [
        name
        for name in next(iter(policies.values()))["failures"]
        if any(found["failures"][name]["mean"] > 0 for found in policies.values())
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("pods without a place, for want of")
    for name in reasons:
        table.add_column(_WANT.get(name, name), justify="right")
    for kind, found in policies.items():
        table.add_row(kind, *(f"{found['failures'][name]['mean']:,.1f}" for name in reasons))
    return table if reasons else Table(box=None)


_WANT = {"gpu_type": "GPU type", "gpu": "GPUs", "cpu": "CPU", "isolation": "a node of their own"}
