"""Words people bring from Kubernetes manifests and serving engines, and where they lead here.

One table: where a word is met, the word, and a hint. ``{value}`` stands for what was written when
that is a number or a short text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sim.spec.nodes import Path, shorten

_TP = "a replica takes tensor_parallel × pipeline_parallel GPUs; write 'tensor_parallel: {value}'"
_KUBERNETES = (
    "this is not a Kubernetes manifest; 'rackplan new NAME' writes a scenario to start from"
)
_CONTAINER = (
    "a pool has no containers; it says which LLM runs (llm) on how many GPUs (tensor_parallel)"
)
_PRECISION = (
    "the precision of weights belongs to the LLM: llms[].precision, such as 'precision: fp8'"
)
_KV = "the precision of the KV cache belongs to the LLM: llms[].kv_precision"
_BATCHING = "'batching: {{{{kind: chunked-prefill, {}: {{value}}}}}}' under 'policies:'"
_SEQUENCES = "write " + _BATCHING.format("max_sequences")
_TOKENS = "write " + _BATCHING.format("max_batch_tokens")
_MEMORY = "write " + _BATCHING.format("memory_utilisation")
_LENGTHS = "write lengths as a source: 'source: {{input_tokens: 1024, output_tokens: 256}}'"
_SHARED_PREFIX = "write 'shared_prefix: {{prompts: 1, tokens: {value}}}'"
_RATE = "write 'rate: {value} /s'"
_WAY = "write 'path: [{{kind: network, latency: {value}}}]' (one way)"
_ROUND_TRIP = "write half of it as the 'latency:' of a step of 'path:', which counts both ways"
_PATH = "write what lies between users and pool: 'path: [{{kind: network, latency: 20 ms}}]'"
_IN_POOLS = "belongs to an item of 'pools'"
_IN_WORKLOAD = "belongs to an item of 'workload'"
_SCALING = (
    "nothing scales by load; write 'replicas: {value}', or a timetable: "
    "'scaling: [{{pool: …, schedule: [{{at: 8 h, replicas: {value}}}]}}]'"
)
_AUTOSCALING = (
    "nothing scales by load; write 'replicas:', or a timetable: "
    "'scaling: [{{pool: …, schedule: [{{at: 8 h, replicas: 4}}]}}]'"
)
_PREFIX_CACHE = "write 'prefix_cache: true', which is the default (false turns it off)"
_PERCENTILE = (
    "an objective holds for each request; write 'ttft', and ask for percentiles in 'expect:'"
)

#: Section (first word of the path, "" at the top, "*" anywhere) → word → hint.
HABITS: Mapping[str, Mapping[str, str]] = {
    "": {
        "api_version": _KUBERNETES,
        "metadata": _KUBERNETES,
        "spec": _KUBERNETES,
        "version": "write 'rackplan: 1'",
        "model": "LLMs are listed under 'llms:', and pools serve them",
        "models": "LLMs are listed under 'llms:', and pools serve them",
        "deployments": "replicas of an LLM are a pool: 'pools:'",
        "traffic": "traffic is listed under 'workload:'",
        "load": "traffic is listed under 'workload:'",
        "requests": "traffic is listed under 'workload:'",
        "qps": _IN_WORKLOAD + " ('rate: {value} /s')",
        "rate": _IN_WORKLOAD,
        "slo": _IN_WORKLOAD,
        "slos": "objectives belong to an item of 'workload' (slo: {{ttft: 2 s}})",
        "replicas": _IN_POOLS,
        "instances": _IN_POOLS + " ('replicas: {value}')",
        "tensor_parallel": _IN_POOLS,
        "tensor_parallel_size": _IN_POOLS + " ('tensor_parallel: {value}')",
        "gpus": "GPUs come with the racks of 'site:' (rackplan catalog racks)",
        "racks": "racks stand in rows: 'site: {{halls: [{{name, rows: [{{name, racks}}]}}]}}'",
        "cluster": "the building is 'site:'",
        "datacenter": "the building is 'site:'",
        "network": "the network is 'fabric:'",
        "record_power": "write 'record: {{power: {value}}}'",
        "record_iterations": "write 'record: {{iterations: {value}}}'",
        "scheduler": "routing and batching are under 'policies:'",
        "horizon": "write 'duration:'",
        "runtime": "write 'duration:'",
        "time": "write 'duration:'",
        "random_seed": "write 'seed: {value}'",
        "include": "write 'extends: other.yaml'",
        "base": "write 'extends: other.yaml'",
    },
    "llms": {
        "model": "write 'name: {value}'",
        "alias": "write 'as: {value}'",
        "dtype": "write 'precision: {value}'",
        "quantization": "write 'precision: {value}'",
        "quantisation": "write 'precision: {value}'",
        "kv_cache_dtype": "write 'kv_precision: {value}'",
        "kv_dtype": "write 'kv_precision: {value}'",
        "tensor_parallel": _IN_POOLS,
        "tensor_parallel_size": _IN_POOLS + " ('tensor_parallel: {value}')",
        "max_model_len": "the longest context is the LLM's own, from the catalog",
    },
    "pools": {
        "model": "write 'llm:' with a name of 'llms'",
        "model_name": "write 'llm:' with a name of 'llms'",
        "served_model_name": "write 'llm:' with a name of 'llms'",
        "gpus": _TP,
        "gpu_count": _TP,
        "num_gpus": _TP,
        "gpus_per_replica": _TP,
        "nvidia_com_gpu": _TP,
        "resources": _CONTAINER,
        "limits": _CONTAINER,
        "requests": _CONTAINER,
        "containers": _CONTAINER,
        "image": _CONTAINER,
        "gpu_type": "write 'gpu: {value}'",
        "node_selector": "write 'gpu:' with a GPU type to place replicas on it only",
        "tensor_parallel_size": "write 'tensor_parallel: {value}'",
        "tp": "write 'tensor_parallel: {value}'",
        "tp_size": "write 'tensor_parallel: {value}'",
        "pipeline_parallel_size": "write 'pipeline_parallel: {value}'",
        "pp": "write 'pipeline_parallel: {value}'",
        "pp_size": "write 'pipeline_parallel: {value}'",
        "data_parallel": "independent copies are replicas; write 'replicas: {value}'",
        "data_parallel_size": "independent copies are replicas; write 'replicas: {value}'",
        "dp": "independent copies are replicas; write 'replicas: {value}'",
        "enable_expert_parallel": "write 'expert_parallel:' with as many as tensor_parallel",
        "ep": "write 'expert_parallel: {value}'",
        "ep_size": "write 'expert_parallel: {value}'",
        "expert_parallel_size": "write 'expert_parallel: {value}'",
        "moe_ep_size": "write 'expert_parallel: {value}'",
        "attention_data_parallel": "write 'data_parallel_attention: {value}'",
        "attention_dp": "write 'data_parallel_attention: {value}'",
        "enable_attention_dp": "write 'data_parallel_attention:' with as many as tensor_parallel",
        "enable_dp_attention": "write 'data_parallel_attention:' with the number of groups",
        "instances": "write 'replicas: {value}'",
        "num_replicas": "write 'replicas: {value}'",
        "replica_count": "write 'replicas: {value}'",
        "count": "write 'replicas: {value}'",
        "min_replicas": _SCALING,
        "max_replicas": _SCALING,
        "autoscaling": _AUTOSCALING,
        "autoscaler": _AUTOSCALING,
        "enable_prefix_caching": _PREFIX_CACHE,
        "prefix_caching": _PREFIX_CACHE,
        "max_num_seqs": _SEQUENCES,
        "max_num_batched_tokens": _TOKENS,
        "max_batch_size": _SEQUENCES,
        "gpu_memory_utilization": _MEMORY,
        "mem_fraction_static": _MEMORY,
        "enable_chunked_prefill": "write 'batching: {{kind: chunked-prefill}}' under 'policies:'",
        "batching": "write it under 'policies:' of the pool",
        "routing": "write it under 'policies:' of the pool",
        "load_balancer": "write 'routing:' under 'policies:' of the pool",
        "placement": "placement is one for the whole site: 'policies:' at the top",
        "power": "the power policy is one for the whole site: 'policies:' at the top",
        "dtype": _PRECISION,
        "precision": _PRECISION,
        "quantization": _PRECISION,
        "kv_cache_dtype": _KV,
        "kv_precision": _KV,
        "max_model_len": "the longest context is the LLM's own, from the catalog",
        "block_size": "KV blocks hold 16 tokens; that is not a setting",
        "max_queue_size": "write 'max_queue: {value}'",
        "queue_limit": "write 'max_queue: {value}'",
        "slo": _IN_WORKLOAD,
        "rate": _IN_WORKLOAD,
    },
    "workload": {
        "model": "write 'pool:' with a name of 'pools'",
        "llm": "write 'pool:' with a name of 'pools'",
        "target": "write 'pool:' with a name of 'pools'",
        "qps": _RATE,
        "rps": _RATE,
        "request_rate": _RATE,
        "arrival_rate": _RATE,
        "requests_per_second": _RATE,
        "arrivals": "write 'rate:' and, for irregular arrivals, 'burstiness:'",
        "slos": "write 'slo: {{ttft: 2 s, tpot: 60 ms}}'",
        "sla": "write 'slo: {{ttft: 2 s, tpot: 60 ms}}'",
        "objectives": "write 'slo: {{ttft: 2 s, tpot: 60 ms}}'",
        "concurrency": "clients that wait for their answers: write 'clients: {value}'",
        "max_concurrency": "clients that wait for their answers: write 'clients: {value}'",
        "users": "write 'clients: {value}'",
        "num_clients": "write 'clients: {value}'",
        "think_time": "write 'think:'",
        "input_tokens": _LENGTHS,
        "output_tokens": _LENGTHS,
        "input_len": _LENGTHS,
        "output_len": _LENGTHS,
        "prompt_tokens": _LENGTHS,
        "max_tokens": _LENGTHS,
        "input": "write 'input_tokens: {value}'",
        "output": "write 'output_tokens: {value}'",
        "isl": _LENGTHS,
        "osl": _LENGTHS,
        "system_prompt": _SHARED_PREFIX,
        "system_prompt_tokens": _SHARED_PREFIX,
        "system_prompt_len": _SHARED_PREFIX,
        "prefix_len": _SHARED_PREFIX,
        "prefix_length": _SHARED_PREFIX,
        "prefix_tokens": _SHARED_PREFIX,
        "random_prefix_len": _SHARED_PREFIX,
        "hash_block_size": "write 'prefix_block_tokens: {value}' in 'trace:'",
        "dataset": "write 'source: synthetic-chat', or 'trace: {{file: …}}' to replay a file",
        "file": "write 'trace: {{file: {value}}}'",
        "repeat": "write 'loop: true'",
        "network_latency": _WAY,
        "delay": _WAY,
        "rtt": _ROUND_TRIP,
        "round_trip": _ROUND_TRIP,
        "ingress": _PATH,
        "egress": _PATH,
        "speed": "write 'time_scale:', which stretches time: 0.5 is twice as fast",
        "speedup": "write 'time_scale:', which stretches time: 0.5 is twice as fast",
        "deadline": "write 'timeout:' (waiting) or 'slo: {{e2e: …}}' (an objective)",
        "num_prompts": "requests arrive for as long as 'duration:' says; write 'rate:'",
        "num_requests": "requests arrive for as long as 'duration:' says; write 'rate:'",
        "duration": "belongs to the top of the file",
        "latency": "write 'e2e:'",
        "itl": "write 'tpot:'",
        "time_to_first_token": "write 'ttft:'",
        "time_per_output_token": "write 'tpot:'",
        "ttft_p99": _PERCENTILE,
        "ttft_p95": _PERCENTILE,
        "p99": _PERCENTILE,
        "ttft_ms": "write 'ttft: {value} ms'",
        "tpot_ms": "write 'tpot: {value} ms'",
    },
    "policies": {
        "router": "write 'routing:'",
        "load_balancer": "write 'routing:'",
        "scheduler": "write 'batching:' (a replica's batches) or 'routing:' (which replica)",
        "batch": "write 'batching:'",
        "max_num_seqs": "write 'max_sequences: {value}' in 'batching:'",
        "max_num_batched_tokens": "write 'max_batch_tokens: {value}' in 'batching:'",
        "max_batch_size": "write 'max_sequences: {value}' in 'batching:'",
        "gpu_memory_utilization": "write 'memory_utilisation: {value}' in 'batching:'",
        "memory_utilization": "write 'memory_utilisation: {value}'",
        "block_size": "KV blocks hold 16 tokens; that is not a setting",
    },
    "site": {
        "racks": "racks stand in rows: 'rows: [{{name: row-1, racks: […]}}]'",
        "gpus": "GPUs come with the rack's type (rackplan catalog racks)",
        "nodes": "nodes come with the rack's type (rackplan catalog racks)",
        "gpu": "GPUs come with the rack's type (rackplan catalog racks)",
        "quantity": "write 'count: {value}'",
    },
    "power": {
        "budget": "write 'utility: {{budget: {value}}}'",
        "limit": "write 'utility: {{budget: {value}}}'",
        "capacity": "write 'rating:'",
        "pue": "PUE is a result: describe plant and weather in 'cooling:'",
        "feeds": "write 'pdus: {{per_row: 2, rating: 250 kW, redundancy: 2N}}'",
        "count": "write 'per_row: {value}'",
    },
    "fabric": {
        "topology": "write 'kind: {value}'",
        "type": "write 'kind: {value}'",
        "radix": "write 'switch: {{radix: {value}}}'",
        "ports": "write 'switch: {{radix: {value}}}'",
        "bandwidth": "write 'nic: {value}'",
        "rate": "write 'nic: {value}', or 'switch: {{port: {value}}}'",
        "speed": "write 'nic: {value}', or 'switch: {{port: {value}}}'",
        "oversubscribed": "write 'oversubscription: {value}'",
        "levels": "two or three levels follow from the site's NICs and the switch's ports",
        "leaves": "switches follow from the site's NICs and the switch's ports",
        "spines": "switches follow from the site's NICs and the switch's ports",
        "cores": "switches follow from the site's NICs and the switch's ports",
        "graph": "write 'file: fabric.json'",
        "path": "write 'file: {value}'",
        "paths": "paths are chosen by a policy: 'paths:' under 'policies:'",
        "routing": "paths are chosen by a policy: 'paths:' under 'policies:'",
        "ecmp": "paths are chosen by a policy: 'paths: {{kind: ecmp}}' under 'policies:'",
        "function": "no scenario names code; from Python: sim.load_scenario(path, fabric=function)",
        "python": "no scenario names code; from Python: sim.load_scenario(path, fabric=function)",
    },
    "cooling": {
        "pue": "PUE is a result of load, plant and weather; give 'plant:' and 'weather:'",
        "cdu": "write 'cdus: {{per_row: 1, rating: 250 kW}}'",
        "kind": "write 'plant: {value}'",
        "preset": "write 'plant: {value}'",
        "wet_bulb": "write 'weather: {{wet_bulb: {value}}}'",
        "file": "write 'wet_bulb: {{file: {value}, column: …, unit: C, start: …}}'",
        "supply_temperature": "write 'plant: {{air_supply: {value}}}'",
        "air_supply": "write 'plant: {{air_supply: {value}}}'",
        "liquid_supply": "write 'plant: {{liquid_supply: {value}}}'",
        "humidity": "write 'relative_humidity: {value}'",
        "temperature": "write 'dry_bulb: {value}'",
    },
    "price": {
        "energy": "write 'electricity: 80 USD/MWh'",
        "power": "write 'electricity: 80 USD/MWh'",
    },
}


def habit(path: Path, value: Any) -> str | None:
    """A hint for the unknown key at the end of ``path``, or None if no habit is known for it."""
    section = str(path[0]) if len(path) > 1 else ""
    word = normalise(str(path[-1]))
    hint = HABITS.get(section, {}).get(word)
    if hint is None:
        return None
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        shown = shorten(f"{value}", 30)
        return hint.format(value=shown if shown.isprintable() else "…")
    return hint.format(value="…")


def normalise(word: str) -> str:
    """``tensorParallelSize`` and ``--tensor-parallel-size`` → ``tensor_parallel_size``."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word)
    return re.sub(r"[-./ ]+", "_", snake).strip("_").lower()
