"""Serving stacks: what an engine of one make, version and precision makes of the kernels.

``data/calibration/stacks.yaml`` holds them, fitted by ``tools/fit_stacks.py``. A stack replaces the
pooled overheads and scales kernels: products, attention and experts by ``kernel_scale`` while a
pass has at most ``SMALL_PASS`` tokens (decoding), by ``prefill_scale`` from ``LARGE_PASS`` on (and
the attention of prefill), linear in the logarithm between; the all-reduces of a domain by
``all_reduce_scale``. A stack also knows how its measured runs were made (``Protocol``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from sim.errors import DataError, RackplanError, UnknownName
from sim.perf.calibration import overheads, read_tree
from sim.perf.gemm import Floats
from sim.perf.operators import HALF
from sim.perf.step import StepCost
from sim.perf.timing import Stage

FILE = ("calibration", "stacks.yaml")
#: Tokens of a pass up to which it decodes, and from which on it prefills.
SMALL_PASS, LARGE_PASS = 256, 1024
STATISTICS = ("mean", "median")
POOLED = "pooled"


@dataclass(frozen=True)
class Protocol:
    """How a stack's runs were made, and what they report.

    Attributes:
        ttft: the statistic of the times to first token, "mean" or "median".
        tpot: that of the times per output token after the first.
        length_share: mean of the drawn lengths over the stated ones.
        length_spread: lengths are uniform within this share about their means.
        requests_per_client: the opening burst included.
        prompts_per_batch: prompts that fit an iteration beside the decodes; 0: as many as fit
            ``max_batch_tokens``.
        max_batch_tokens: tokens of an iteration at most.
        idle_slots: sequences fewer than clients that run at once.
    """

    ttft: str = "mean"
    tpot: str = "mean"
    length_share: float = 1.0
    length_spread: float = 0.0
    requests_per_client: int = 10
    prompts_per_batch: float = 0.0
    max_batch_tokens: int = 8192
    idle_slots: int = 0

    def batch_tokens(self, input_tokens: int, clients: int) -> int:
        """Tokens of an iteration at most, in runs of prompts of this length."""
        if not self.prompts_per_batch:
            return max(self.max_batch_tokens, clients)
        return int(self.prompts_per_batch * input_tokens) + clients


@dataclass(frozen=True)
class Parameters:
    """Fitted numbers of a stack; see ``Overheads`` for those that the pooled ones have, too."""

    kernel_scale: float
    prefill_scale: float
    all_reduce_scale: float
    layer_s: float
    moe_layer_s: float
    iteration_s: float
    sequence_s: float
    request_s: float  # from a client to the scheduler: HTTP, tokenisation
    activation_passes: float


#: Their names.
PARAMETERS = tuple(field.name for field in fields(Parameters))


@dataclass(frozen=True)
class Stack:
    """A serving stack."""

    name: str
    backend: str
    version: str
    precision: str
    origin: str
    parameters: Parameters
    protocol: Protocol


@dataclass(frozen=True)
class Parts:
    """A cost taken apart, [n] over its grid, with the pooled overheads still in ``cost``."""

    cost: StepCost
    kernels_s: Floats
    all_reduce_s: Floats
    pass_s: Floats  # of one activation pass
    large: Floats  # 0 where a pass decodes, 1 where it prefills
    kernel_fixed_s: float  # of kernels, in every pass
    kernel_decode_s: float  # of kernels, for each decoding sequence
    passes: int  # pipeline stages
    groups: int  # of data-parallel attention
    layers: float
    moe_layers: float

    def with_stack(self, p: Parameters) -> StepCost:
        """The cost with a stack's parameters in place of the pooled overheads."""
        over, cost = overheads(), self.cost
        scale = p.kernel_scale + (p.prefill_scale - p.kernel_scale) * self.large
        grid = (
            np.asarray(cost.grid_s)
            + (scale - 1) * self.kernels_s
            + (p.all_reduce_scale - 1) * self.all_reduce_s
            + (p.activation_passes - over.activation_passes) * self.pass_s
        )
        fixed = p.iteration_s - over.iteration_s + (p.layer_s - over.layer_s) * self.layers
        fixed += (p.moe_layer_s - over.moe_layer_s) * self.moe_layers
        kernel = p.kernel_scale
        return replace(
            cost,
            fixed_s=cost.fixed_s + self.passes * fixed + (kernel - 1) * self.kernel_fixed_s,
            grid_s=tuple(grid.tolist()),
            per_decode_s=cost.per_decode_s
            + (p.sequence_s - over.sequence_s) / self.groups
            + (kernel - 1) * self.kernel_decode_s,
            per_kv_token_s=kernel * cost.per_kv_token_s,
            per_windowed_kv_token_s=kernel * cost.per_windowed_kv_token_s,
            per_prefill_pair_s=p.prefill_scale * cost.per_prefill_pair_s,
            per_windowed_prefill_pair_s=p.prefill_scale * cost.per_windowed_prefill_pair_s,
        )


def take_apart(cost: StepCost, stage: Stage, pipeline_parallel: int, max_sequences: int) -> Parts:
    """The parts of a cost that ``step_costs`` made of this stage."""
    pp, groups, shard = pipeline_parallel, stage.groups, stage.shard
    tokens = np.maximum(np.asarray(cost.grid_tokens, dtype=float), 1.0)
    share = np.maximum(tokens / pp, 1.0)
    mine = np.maximum(share / groups, 1.0)
    exchanged_s = stage.communication_s(share)
    # NCCL between domains is not the engine's own kernel: its constants stand.
    scaled = exchanged_s if stage.domains == 1 else np.zeros_like(exchanged_s)
    pass_s = mine * shard.hidden * HALF * shard.layers * stage.clock.memory
    rows = np.array([1.0, max(1.0, max_sequences / pp / groups)])
    first, last = stage.head_s(rows)
    slope = float((last - first) / (rows[1] - rows[0])) if rows[1] > rows[0] else 0.0
    full = stage.decode_terms(shard.full)
    windowed = stage.decode_terms(shard.windowed, cost.window)
    return Parts(
        cost=cost,
        kernels_s=pp * (stage.tokens_s(share) - exchanged_s - stage.elementwise_s(mine)),
        all_reduce_s=pp * scaled,
        pass_s=pp * pass_s / stage.gpu.memory_bandwidth_bytes_per_s,
        large=prefilling(share),
        kernel_fixed_s=pp * (float(first) - slope + full.fixed_s + windowed.fixed_s),
        kernel_decode_s=(slope + full.sequence_s + windowed.sequence_s - stage.rows_s()) / groups,
        passes=pp,
        groups=groups,
        layers=shard.layers,
        moe_layers=shard.experts.layers if shard.experts else 0.0,
    )


def prefilling(tokens: Floats) -> Floats:
    """[n] 0 for passes of so few tokens that they decode, 1 where they prefill, between by log."""
    share: Floats = np.log2(tokens / SMALL_PASS) / np.log2(LARGE_PASS / SMALL_PASS)
    return np.clip(share, 0.0, 1.0)


def stack_names() -> tuple[str, ...]:
    """Full names of the stacks with parameters, the pooled one first."""
    return tuple(stacks())


def stack_named(name: str, precision: str | None = None) -> Stack:
    """The stack of this name, or of this name and the precision of the weights.

    Without a precision a name will do that only one stack has.

    Raises:
        UnknownName: no such stack.
        RackplanError: it was not measured with weights of this precision, or with several.
    """
    known = stacks()
    if name in known:
        return known[name]
    family = [stack for stack in known.values() if family_of(stack) == name]
    if not family:
        raise UnknownName("stack", name, (*known, *sorted({family_of(s) for s in known.values()})))
    for stack in family:
        if stack.precision == precision or (precision is None and len(family) == 1):
            return stack
    one = " or ".join(stack.name for stack in family)
    if precision is None:
        raise RackplanError(f"stack {name} was measured in several precisions: write {one}")
    raise RackplanError(
        f"stack {name} was not measured with {precision} weights (with "
        f"{', '.join(stack.precision for stack in family)}); write {one} to take its parameters"
    )


def family_of(stack: Stack) -> str:
    """Its name without the precision."""
    return stack.name.removesuffix(f"-{stack.precision}")


@lru_cache(maxsize=1)
def stacks() -> Mapping[str, Stack]:
    """Every stack by name.

    Raises:
        DataError: the file is not what this module writes.
    """
    tree = read_tree(*FILE)
    return {name: parse_stack(name, entry) for name, entry in tree["stacks"].items()}


def parse_stack(name: str, entry: Mapping[str, Any]) -> Stack:
    """One entry of the file."""
    place = "/".join(FILE)
    try:
        parameters = {key: float(value) for key, value in entry["parameters"].items()}
        stack = Stack(
            name,
            str(entry["backend"]),
            str(entry["version"]),
            str(entry["precision"]),
            str(entry["origin"]),
            Parameters(**parameters),
            Protocol(**entry["protocol"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(place, f"stack {name}: {error}") from error
    for key, (low, high) in bounds().items():
        if not low <= parameters[key] <= high:
            raise DataError(place, f"stack {name}: {key} {parameters[key]} is not in {low}..{high}")
    if {stack.protocol.ttft, stack.protocol.tpot} - set(STATISTICS):
        raise DataError(place, f"stack {name}: ttft and tpot are one of {', '.join(STATISTICS)}")
    return stack


def bounds() -> Mapping[str, tuple[float, float]]:
    """Lowest and highest value of each fitted parameter, from the file."""
    table = read_tree(*FILE)["bounds"]
    return {name: (float(table[name][0]), float(table[name][1])) for name in PARAMETERS}
