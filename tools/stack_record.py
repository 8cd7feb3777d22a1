"""What ``fit_stacks.py`` writes about its fits, and how it writes YAML."""

from __future__ import annotations

import yaml
from stack_residuals import FEW_CLIENTS

from sim.perf.expected import LEAST_RUNS
from sim.perf.stacks import Protocol


def as_yaml(tree: object) -> str:
    """YAML with short lists and rows on one line."""
    return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True))


class _Dumper(yaml.SafeDumper):
    def represent_float(self, value: float) -> yaml.ScalarNode:
        text = f"{value:.6g}"
        if "." not in text:
            mantissa, e, exponent = text.partition("e")
            text = f"{mantissa}.0{e}{exponent}"
        return self.represent_scalar("tag:yaml.org,2002:float", text.replace("e-0", "e-"))

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(float, _Dumper.represent_float)
_Dumper.add_representer(
    list,
    lambda dumper, items: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=all(len(str(item)) < 20 for item in items)
    ),
)
_Dumper.add_representer(
    dict,
    lambda dumper, tree: dumper.represent_mapping(
        "tag:yaml.org,2002:map", tree.items(), flow_style=_short(tree)
    ),
)


def _short(tree: dict[object, object]) -> bool:
    """Whether a mapping is a few numbers."""
    return len(tree) <= 3 and all(isinstance(value, float) for value in tree.values())


#: Runs of a user who says no more than lengths and clients: constant lengths, but for a little.
POOLED_PROTOCOL = Protocol(length_spread=0.002)
HEADER = """\
# Serving stacks: what an engine of one make, version and precision adds to its kernels, and how its
# measured runs were made. SI units. Written by tools/fit_stacks.py, but for the bounds.
"""
POOLED_HEADER = """\
# What a serving engine adds to its kernels, and holds in memory besides weights and KV. SI units.
# Overheads fitted by tools/fit_stacks.py.
"""
RECORD = {
    "source_id": "aiconfigurator-core",
    "date": "2026-11-26",
    "source": (
        "silicon sample of PyPI aiconfigurator-core 0.12.0 (NVIDIA): H100 runs and the Llama runs "
        "on H200, of vLLM, TensorRT-LLM and SGLang; half of the public table"
    ),
    "licence": "Apache-2.0",
    "mark": "read",
    "method": (
        "soft-L1 least squares of log errors of TPOT, throughput and (half weight) TTFT, each run "
        "simulated as a closed loop; stacks pulled towards the pooled parameters; protocols chosen "
        "from a list on the same runs; fitted on the configurations that sim.validate.runs "
        "Run.held_out leaves"
    ),
    "errors_of": (
        "runs that a fit did not see, predicted by the engine: median and P90 of absolute relative "
        "errors, and Kendall's tau of throughput per GPU. seen stack: other halves of several "
        "splits of the configurations (one of them the shipped one). unseen: each stack, LLM, GPU "
        "left out whole, the others' pooled parameters under the protocol of a stack of the same "
        "harness"
    ),
    "residuals_of": (
        "the same runs, those left out whole under the protocol that their stack chose: logarithms "
        "of measured over predicted. decode: of TPOT; prefill: of TTFT "
        f"in runs of at most {FEW_CLIENTS} clients (a stack with fewer than {LEAST_RUNS} of them "
        "has those of its class). Robust components of variance (tools/stack_residuals.py), scaled "
        "together until a normal of mean zero has the measured 90 % quantile of absolute residuals"
    ),
}
POOLED_METHOD = (
    "as data/calibration/stacks.yaml, one set of overheads for all runs and no scales; errors of "
    "stacks, LLMs and GPUs that the fit had not seen"
)
MEANING = {
    "kernel_scale": "times of products, attention and experts while decoding, over the kernels'",
    "prefill_scale": "the same of prefill",
    "all_reduce_scale": "the same of all-reduces within an NVLink domain",
    "layer_s": "s per layer and iteration: norms, rotations, launches",
    "moe_layer_s": "s more for a layer of experts: routing, permutation",
    "iteration_s": "s per iteration: scheduler, sampling",
    "sequence_s": "s per decoding sequence and iteration",
    "request_s": "s from a client to the queue: HTTP, tokenisation",
    "activation_passes": "times that the hidden state crosses HBM per layer",
    "ttft": "statistic of the times to first token that the runs report",
    "tpot": "statistic of the times per output token",
    "length_share": "mean of the drawn lengths over the stated ones",
    "length_spread": "share about their mean within which lengths are uniform",
    "requests_per_client": "requests of each client in a run, the opening burst included",
    "prompts_per_batch": "prompts that fit an iteration beside the decodes; 0: max_batch_tokens",
    "max_batch_tokens": "tokens of an iteration at most",
    "idle_slots": "sequences fewer than clients that run at once",
    "residuals": "errors of held-out runs with what they have in common; see record.residuals_of",
    "decode": "standard deviations of the independent parts of log(measured/predicted) of TPOT",
    "prefill": f"the same of TTFT in runs of at most {FEW_CLIENTS} clients",
    "stack": "the part that all runs of a stack share; 0 in what a seen stack's own runs gave",
    "configuration": "the part that all loads of a GPU, LLM, precision, layout and lengths share",
    "run": "the rest",
    "correlation": "between decode and prefill residuals of a run, from Kendall's tau",
    "bias": "medians of the residuals, which stay in: above 0 is measured slower than predicted",
    "coverage": (
        "nominal to measured share of residuals within a central interval of such a normal, "
        "estimated on others: a seen stack's on the other half of its configurations, of those "
        "left out whole on what was left out of the other fits"
    ),
}
