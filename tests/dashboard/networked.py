"""A small run whose prompts are decoded by another pool, over a network."""

from __future__ import annotations

SCENARIO = """\
rackplan: 1
name: handed
duration: 20 s
warm_up: 6 s
drain: 10 s
site: {halls: [{name: h, rows: [{name: r, racks: [{type: dgx-h100-2, count: 2}]}]}]}
fabric: {kind: rail-optimised, nic: 20 Gb/s}
llms: [{name: llama-3.1-8b, precision: bf16}]
pools:
  - {name: prefill, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 4, decode: decode,
     racks: [r-rack-1]}
  - {name: decode, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 12, racks: [r-rack-2]}
workload:
  - name: chat
    pool: prefill
    source: {input_tokens: 2048, output_tokens: 16}
    rate: 20 /s
    slo: {ttft: 200 ms}
"""
