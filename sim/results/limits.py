"""What limits a run: every limit it has, how close it came, and which one binds.

The rule, which is also what ``Limit`` values are sorted by:

1. A power limit that was exceeded comes first: nothing in the run held the draw below it.
2. Then what held requests back, by its share: of replica time in which the head of a queue waited
   for it, or of arrivals that it cost. Less than ``TOUCH`` does not bind.
3. Then what did not bind, by use: the part of the limit that was used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from sim.results.latency import CAUSES
from sim.results.metrics import Metric
from sim.results.result import RunResult
from sim.results.wording import percent, span
from sim.units import format_si

#: A share of time or arrivals below which a limit counts as not touched, and the share of requests
#: that may miss while a workload still meets its objectives.
TOUCH = 0.01

_EXCEEDED, _HELD, _FREE = range(3)


@dataclass(frozen=True)
class Limit:
    """One limit of a run.

    Attributes:
        kind: "power", "refused", "queue", "kv", "sequences", "tokens", "speed" or "objective".
        entity: the power node, pool or workload it belongs to.
        binds: it was exceeded or held requests back.
        share: of the window, of replica time or of arrivals, in which it was hit.
        use: what was used of it, 1 = all; None where a share is all there is.
        sentence: what was seen, in numbers.
        label: its name, for "the nearest is …".
    """

    kind: str
    entity: str
    binds: bool
    share: float
    use: float | None
    sentence: str
    label: str

    def order(self) -> tuple[int, float, str]:
        """Sorts limits by the rule of this module."""
        if self.binds:
            rank = _EXCEEDED if self.kind == "power" else _HELD
            return (rank, -self.share, self.label)
        return (_FREE, -(self.use or 0.0), self.label)


def limits(result: RunResult) -> tuple[Limit, ...]:
    """Every limit of a run, the one that binds first."""
    found = [*_power(result), *_refusals(result), *_pools(result), *_speed(result)]
    found += _objectives(result)
    return tuple(sorted(found, key=Limit.order))


def _value(metrics: Mapping[str, Metric], name: str) -> float | None:
    return metrics[name].value


def _power(result: RunResult) -> Iterator[Limit]:
    window_s = result.manifest["window"]["measured_s"]
    for node in result.tables["power_nodes"].to_pylist():
        limit, peak, over = node["limit_w"], node["peak_w"], node["over_limit_s"]
        if not limit or peak is None or over is None:
            continue
        what = "budget" if node["budget_w"] is not None else "rating"
        label = f"the {what} of {node['name']}"
        seen = (
            f"peaked at {format_si(peak, 'W')} of {format_si(limit, 'W')} ({percent(peak / limit)})"
        )
        if over > 0:
            seen += f", over its {what} for {span(over)}"
        yield Limit(
            kind="power",
            entity=node["name"],
            binds=over > 0,
            share=over / window_s if window_s > 0 else 0.0,
            use=peak / limit,
            sentence=f"power: {node['name']} {seen}",
            label=label,
        )


def _refusals(result: RunResult) -> Iterator[Limit]:
    for workload in result.manifest["workloads"]:
        name = workload["name"]
        arrivals = _value(result.metrics, f"{name}.arrivals")
        if not arrivals:
            continue
        never = _value(result.metrics, f"{name}.never_fits") or 0.0
        full = _value(result.metrics, f"{name}.queue_full") or 0.0
        shed = _value(result.metrics, f"{name}.shed") or 0.0
        yield Limit(
            kind="refused",
            entity=workload["pool"],
            binds=never / arrivals >= TOUCH,
            share=never / arrivals,
            use=None,
            sentence=f"KV cache of one replica: {percent(never / arrivals)} of {name} requests are "
            f"larger than all of it in pool {workload['pool']} and were refused",
            label=f"the KV cache of one replica of {workload['pool']}",
        )
        yield Limit(
            kind="queue",
            entity=workload["pool"],
            binds=(full + shed) / arrivals >= TOUCH,
            share=(full + shed) / arrivals,
            use=None,
            sentence=f"queue limit: {percent((full + shed) / arrivals)} of {name} requests were "
            f"refused or pushed out at max_queue of pool {workload['pool']}",
            label=f"max_queue of {workload['pool']}",
        )


def _pools(result: RunResult) -> Iterator[Limit]:
    for pool in result.manifest["pools"]:
        name = pool["name"]
        values = {
            metric: _value(result.metrics, f"pools[{name}].{metric}")
            for metric in (
                "blocked_blocks_fraction", "blocked_sequences_fraction", "blocked_tokens_fraction",
                "kv_utilisation", "running_mean", "preemptions",
            )
        }  # fmt: skip
        if any(value is None for value in values.values()):
            continue
        known = {metric: value for metric, value in values.items() if value is not None}
        places = pool["max_sequences"] * pool["replicas"]
        waited = "the head of a queue waited for it for"
        blocked = known["blocked_blocks_fraction"]
        preempted = int(known["preemptions"])
        yield Limit(
            kind="kv",
            entity=name,
            binds=blocked >= TOUCH,
            share=blocked,
            use=known["kv_utilisation"],
            sentence=f"KV cache of pool {name}: {percent(known['kv_utilisation'])} full on "
            f"average, {waited} {percent(blocked)} of replica time, {preempted:,} preemptions",
            label=f"the KV cache of {name} (mean)",
        )
        blocked = known["blocked_sequences_fraction"]
        yield Limit(
            kind="sequences",
            entity=name,
            binds=blocked >= TOUCH,
            share=blocked,
            use=known["running_mean"] / places if places else None,
            sentence=f"max_sequences of pool {name}: {waited} {percent(blocked)} of replica time, "
            f"{known['running_mean']:.0f} of {places} places in use on average",
            label=f"max_sequences of {name} (mean)",
        )
        blocked = known["blocked_tokens_fraction"]
        yield Limit(
            kind="tokens",
            entity=name,
            binds=blocked >= TOUCH,
            share=blocked,
            use=None,
            sentence=f"token budget (max_batch_tokens) of pool {name}: {waited} "
            f"{percent(blocked)} of replica time, so prefill is what takes the time",
            label=f"the token budget of {name}",
        )


def _speed(result: RunResult) -> Iterator[Limit]:
    """Misses of requests that nothing held back: the iterations themselves are too slow.

    Where no queue's head waited for blocks, places or tokens, that is every miss; else the misses
    whose time went mainly into running.
    """
    counts = result.tables["summary/counts"]
    counts = counts.filter(counts.column("measured"))
    for workload in result.manifest["workloads"]:
        rows = counts.filter(pc.equal(counts.column("workload"), workload["name"])).to_pylist()
        arrivals = sum(row["n"] for row in rows)
        if not arrivals or not workload["objectives"]:
            continue
        by_cause = _sums(rows)
        ttft = by_cause["ttft"]
        free = _held(result, workload["pool"]) < TOUCH
        prefill = ttft["n"] if free or ttft["prefill_s"] >= ttft["queue_s"] else 0
        decode = by_cause["tpot"]["n"] + by_cause["e2e"]["n"]
        ended = sum(row["n"] for row in rows if row["outcome"] in _TOO_LATE) if free else 0
        share = (prefill + decode + ended) / arrivals
        phase = "before the first token" if prefill + ended > decode else "in decode"
        yield Limit(
            kind="speed",
            entity=workload["pool"],
            binds=share >= TOUCH,
            share=share,
            use=None,
            sentence=f"speed of pool {workload['pool']}: {percent(share)} of "
            f"{workload['name']} requests missed by the time iterations take, mostly {phase}",
            label=f"the speed of {workload['pool']}",
        )


_TOO_LATE = ("timed-out", "cancelled", "unfinished")


def _held(result: RunResult, pool: str) -> float:
    """Share of replica time in which the head of a queue of ``pool`` waited for anything."""
    return sum(
        _value(result.metrics, f"pools[{pool}].blocked_{what}_fraction") or 0.0
        for what in ("blocks", "sequences", "tokens")
    )


def _sums(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found = {cause: {"n": 0.0, "queue_s": 0.0, "prefill_s": 0.0} for cause in CAUSES}
    for row in rows:
        mine = found[row["cause"]]
        for column in mine:
            mine[column] += row[column]
    return found


def _objectives(result: RunResult) -> Iterator[Limit]:
    """How near the 99th percentile came to each objective that was met."""
    for workload in result.manifest["workloads"]:
        name = workload["name"]
        for family, objective in workload["objectives"].items():
            value = _value(result.metrics, f"{name}.{family}_p99")
            if value is None:
                continue
            yield Limit(
                kind="objective",
                entity=name,
                binds=False,
                share=0.0,
                use=value / objective,
                sentence=f"{name}: {family.upper()} p99 {format_si(value, 's')} of "
                f"{format_si(objective, 's')}",
                label=f"the {family.upper()} objective of {name} (p99)",
            )
