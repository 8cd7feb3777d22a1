"""``rackplan show SCENARIO --fabric``: the network in numbers, as tables or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.summary import plain_text

if TYPE_CHECKING:
    from sim.check.scenario import Scenario
    from sim.site.fabric.measure import Cables, FabricNumbers, Level

_WORDS = {
    "gpu": "GPUs",
    "nic": "NICs",
    "node": "hosts",
    "storage": "storage nodes",
    "nvswitch": "NVLink domains",
    "leaf": "leaves",
    "spine": "spines",
    "core": "cores",
}
_ONE = {"gpu": "GPU", "nic": "NIC", "node": "host", "nvswitch": "NVLink"}


def print_fabric(scenario: Scenario, measured: FabricNumbers, out: Console) -> None:
    """Print counts, cables, oversubscription and bisection."""
    assert scenario.fabric is not None
    out.print(Text(f"Network of {plain_text(scenario.name)}: {_origin(scenario)}", "bold"))
    counts = [f"{n:,} {_WORDS[kind]}" for kind, n in measured.counts.items() if n]
    out.print(Text(", ".join(counts)))
    out.print()
    out.print(_cable_table(measured))
    out.print()
    for level in measured.levels:
        text = (
            f"Oversubscription of {_WORDS[level.kind]}: {level.oversubscription:.4g} "
            f"({rate_text(level.down_bytes_per_s)} down, {rate_text(level.up_bytes_per_s)} up)"
        )
        text += _not_as_asked(scenario, level)
        if level.worst is None:
            text += "; some have nothing above them"
        elif level.worst > level.oversubscription * 1.0001:
            text += f"; at worst {level.worst:.4g}"
        out.print(Text(text))
    out.print(Text(_bisection(measured)), soft_wrap=True)


def fabric_json(scenario: Scenario, measured: FabricNumbers) -> dict[str, Any]:
    """Everything as JSON types, in SI units; null: there is no such thing."""
    assert scenario.fabric is not None
    return {"scenario": scenario.name, "kind": scenario.fabric.kind, **asdict(measured)}


def _origin(scenario: Scenario) -> str:
    source = scenario.fabric
    assert source is not None
    if source.file is not None:
        return f"from {plain_text(source.file.name)}"
    plan = source.plan
    if plan is None:
        return "made by a function"
    if plan.radix is None or plan.kind in ("none", "nvlink-domain"):
        return plan.kind
    return f"{plan.kind}, switches of {plan.radix} × {rate_text(plan.port_bytes_per_s)}"


def _not_as_asked(scenario: Scenario, level: Level) -> str:
    """Why the leaves of a built-in kind have less below them than was asked for."""
    assert scenario.fabric is not None
    plan = scenario.fabric.plan
    if (
        plan is None
        or level.kind != "leaf"
        or level.oversubscription > plan.oversubscription - 1e-6
    ):
        return ""
    return f"; {plan.oversubscription:.4g} once every leaf is full"


def _cable_table(measured: FabricNumbers) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("between", no_wrap=True)
    for heading in ("cables", "each", "in all, one way"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in measured.cables:
        ends = f"{_ONE.get(row.lower, row.lower)} – {_ONE.get(row.upper, row.upper)}"
        table.add_row(ends, f"{row.count:,}", _each(row), rate_text(row.total_bytes_per_s))
    return table


def _each(row: Cables) -> str:
    slowest, fastest = rate_text(row.slowest_bytes_per_s), rate_text(row.fastest_bytes_per_s)
    return fastest if slowest == fastest else f"{slowest} to {fastest}"


def _bisection(measured: FabricNumbers) -> str:
    across, full = measured.bisection_bytes_per_s, measured.full_bisection_bytes_per_s
    if across is None or full is None:
        return "Bisection: nothing joins the servers' NICs"
    if full == 0.0:
        return "Bisection: the site has one server"
    share = 100.0 * across / full
    return (
        f"Bisection: {rate_text(across)} one way from the first half of the servers to the second, "
        f"{share:.3g} % of what its NICs send"
    )


def rate_text(bytes_per_s: float) -> str:
    """A rate as networks state it: ``400 Gb/s``."""
    bits = bytes_per_s * 8
    scale, unit = (1e12, "Tb/s") if bits >= 0.99995e12 else (1e9, "Gb/s")
    value = bits / scale
    return f"{value:,.0f} {unit}" if value >= 1000.0 else f"{value:.4g} {unit}"
