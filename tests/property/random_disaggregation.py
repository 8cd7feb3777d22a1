"""Small scenarios with a network in which one pool prefills and another decodes."""

from __future__ import annotations

from random import Random

#: LLM, (tensor, pipeline) of its replicas: grouped heads, sliding windows, a latent.
LLMS = (
    ("llama-3.1-8b", "bf16", ((2, 1), (4, 1), (8, 1), (2, 2), (4, 2))),
    ("gpt-oss-20b", "fp4", ((2, 1), (4, 1), (2, 3))),
    ("deepseek-v3", "fp8", ((8, 2), (8, 3))),
)


def random_disaggregation(seed: int) -> str:
    """A scenario file: a site of one or two racks, slow or fast NICs, room or none."""
    rng = Random(seed)
    llm, precision, shapes = LLMS[rng.choice([0, 0, 0, 1, 1, 2])]
    large = llm == "deepseek-v3"
    rack, racks = ("dgx-h200-4", 2) if large else ("dgx-h100-2", 2)
    (tensor, stages), (to_tensor, to_stages) = rng.choice(shapes), rng.choice(shapes)
    replicas, others = (1, 1) if large else (rng.choice([1, 2]), rng.choice([1, 2]))
    queue = rng.choice(["", "", "max_queue: 3"])
    kind, speed = rng.choice(
        [
            ("rail-optimised", "400 Gb/s"), ("rail-optimised", "10 Gb/s"),
            ("leaf-spine", "25 Gb/s"), ("single-switch", "1 Gb/s"), ("single-switch", "0.2 Gb/s"),
        ]
    )  # fmt: skip
    routing = rng.choice(["round-robin", "least-outstanding-tokens", "power-of-two", "random"])
    paths = rng.choice(["ecmp", "adaptive", "rail", "random"])
    source = rng.choice(["{input_tokens: 3000, output_tokens: 40}", "synthetic-chat"])
    return f"""\
rackplan: 1
name: random
duration: 20 s
warm_up: 3 s
drain: {rng.choice([1, 60])} s
seed: {seed}
record: {{iterations: {rng.choice(["true", "false"])}}}
site:
  halls: [{{name: hall, rows: [{{name: row, racks: [{{type: {rack}, count: {racks}}}]}}]}}]
fabric: {{kind: {kind}, nic: {speed}, oversubscription: 1}}
llms: [{{name: {llm}, precision: {precision}}}]
pools:
  - name: pre
    llm: {llm}
    tensor_parallel: {tensor}
    pipeline_parallel: {stages}
    replicas: {replicas}
    decode: dec
    policies: {{batching: {{kind: chunked-prefill, max_batch_tokens: {rng.choice([512, 8192])},
      max_sequences: {rng.choice([4, 64])}}}}}
  - name: dec
    llm: {llm}
    tensor_parallel: {to_tensor}
    pipeline_parallel: {to_stages}
    replicas: {others}
    {queue}
    policies: {{batching: {{kind: {rng.choice(["chunked-prefill", "prefill-first"])},
      max_batch_tokens: 2048, max_sequences: {rng.choice([2, 8, 64])}}}}}
workload:
  - name: chat
    pool: pre
    source: {source}
    rate: {rng.choice([1, 4, 12])} /s
    slo: {{ttft: 2 s, tpot: 60 ms}}
    timeout: {rng.choice(["2 s", "30 s"])}
    cancel: {{after: {rng.choice(["100 ms", "500 ms", "3 s", "60 s"])}, fraction: 50 %}}
policies: {{routing: {{kind: {routing}}}, paths: {{kind: {paths}}}}}
events: {random_events(rng, replicas, others)}
"""


def random_events(rng: Random, replicas: int, others: int) -> str:
    """Servers that fail and return, replicas that are taken away."""
    found = []
    if rng.randrange(2):
        node = rng.choice([1, 1, 2])
        at_s = rng.choice([4, 7.5, 11])
        found.append(f"{{at: {at_s} s, fail: row-rack-1-node-{node}}}")
        if rng.randrange(2):
            found.append(f"{{at: {at_s + 2} s, restore: row-rack-1-node-{node}}}")
    for pool, count in (("pre", replicas), ("dec", others)):
        if count > 1 and rng.randrange(3) == 0:
            found.append(f"{{at: 9 s, remove: {{pool: {pool}, replicas: 1}}}}")
    return f"[{', '.join(found)}]"
