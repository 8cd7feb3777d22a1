"""What limits a run: every limit it has, how close it came, and which one binds.

The rule, which is also what ``Limit`` values are sorted by:

1. What held requests back comes first, by its share: of replica time in which the head of a queue
   waited for it, or of arrivals that it cost. Less than ``TOUCH`` does not bind, nor does a wait in
   a pool whose workloads all meet their objectives. Speed comes first of these where the median
   request decodes slower than its objective: more room in a batch could only slow it further.
   So does power control that kept clocks down, or requests back, for most of the time.
2. Then a power limit that was exceeded: nothing in the run held the draw below it, so it cost no
   request anything, but the site cannot go on like that.
3. Then what did not bind, by use: the part of the limit that was used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sim.results.control_limits import control_limits
from sim.results.failed_limits import failed_limits
from sim.results.handover_limits import ROW_BITS, Held, held_of, network_limits, senders
from sim.results.limit import TOUCH, Limit
from sim.results.metrics import Metric
from sim.results.path_limits import path_limits
from sim.results.result import RunResult
from sim.results.speed import speed_limits
from sim.results.wording import percent, span
from sim.units import format_si


def limits(result: RunResult) -> tuple[Limit, ...]:
    """Every limit of a run, the one that binds first."""
    content = frozenset(
        pool["name"] for pool in result.manifest["pools"] if _content(result, pool["name"])
    )
    held = held_of(result)
    found = [*_power(result), *_refusals(result), *failed_limits(result)]
    found += [*_pools(result, content, held), *network_limits(result, held, content)]
    found += [*speed_limits(result), *control_limits(result, content)]
    found += [*path_limits(result), *_objectives(result)]
    return tuple(sorted(found, key=Limit.order))


def _value(metrics: Mapping[str, Metric], name: str) -> float | None:
    return metrics[name].value


def _power(result: RunResult) -> Iterator[Limit]:
    window_s = result.manifest["window"]["measured_s"]
    for node in result.tables["power_nodes"].to_pylist():
        limit, peak, over = node["limit_w"], node["nearest_w"], node["over_limit_s"]
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


#: Reason code of a refusal for size → what was too small.
_SIZES = {"context": "the LLM's context", "kv-capacity": "the KV cache of any replica"}


def _beyond_context(result: RunResult, workload: str) -> bool:
    """Whether most requests of ``workload`` that were too large exceeded the LLM's context."""
    index = [entry["name"] for entry in result.manifest["workloads"]].index(workload)
    reasons = [
        row["reason_code"]
        for row in result.tables["decisions"].to_pylist()
        if row["role"] == "routing"
        and row["reason_code"] in _SIZES
        and row["suggestion"] == ""
        and int(row["subject"]) >> ROW_BITS == index
    ]
    return 2 * reasons.count("context") > len(reasons)


def _refusals(result: RunResult) -> Iterator[Limit]:
    for workload in result.manifest["workloads"]:
        name = workload["name"]
        arrivals = _value(result.metrics, f"{name}.arrivals")
        if not arrivals:
            continue
        never = _value(result.metrics, f"{name}.never_fits") or 0.0
        size = "context" if _beyond_context(result, name) else "kv-capacity"
        full = _value(result.metrics, f"{name}.queue_full") or 0.0
        shed = _value(result.metrics, f"{name}.shed") or 0.0
        yield Limit(
            kind=f"refused-{size}",
            entity=workload["pool"],
            binds=never / arrivals >= TOUCH,
            share=never / arrivals,
            use=None,
            sentence=f"request size: {percent(never / arrivals)} of {name} requests exceed "
            f"{_SIZES[size]} in pool {workload['pool']} and were refused",
            label=f"the request size that pool {workload['pool']} can take",
        )
        limited = _limited(result, workload)
        yield Limit(
            kind="queue",
            entity=limited[0],
            binds=(full + shed) / arrivals >= TOUCH,
            share=(full + shed) / arrivals,
            use=None,
            sentence=f"queue limit: {percent((full + shed) / arrivals)} of {name} requests were "
            f"refused or pushed out at max_queue of pool {' or '.join(limited)}",
            label=f"max_queue of {' or '.join(limited)}",
        )


def _limited(result: RunResult, workload: Mapping[str, Any]) -> list[str]:
    """The pools of a workload that have a max_queue; its first one if none has."""
    pools = {pool["name"]: pool for pool in result.manifest["pools"]}
    first = workload["pool"]
    mine = [first, pools.get(first, {}).get("decode")]
    limited = [name for name in mine if name in pools and pools[name]["max_queue"] is not None]
    return limited or [first]


def _pools(result: RunResult, content: frozenset[str], held: Mapping[str, Held]) -> Iterator[Limit]:
    sender_of = senders(result.manifest)
    for pool in result.manifest["pools"]:
        name = pool["name"]
        mine, senders_held = held.get(name), held.get(sender_of.get(name, ""))
        # Prompts that wait for this pool fill the other one: that is where it shows first.
        causes = senders_held is not None and (
            senders_held.waits_downstream and not senders_held.network_holds
        )
        beyond = ""
        if mine is not None and mine.waits_downstream:
            beyond = f"; most of it held prompts on their way to pool {pool['decode']}"
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
        matters = name not in content
        waited = "the head of a queue waited for it for"
        blocked = known["blocked_blocks_fraction"]
        preempted = int(known["preemptions"])
        yield Limit(
            kind="kv",
            entity=name,
            binds=matters and blocked >= TOUCH,
            share=blocked,
            use=known["kv_utilisation"],
            sentence=f"KV cache of pool {name}: {percent(known['kv_utilisation'])} full on "
            f"average, {waited} {percent(blocked)} of replica time, {preempted:,} preemptions"
            f"{beyond}",
            label=f"the KV cache of {name} (mean)",
            outranks=causes and matters and blocked >= TOUCH,
        )
        blocked = known["blocked_sequences_fraction"]
        yield Limit(
            kind="sequences",
            entity=name,
            binds=matters and blocked >= TOUCH,
            share=blocked,
            use=known["running_mean"] / places if places else None,
            sentence=f"max_sequences of pool {name}: {waited} {percent(blocked)} of replica time, "
            f"{known['running_mean']:.0f} of {places} places in use on average",
            label=f"max_sequences of {name} (mean)",
            outranks=causes and matters and blocked >= TOUCH,
        )
        blocked = known["blocked_tokens_fraction"]
        yield Limit(
            kind="tokens",
            entity=name,
            binds=matters and blocked >= TOUCH,
            share=blocked,
            use=None,
            sentence=f"token budget (max_batch_tokens) of pool {name}: {waited} "
            f"{percent(blocked)} of replica time, so prefill is what takes the time",
            label=f"the token budget of {name}",
        )


def _content(result: RunResult, pool: str) -> bool:
    """Whether workloads with objectives use the pool, and all of them meet theirs."""
    sent_to = senders(result.manifest).get(pool, pool)
    goodputs = [
        _value(result.metrics, f"{workload['name']}.goodput_fraction")
        for workload in result.manifest["workloads"]
        if workload["pool"] == sent_to and workload["objectives"]
    ]
    known = [goodput for goodput in goodputs if goodput is not None]
    return bool(known) and all(1.0 - goodput <= TOUCH for goodput in known)


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
