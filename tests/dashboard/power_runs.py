"""Runs whose racks, feeds and controllers differ, for the pages Floor and Power."""

from __future__ import annotations

#: Two halls, one of them with liquid; two tenants; two feeds a rack, of which one fails from 10 to
#: 20 s; a budget that is cut at 25 s below what the site draws.
HOUSE = """\
rackplan: 1
name: house
duration: 40 s
warm_up: 5 s
drain: 10 s
site:
  halls:
    - name: dry
      rows:
        - {name: a, racks: [{type: dgx-h100-4, count: 2}]}
        - {name: b, racks: [{type: dgx-h100-4, count: 1}]}
      limits: {rack_air_heat: 42 kW}
    - name: wet
      rows: [{name: w, racks: [{type: gb200-nvl72, count: 1}]}]
      limits: {rack_air_heat: 30 kW, rack_liquid_heat: 150 kW}
power:
  utility: {budget: 300 kW, rating: 400 kW}
  ups: [{name: ups-a, rating: 300 kW}, {name: ups-b, rating: 300 kW}]
  pdus: {per_row: 2, rating: 200 kW, redundancy: 2N}
llms: [{name: llama-3.1-8b, precision: bf16}]
pools:
  - {name: chat, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 40, gpu: h100-sxm, tenant: blue}
  - {name: code, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 8, gpu: gb200, tenant: red}
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 256, output_tokens: 64}
    rate: 40 /s
  - name: code
    pool: code
    source: {input_tokens: 256, output_tokens: 64}
    rate: 10 /s
events:
  - {at: 10 s, fail: ups-a}
  - {at: 20 s, restore: ups-a}
  - {at: 25 s, budget: {node: utility, to: 60 kW}}
"""

#: One rack whose PDU has a budget that a controller keeps by clocks.
CONTROLLED = """\
rackplan: 1
name: controlled
duration: 60 s
warm_up: 5 s
drain: 10 s
site: {halls: [{name: h, rows: [{name: r, racks: [{type: dgx-h100-4, count: 1}]}]}]}
power:
  utility: {rating: 250 kW}
  pdus: {per_row: 1, rating: 100 kW, budget: 18 kW}
llms: [{name: llama-3.1-8b, precision: bf16}]
pools:
  - {name: chat, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 8, priority: high}
  - {name: batch, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 8, priority: low}
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 1024, output_tokens: 64}
    rate: 40 /s
  - name: batch
    pool: batch
    source: {input_tokens: 1024, output_tokens: 64}
    rate: 40 /s
telemetry: {period: 2 s, delay: 1 s, quantum: 100 W}
actuation: {clock: {delay: 2 s}, brake: {delay: 2 s}}
policies:
  power: {kind: polca, watch: pdu}
"""

#: A row of 45 racks that nothing limits but their own ratings, and hardly anything uses.
LONG = """\
rackplan: 1
name: long
duration: 10 s
drain: 5 s
site: {halls: [{name: h, rows: [{name: r, racks: [{type: l4-16, count: 45}]}]}]}
llms: [{name: llama-3.1-8b, precision: int8}]
pools: [{name: chat, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 2}]
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 64, output_tokens: 8}
    rate: 1 /s
"""
