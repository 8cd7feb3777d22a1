"""Replicas that came, were placed anew, moved or waited for a place: a line of the summary."""

from __future__ import annotations

from collections import Counter

from sim.results.explain import replicas_of
from sim.results.result import RunResult
from sim.results.wording import span

#: Events that are counted, and how they read.
_TOLD = {
    "replica-added": "came",
    "replica-replaced": "{} placed elsewhere",
    "replica-moved": "moved",
    "migration-ends": "set out and stayed",
    "migration-refused": "could not move",
}
#: What ends a wait for a place.
_ENDS = ("replica-added", "replica-replaced", "replica-returns", "replica-removed")


def places_sentence(result: RunResult) -> str:
    """What became of replicas' places during the run; empty if they all kept theirs."""
    if "events" not in result.tables:
        return ""
    rows = [row for row in result.tables["events"].to_pylist() if row["t_s"] is not None]
    counts = Counter(row["kind"] for row in rows)
    told = []
    for kind, words in _TOLD.items():
        if count := counts[kind]:
            verb = words.format("were" if count > 1 else "was")
            told.append(f"{count:,} replica{'s' if count > 1 else ''} {verb}")
    names = {f"replica {one.everywhere}": name for name, one in replicas_of(result).items()}
    waits, still = _waits(rows)
    if waits:
        longest, waited_s = max(waits, key=lambda one: one[1])
        told.append(
            f"{len(waits):,} waited for GPUs, {names[longest]} the longest, {span(waited_s)}"
        )
    if still:
        some = ", ".join(names[one] for one in still[:3])
        more = f" and {len(still) - 3} more" if len(still) > 3 else ""
        told.append(f"{some}{more} {'wait' if len(still) > 1 else 'waits'} to the end")
    return f"Places: {'; '.join(told)} (rackplan explain tells why)" if told else ""


def _waits(rows: list[dict[str, object]]) -> tuple[list[tuple[str, float]], list[str]]:
    """(replica, seconds) of each wait that ended, and who waits still."""
    since: dict[str, float] = {}
    ended = []
    for row in rows:
        who, time_s = str(row["entity"]), float(str(row["t_s"]))
        if row["kind"] == "replica-waits":
            since.setdefault(who, time_s)
        elif row["kind"] in _ENDS and who in since:
            ended.append((who, time_s - since.pop(who)))
    return ended, list(since)
