"""What clients sent again, and what that was worth: a line of the summary."""

from __future__ import annotations

from sim.results.result import RunResult

#: Outcomes of a last attempt that left a client without an answer, and how they read.
_LOST = {
    "failed": "failed",
    "queue_full": "refused (queue full)",
    "shed": "shed",
    "timed_out": "timed out",
}


def retry_sentence(result: RunResult) -> str:
    """How often requests were sent again, and how many got no answer; empty if nobody sends again.

    Of the requests that first arrived in the measurement window.
    """
    if not any(workload.get("retry") for workload in _workloads(result)):
        return ""
    metrics = result.metrics
    again = metrics["retries"].value or 0.0
    lost = {words: metrics[name].value or 0.0 for name, words in _LOST.items()}
    parts = ", ".join(f"{number:,.0f} {words}" for words, number in lost.items() if number)
    rate = metrics["arrivals"].value or 0.0
    load = f" ({1 + again / rate:.3g} attempts for each request)" if rate else ""
    ended = f"in the end {sum(lost.values()):,.0f} got no answer"
    return f"Retries: requests were sent again {again:,.0f} times{load}; {ended}" + (
        f": {parts}" if parts else ""
    )


def _workloads(result: RunResult) -> list[dict[str, object]]:
    resolved = result.manifest.get("resolved") or {}
    found = resolved.get("workload") if isinstance(resolved, dict) else None
    return found if isinstance(found, list) else []
