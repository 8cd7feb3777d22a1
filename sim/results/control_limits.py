"""Whether a power policy limits a run: clocks that it kept down, requests that it held back."""

from __future__ import annotations

from collections.abc import Iterator

from sim.results.limit import TOUCH, Limit
from sim.results.result import RunResult
from sim.results.wording import percent

#: Slowed or held for most of the time, it comes before the speed that it leaves.
_MOST = 0.5


def control_limits(result: RunResult, content: frozenset[str]) -> Iterator[Limit]:
    """One limit for each pool that a power policy touched.

    Args:
        content: pools whose workloads meet all their objectives: whatever was done to them, it
            held nobody back.
    """
    for pool in result.manifest["pools"]:
        name = pool["name"]
        locked, capped, held = (
            result.metrics[f"pools[{name}].{metric}"].value or 0.0
            for metric in ("capped_fraction", "cap_bound_fraction", "blocked_held_fraction")
        )
        share = max(locked, capped, held)
        if share == 0.0:
            continue
        done = [
            f"{words} {percent(part)} of the time"
            for part, words in (
                (locked, "clocks locked below their highest"),
                (capped, "clocks kept down by a power cap"),
                (held, "requests held back"),
            )
            if part > 0.0
        ]
        yield Limit(
            kind="control",
            entity=name,
            binds=name not in content and share >= TOUCH,
            share=share,
            use=None,
            sentence=f"power control of pool {name}: {', '.join(done)}",
            label=f"power control of {name}",
            outranks=share >= _MOST,
        )
