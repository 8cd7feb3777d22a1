"""What to try next: one setting to change, chosen by what binds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sim.results.limit import Limit
from sim.results.metrics import Metric
from sim.results.network_advice import SECOND_WAY, faster_network, sooner_loaded
from sim.units import format_si

#: How far a suggested step goes beyond what was measured.
_STEP = 1.2


def next_step(
    manifest: Mapping[str, Any],
    metrics: Mapping[str, Metric],
    binding: Limit | None,
    status: str,
    fullest_tier: str = "",
) -> str:
    """A sentence with a ``--set`` that moves the binding limit, or adds load if none binds."""
    if status == "partial":
        return "run it to its end before reading more into it"
    if binding is None:
        return _more_load(manifest, metrics)
    if binding.kind == "power":
        return _power(metrics, binding)
    if binding.kind == "outage":
        return "a second feed, a battery, a reserve or a larger rating before what gave way"
    if binding.kind == "control":
        return "what power control costs: --set 'policies.power={kind: none}'"
    if binding.kind == "path":
        return f"a site nearer to the users of {binding.entity}, or a shorter workload.path"
    if binding.kind == "first-token":
        return "rows that tell its parts apart: --set record.level=sampled"
    if binding.kind == "network":
        return faster_network(manifest, fullest_tier)
    if binding.kind == "partition":
        return SECOND_WAY
    if binding.kind == "weights":
        return sooner_loaded(manifest, binding.entity)
    pool = next((pool for pool in manifest["pools"] if pool["name"] == binding.entity), None)
    if pool is None:
        return ""
    more = _more_replicas(manifest, pool)
    if binding.kind == "refused-context":
        return "an LLM with a longer context, or shorter requests"
    if binding.kind == "refused-kv-capacity":
        return "replicas with more KV cache: a larger tensor_parallel or memory_utilisation"
    if binding.kind == "sequences":
        places = 2 * pool["max_sequences"]
        tokens = max(pool["max_batch_tokens"], places)  # every sequence needs a token
        batching = _batching(manifest, pool, max_batch_tokens=tokens, max_sequences=places)
        return f"let more run at once: {batching}, or {more}"
    if binding.kind == "tokens":
        batching = _batching(manifest, pool, max_batch_tokens=2 * pool["max_batch_tokens"])
        return f"{more}, or let an iteration take more: {batching}"
    running = metrics[f"pools[{pool['name']}].running_mean"].value or 0.0
    if binding.kind == "speed" and running <= pool["replicas"]:
        return "faster replicas, since requests hardly share one: a larger tensor_parallel"
    return more


def _more_replicas(manifest: Mapping[str, Any], pool: Mapping[str, Any]) -> str:
    """A fifth more replicas, or as many as the site has GPUs for."""
    fits = pool["replicas"] + manifest["site"]["free_gpus"] // pool["gpus_per_replica"]
    wanted = min(math.ceil(pool["replicas"] * _STEP), fits)
    if wanted <= pool["replicas"]:
        return "more racks, since every GPU of the site is in use, and then more replicas"
    return f"more replicas: --set 'pools[{pool['name']}].replicas={wanted}'"


def _batching(manifest: Mapping[str, Any], pool: Mapping[str, Any], **changes: int) -> str:
    """The pool's whole batching policy with ``changes``: it holds wherever the file sets it."""
    written = _by_name(manifest["resolved"].get("pools")).get(pool["name"], {})
    policy = {**written.get("policies", {}).get("batching", {}), **changes}
    text = ", ".join(f"{key}: {value}" for key, value in policy.items())
    return f"--set 'pools[{pool['name']}].policies.batching={{{text}}}'"


def _by_name(entries: Any) -> dict[str, dict[str, Any]]:
    """The entries of a list in the resolved scenario, by their names."""
    return {
        entry["name"]: entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    }


def _power(metrics: Mapping[str, Metric], binding: Limit) -> str:
    peak = metrics[f"power[{binding.entity}].peak_w"].value or 0.0
    # Rounded up to two digits: a budget is not contracted to the watt.
    unit = 10.0 ** (math.floor(math.log10(peak)) - 1)
    needed = format_si(math.ceil(peak / unit) * unit, "W")
    if binding.label.startswith("the budget of utility"):
        return f"what a larger contract gives: --set 'power.utility.budget={needed}'"
    return f"less load below {binding.entity}, or a rating of {needed} for it"


def _more_load(manifest: Mapping[str, Any], metrics: Mapping[str, Metric]) -> str:
    written = _by_name(manifest["resolved"].get("workload"))
    for workload in manifest["workloads"]:
        name = workload["name"]
        entry = written.get(name, {})
        clients = entry.get("clients")
        if isinstance(clients, int):
            return f"more load: --set 'workload[{name}].clients={math.ceil(clients * _STEP)}'"
        # Of a daily profile the run may have seen other hours than the mean, which is what is set.
        rate = entry.get("rate_per_s") or metrics[f"{name}.arrival_rate"].value
        if rate:
            return f"more load: --set 'workload[{name}].rate={_three_digits(rate * _STEP):g} /s'"
    return ""


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
