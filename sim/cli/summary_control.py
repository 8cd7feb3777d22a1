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
            done.append(f"{brakes.value:,.0f} brakes, on for {span(brake.value)}")
        else:
            done.append("no brake")
    slowed = []
    for pool in result.manifest["pools"]:
        name = pool["name"]
        capped, mean = (metrics[f"pools[{name}].{m}"] for m in ("capped_fraction", "mean_clock"))
        if capped.value and mean.value is not None:
            slowed.append(
                f"{name} {percent(capped.value)} of the time (mean clock {percent(mean.value)})"
            )
    if slowed:
        done.append(f"below their highest clock: {', '.join(slowed)}")
    else:
        done.append("every clock at its highest")
    return "; ".join(done)
