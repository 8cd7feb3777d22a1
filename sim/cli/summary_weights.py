"""What replicas that started loaded, and how long that took: a line of the summary."""

from __future__ import annotations

from collections import Counter
from statistics import median

from sim.results.result import RunResult
from sim.results.wording import span
from sim.units import format_si


def weights_sentence(result: RunResult) -> str:
    """How many replicas loaded their weights, how long, and what bound them; empty if none did."""
    if "transfers" not in result.tables:
        return ""
    rows = [row for row in result.tables["transfers"].to_pylist() if row["kind"] == "weights"]
    if not rows:
        return ""
    done = [row for row in rows if row["outcome"] == "arrived"]
    told = []
    if done:
        took_s = [row["end_s"] - row["ready_s"] for row in done]
        alone_s = [row["alone_s"] for row in done]
        size = format_si(sum(row["size_bytes"] for row in done), "B")
        told.append(f"{len(done):,} load{'s' if len(done) > 1 else ''}, {size} in all")
        told.append(
            f"{_between(min(took_s), median(took_s), max(took_s))}; alone they would take "
            f"{_between(min(alone_s), median(alone_s), max(alone_s))}"
        )
        slowest = max(done, key=lambda row: row["bound_s"])
        told.append(
            f"no link needed longer for what it carried than {slowest['bound']}: "
            f"{span(slowest['bound_s'])}"
        )
    outcomes = Counter(row["outcome"] for row in rows)
    for outcome, words in (("withdrawn", "given up"), ("unfinished", "not over at the end")):
        if outcomes[outcome]:
            told.append(f"{outcomes[outcome]:,} {words}")
    return f"Weights: {'; '.join(told)}"


def _between(least_s: float, middle_s: float, most_s: float) -> str:
    """``4.10 s each``, or ``1.03 s to 3.08 s, median 2.05 s``."""
    if span(least_s) == span(most_s):
        return f"{span(most_s)} each"
    return f"{span(least_s)} to {span(most_s)}, median {span(middle_s)}"
