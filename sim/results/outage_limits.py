"""What failures cost: requests that failed, and what gave way under them."""

from __future__ import annotations

from collections.abc import Iterator

from sim.results.limit import TOUCH, Limit
from sim.results.result import RunResult
from sim.results.wording import percent

#: Kind of event → what it did to requests; the first of them is of power, the others of the
#: network.
CAUSES = {
    "replica-fails": "their replica lost power",
    "replica-cut": "the servers of their replica were cut apart",
    "partition": "nothing joined them to the pool that was to decode them",
}


def outage_limits(result: RunResult) -> Iterator[Limit]:
    """One of each workload."""
    seen = {row["kind"] for row in result.tables["events"].to_pylist()}
    causes = [text for kind, text in CAUSES.items() if kind in seen]
    for workload in result.manifest["workloads"]:
        name, pool = workload["name"], workload["pool"]
        arrivals = result.metrics[f"{name}.arrivals"].value
        if not arrivals:
            continue
        failed = (result.metrics[f"{name}.failed"].value or 0.0) / arrivals
        why = ", or ".join([*causes, f"no replica of pool {pool} was serving"])
        yield Limit(
            kind="partition" if causes and "replica-fails" not in seen else "outage",
            entity=pool,
            binds=failed >= TOUCH,
            share=failed,
            use=None,
            sentence=f"outages: {percent(failed)} of {name} requests failed: {why}",
            label=f"outages of {pool}",
            outranks=failed >= TOUCH,
        )
