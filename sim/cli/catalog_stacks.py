"""``rackplan catalog stack``: the serving stacks that were fitted, and how far off they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console


def show_stacks(console: Console, name: str | None, as_json: bool) -> None:
    """All stacks with the errors of held-out runs, or all numbers of one.

    Raises:
        UnknownName: no such stack.
    """
    from sim.perf.calibration import read_tree
    from sim.perf.stacks import FILE, stack_named

    tree = read_tree(*FILE)
    if name is not None:
        name = stack_named(name).name
    if as_json:
        print(json.dumps(tree["stacks"] if name is None else tree["stacks"][name], indent=2))
    elif name is None:
        _table(console, tree)
    else:
        _one(console, name, tree)


def _table(console: Console, tree: Mapping[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False, title="serving stacks", title_justify="left")
    table.add_column("name", style="bold", no_wrap=True)
    for heading in ("LLMs", "GPUs", "runs", "TPOT", "tokens/s", "TTFT"):
        left = heading in ("LLMs", "GPUs")
        table.add_column(
            heading, justify="left" if left else "right", overflow="fold", no_wrap=not left
        )
    for name, entry in tree["stacks"].items():
        errors = entry.get("errors")
        measured = entry["measured"]
        table.add_row(
            name, ", ".join(measured["llms"]) if errors else "all",
            ", ".join(measured["gpus"]), *_errors(errors),
        )  # fmt: skip
    console.print(table)
    console.print("Median errors, as absolute shares, of runs that the fit did not see. Classes:")
    for kind, errors in tree["errors"].items():
        parts = _errors(errors)
        console.print(
            f"  {kind}: {parts[0]} runs, TPOT {parts[1]}, throughput {parts[2]}, TTFT {parts[3]}, "
            f"rank correlation {errors['tau']:.2f}",
            highlight=False,
        )


def _errors(errors: Mapping[str, Any] | None) -> tuple[str, ...]:
    if not errors:
        return ("",) * 4
    shares = (f"{100 * errors[name][0]:.1f} %" for name in ("tpot", "throughput", "ttft"))
    return (f"{errors['runs']}", *shares)


def _one(console: Console, name: str, tree: Mapping[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    entry, bounds = tree["stacks"][name], tree["bounds"]
    console.print(f"[bold]{name}[/bold] (stack, data/calibration/stacks.yaml)")
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("parameter", "value", "bounds", "meaning"):
        table.add_column(heading, justify="right" if heading in ("value", "bounds") else "left")
    for key, value in entry["parameters"].items():
        low, high = bounds[key]
        table.add_row(key, f"{value:.4g}", f"{low:g} to {high:g}", tree["meaning"][key])
    for key, value in entry["protocol"].items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(key, shown, "", tree["meaning"][key])
    console.print(table)
    for key, value in entry["measured"].items():
        console.print(f"measured {key}: {value}", highlight=False)
    if entry.get("errors"):
        errors = {key: value for key, value in entry["errors"].items() if key != "residuals"}
        console.print(f"held out: {errors} (median, P90)", highlight=False)
    console.print(f"source: {tree['record']['source']} · {tree['record']['licence']}")
