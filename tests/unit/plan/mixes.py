"""Small questions for mixes, whose runs take a tenth of a second."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from sim.plan.mix.answer import MixPlan, make_mix_plan
from sim.plan.mix.points import Mix, load_mix
from sim.plan.runs import Making, PlanRuns
from sim.study.here import InThisProcess

BASE = """
rackplan: 1
name: tiny
duration: 10 s
warm_up: 2 s
drain: 20 s
site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-2, count: 1}]}]}]}
llms: [{name: llama-3.1-8b, precision: bf16}]
pools: [{name: chat, llm: llama-3.1-8b, replicas: 5}]
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 1500, output_tokens: 40}
    rate: 75 /s
    burstiness: {cv: 2}
"""
RACKS = """
rackplan: 1
kind: study
name: small
base: tiny.yaml
question:
  cheapest:
    chat: {racks: [dgx-a100-row-1, dgx-h100-2], tensor_parallel: 4, replicas: {from: 1, to: 5}}
  prices: {dgx-a100-row-1: 200_000 USD, dgx-h100-2: 620_000 USD}
subject_to: [chat.ttft_p99 <= 150 ms]
seeds: 3
"""
TWO_BASE = BASE.replace("pools: [{", "pools: [{name: mail, llm: llama-3.1-8b, replicas: 1}, {") + (
    "  - {name: mail, pool: mail, source: {input_tokens: 900, output_tokens: 60}, rate: 30 /s}\n"
)
TWO = """
rackplan: 1
kind: study
name: small
base: tiny.yaml
question:
  cheapest:
    chat: {replicas: {from: 1, to: 4}, tensor_parallel: [1, 2]}
    mail: {replicas: {from: 1, to: 2}}
subject_to: [chat.ttft_p99 <= 150 ms, mail.e2e_p99 <= 1 s]
seeds: 3
"""
PAIR_BASE = BASE.replace(
    "pools: [{name: chat, llm: llama-3.1-8b, replicas: 5}]",
    "fabric: {kind: rail-optimised, nic: 400 Gb/s}\n"
    "pools:\n"
    "  - {name: chat, llm: llama-3.1-8b, replicas: 5, decode: dec}\n"
    "  - {name: dec, llm: llama-3.1-8b, replicas: 5}",
).replace("{input_tokens: 1500, output_tokens: 40}", "{input_tokens: 2000, output_tokens: 150}")
PAIR = """
rackplan: 1
kind: study
name: small
base: tiny.yaml
question:
  cheapest:
    chat: {replicas: {from: 1, to: 3}}
    dec: {replicas: {from: 1, to: 3}}
subject_to: [chat.ttft_p99 <= 400 ms, chat.tpot_p99 <= 15 ms]
seeds: 3
"""
PAIR_SETS = ("workload[chat].rate=30 /s",)


def asked(folder: Path, *sets: str, text: str = RACKS, base: str = BASE) -> Mix:
    """A checked question."""
    (folder / "tiny.yaml").write_text(base)
    file = folder / "small.yaml"
    file.write_text(text)
    return load_mix(file, sets=sets)


def runs_of(mix: Mix, out: Path) -> PlanRuns:
    """Its runs, in this process."""
    return PlanRuns(mix, Making(InThisProcess(), out, "compiled"))


def answered(mix: Mix, out: Path) -> MixPlan:
    """Its answer."""
    return make_mix_plan(mix, runs_of(mix, out))


def exhaustive(mix: Mix, out: Path) -> float:
    """The least price of a mix not near saturation whose means hold, by running every one."""
    each = [
        [(c, n) for c, choice in enumerate(of) for n in range(choice.least, choice.most + 1)]
        for of in mix.mixes.choices
    ]
    runs = runs_of(mix, out)
    best = math.inf
    for vector in itertools.product(*each):
        if not mix.mixes.within(vector) or mix.impossible(vector):
            continue
        point = mix.point_of(vector)
        runs.see({point: len(mix.seeds)})
        if all(sum(values) <= 0.0 for values in runs.margins(point).values()):
            best = min(best, mix.mixes.price(vector))
    return best
