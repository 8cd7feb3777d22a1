"""What a power policy did, in one sentence of the summary."""

from __future__ import annotations

from collections import Counter

from sim.results.result import RunResult
from sim.results.wording import percent, span


def control_sentence(result: RunResult) -> str:
    """Controllers, commands, brakes, and who was slowed down; empty without power control."""
    kind = result.manifest["resolved"].get("policies", {}).get("power", {}).get("kind", "none")
    if kind == "none" or "controllers" not in result.tables:
        return ""
    rows = result.tables["controllers"].to_pylist()
    stands = ", ".join(f"{n} {kind}" for kind, n in Counter(row["kind"] for row in rows).items())
    metrics = result.metrics
    commands, brakes, brake = (metrics[name] for name in ("clock_commands", "brakes", "brake_s"))
    done = [f"Power control: {kind}"]
    if rows:
        done = [f"Power control: {kind} at {stands}: {commands.value:,.0f} commands to clocks"]
        if brake.value:
            nodes = sum(row["brakes"] > 0 for row in rows)
            where, added = (f" at {nodes} nodes", " added up") if nodes > 1 else ("", "")
            done.append(f"{brakes.value:,.0f} brakes{where}, on for {span(brake.value)}{added}")
        else:
            done.append("no brake")
    pools = [pool["name"] for pool in result.manifest["pools"]]

    def said(metric: str, pool: str) -> str | None:
        value = metrics[f"pools[{pool}].{metric}"].value
        return f"{pool} {percent(value)} of the time" if value else None

    slowed = [
        f"{words} (mean clock {percent(metrics[f'pools[{pool}].mean_clock'].value or 0.0)})"
        for pool in pools
        if (words := said("capped_fraction", pool))
    ]
    capped = [words for pool in pools if (words := said("cap_bound_fraction", pool))]
    held = [words for pool in pools if (words := said("blocked_held_fraction", pool))]
    if slowed:
        done.append(f"below their highest clock: {', '.join(slowed)}")
    if capped:
        done.append(f"slowed by a power cap: {', '.join(capped)}")
    if held:
        done.append(f"requests held back: {', '.join(held)}")
    if not slowed and not capped:
        done.append("every clock at its highest")
    return "; ".join(done)
