"""What gave way in a run: a line of the summary."""

from __future__ import annotations

from collections import Counter

from sim.results.result import RunResult
from sim.results.wording import span

#: Events of the facility that an operator wants to know of, and how they read.
_TOLD = {
    "fails": "failed",
    "module-fails": "lost modules",
    "trips": "tripped",
    "to-bypass": "went to bypass",
    "drops-load": "let the load go",
    "on-battery": "ran on battery",
    "battery-empty": "ran out of battery",
}
#: Names that are told of one kind of event.
_NAMES = 3


def outage_sentence(result: RunResult) -> str:
    """What failed, tripped or changed over, and what that cost; empty if nothing did."""
    if "events" not in result.tables:
        return ""
    rows = [row for row in result.tables["events"].to_pylist() if row["t_s"] is not None]
    told = []
    for kind, words in _TOLD.items():
        names = list(dict.fromkeys(row["entity"] for row in rows if row["kind"] == kind))
        if names:
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            told.append(f"{', '.join(names[:_NAMES])}{more} {words}")
    lost = Counter(row["entity"] for row in rows if row["kind"] == "replica-fails")
    if lost:
        first_s = min(row["t_s"] for row in rows if row["kind"] == "replica-fails")
        failed = result.metrics["failed"].value or 0.0
        told.append(
            f"{len(lost):,} replica{'s' if len(lost) > 1 else ''} lost power, the first after "
            f"{span(first_s)}; {failed:,.0f} requests of those measured failed"
        )
    return f"Outages: {'; '.join(told)}" if told else ""
