"""What gave way in a run: a line of the summary."""

from __future__ import annotations

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
#: What took replicas down, how it reads.
_LOST = {
    "replica-fails": "lost power",
    "replica-cut": "failed with no path between GPUs",
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
    for kind, words in _LOST.items():
        lost = [row for row in rows if row["kind"] == kind]
        if lost:
            count = len({row["entity"] for row in lost})
            first = span(min(row["t_s"] for row in lost))
            plural = "s" if count > 1 else ""
            told.append(f"{count:,} replica{plural} {words}, the first after {first}")
    failed = result.metrics["failed"].value
    if told and failed:
        told.append(f"{failed:,.0f} requests of those measured failed")
    return f"Outages: {'; '.join(told)}" if told else ""
