"""``with_silicon``: step times from aiconfigurator-core instead of the fitted kernels.

aiconfigurator-core (NVIDIA, Apache-2.0) holds kernels measured under TensorRT-LLM, SGLang and vLLM,
and adds up those of an iteration. It is asked for the times of designed batches, to which the form
of ``StepCost`` is fitted (``sim.perf.estimator``). This module alone imports it, when it is asked
for; it is the optional extra ``silicon``.

An iteration with prefill and decoding at once is what the package makes of it: all but attention
for the tokens of both, and the attention of each. At a lower clock an iteration takes longer by
what our own model says: the part over tokens by its whole time at as many tokens, sequences and KV
by its time per KV token, pairs by its time per pair.

The package has kernels only. What the engine's host takes per iteration and per sequence
(scheduler, sampling) is added from the pooled overheads; what they have per layer is not, as the
package times norms and activations itself.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any

from sim.catalog.types import Gpu, Llm
from sim.errors import RackplanError, UnknownName
from sim.perf.calibration import overheads, read_tree
from sim.perf.estimator import Limits, Work, reduce
from sim.perf.expected import METRICS, Expected, residuals
from sim.perf.operators import shard
from sim.perf.power import Draw
from sim.perf.stacks import POOLED
from sim.perf.step import BLOCK_TOKENS, Batch, Reduction, ReplicaModel, StepCost

FILE = ("calibration", "silicon.yaml")
PACKAGE = "aiconfigurator-core"
#: Releases whose interface this module speaks; ``pyproject.toml`` has the same.
RELEASES = "0.12."
BACKENDS = ("trtllm", "sglang", "vllm")
#: What the package raises for what it has no kernels of; anything else is a defect.
_REFUSALS = (ValueError, RuntimeError, AssertionError, NotImplementedError, KeyError)


class SiliconError(RackplanError):
    """Step times that aiconfigurator-core cannot give."""


@dataclass(frozen=True)
class Silicon:
    """Whose kernels are asked for: a backend and its version, in a release of the package.

    ``version`` None: what the package has as current for the GPU.
    """

    backend: str
    version: str | None
    release: str


@dataclass(frozen=True)
class Plan:
    """How a replica is laid out, and the limits of its batches, as ``replica_model`` had them."""

    precision: str
    kv_precision: str
    tensor_parallel: int
    max_sequences: int
    max_batch_tokens: int
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    data_parallel_attention: int = 1
    domains: int = 1


def silicon_named(backend: str, version: str | None = None) -> Silicon:
    """The kernels of this backend, as installed here.

    Raises:
        UnknownName: no backend of the package.
        SiliconError: the package is not installed, or a release that is not known here.
    """
    if backend not in BACKENDS:
        raise UnknownName("backend", backend, BACKENDS)
    try:
        release = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        raise SiliconError(
            f"needs the package {PACKAGE}, which is not installed: pip install 'rackplan[silicon]'"
        ) from None
    if not release.startswith(RELEASES):
        raise SiliconError(
            f"needs {PACKAGE} {RELEASES}*, not {release}: pip install 'rackplan[silicon]'"
        )
    return Silicon(backend, version, release)


def with_silicon(
    model: ReplicaModel, llm: Llm, gpu: Gpu, plan: Plan, silicon: Silicon
) -> ReplicaModel:
    """The replica with step times of the package, and how far their reduction is off them.

    Memory is the model's; its draw is worked out anew from the times.

    Raises:
        SiliconError: an LLM, GPU, precision, backend, version or layout that the package has not.
    """
    _check_plan(llm, plan)
    window = llm.window if llm.windowed_layers else 0
    groups = plan.data_parallel_attention
    limits = Limits(
        sequences=max(1, plan.max_sequences // groups),
        batch_tokens=max(1, plan.max_batch_tokens // groups),
        context=llm.max_context,
        kv_tokens=model.kv_blocks * BLOCK_TOKENS // groups,
        window=window,
        groups=groups,
    )
    cost, reduction = _reduced(_Asked.of(llm, gpu, plan, silicon), limits, silicon.release)
    whole = shard(
        llm, gpu, plan.precision, plan.kv_precision, plan.tensor_parallel, llm.layers,
        expert_parallel=plan.expert_parallel, data_parallel_attention=groups,
    )  # fmt: skip
    draw = Draw(whole, gpu, model.gpus, 1, plan.max_sequences, plan.max_batch_tokens,
                llm.max_context, llm.window)  # fmt: skip
    costs = tuple(_with_host(_slower(cost, own, model.cost[0]), groups) for own in model.cost)
    return replace(
        model,
        cost=costs,
        power=tuple(draw.table(costs[0], hz / model.clocks_hz[0]) for hz in model.clocks_hz),
        reduction=reduction,
    )


def _check_plan(llm: Llm, plan: Plan) -> None:
    """Raises ``SiliconError`` for what the kernels of one NVLink domain say nothing about."""
    if plan.pipeline_parallel > 1:
        raise SiliconError(
            f"step times of {PACKAGE} are asked for without a pipeline: write pipeline_parallel: 1"
        )
    if plan.domains > 1:
        raise SiliconError(
            f"tensor_parallel {plan.tensor_parallel} is over {plan.domains} NVLink domains; step "
            f"times of {PACKAGE} are asked for within one"
        )
    if llm.mla is not None:
        raise SiliconError(
            f"{llm.name} attends to a latent (MLA), which {PACKAGE} times together with its "
            "products: an iteration that also prefills cannot be composed"
        )


def _slower(cost: StepCost, own: StepCost, own_full: StepCost) -> StepCost:
    """The cost at a lower clock: as much slower as our own model is (see the module's head)."""
    if own is own_full:
        return cost

    def ratio(low: float, full: float, otherwise: float = 1.0) -> float:
        return low / full if full > 0.0 else otherwise

    kv = ratio(own.per_kv_token_s, own_full.per_kv_token_s)
    windowed = ratio(own.per_windowed_kv_token_s, own_full.per_windowed_kv_token_s, kv)
    pair = ratio(own.per_prefill_pair_s, own_full.per_prefill_pair_s)
    inside = ratio(own.per_windowed_prefill_pair_s, own_full.per_windowed_prefill_pair_s, pair)
    grid = []
    for tokens, second in zip(cost.grid_tokens, cost.grid_s, strict=True):
        same = Batch(max(1, tokens), 0, 0, 0, 0, 0)
        grid.append(second * ratio(own.iteration_s(same), own_full.iteration_s(same)))
    return replace(
        cost,
        grid_s=tuple(grid),
        per_decode_s=cost.per_decode_s * kv,
        per_kv_token_s=cost.per_kv_token_s * kv,
        per_windowed_kv_token_s=cost.per_windowed_kv_token_s * windowed,
        per_prefill_pair_s=cost.per_prefill_pair_s * pair,
        per_windowed_prefill_pair_s=cost.per_windowed_prefill_pair_s * inside,
    )


def _with_host(cost: StepCost, groups: int) -> StepCost:
    """The cost with what the engine's host takes, whatever the GPU's clock."""
    over = overheads()
    return replace(
        cost,
        fixed_s=cost.fixed_s + over.iteration_s,
        per_decode_s=cost.per_decode_s + over.sequence_s / groups,
    )


@dataclass(frozen=True)
class _Asked:
    """What the package is asked for, in its own words."""

    path: str
    system: str
    backend: str
    version: str | None
    options: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, llm: Llm, gpu: Gpu, plan: Plan, silicon: Silicon) -> _Asked:
        """Raises ``SiliconError`` for names that the package does not have."""
        names = read_tree(*FILE)
        entry = _known("LLM", llm.name, names["llms"])
        kinds = entry.get("precisions", names["precisions"])
        modes = _known(f"{llm.name} with weights in", plan.precision, kinds)
        attention = names["attention"].get(silicon.backend, {})
        split = plan.tensor_parallel // plan.data_parallel_attention
        options = {
            "tp_size": split,
            "attention_dp_size": plan.data_parallel_attention,
            "gemm_quant_mode": modes["gemm"],
            "moe_quant_mode": modes["moe"],
            "kvcache_quant_mode": _known("KV precision", plan.kv_precision, names["kv_precisions"]),
            "fmha_quant_mode": attention.get(plan.kv_precision, "bfloat16"),
        }
        if llm.experts:
            options["moe_tp_size"] = plan.tensor_parallel // plan.expert_parallel
            options["moe_ep_size"] = plan.expert_parallel
        system = _known("GPU", gpu.name, names["gpus"])
        return cls(entry["path"], system, silicon.backend, silicon.version, tuple(options.items()))


def silicon_expected(reduction: Reduction) -> Expected:
    """How far off predictions with these step times were, of the runs that were compared."""
    record = read_tree(*FILE)["measured"]
    errors = {name: (float(record[name][0]), float(record[name][1])) for name in METRICS}
    return Expected(
        f"step times reduced within {100 * reduction.median:.1f} % "
        f"(P90 {100 * reduction.p90:.0f} %)",
        errors,
        # Their own were not estimated; the pooled stack's runs are as foreign to them.
        residuals(POOLED, ["unseen stack"]),
    )


def _known(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise SiliconError(f"{PACKAGE} has no {kind} {name} (it has {', '.join(table)})")
    return table[name]


@lru_cache(maxsize=64)
def _reduced(asked: _Asked, limits: Limits, release: str) -> tuple[StepCost, Reduction]:
    """The fit, once for each question of a process: points of a study share most of them."""
    return reduce(_Engine(asked, release), limits)


class _Engine:
    """The package's compiled engine of one LLM on one layout, as an ``Estimator``.

    Attributes:
        name: the package, its release, the backend and the version of its kernels.
    """

    def __init__(self, asked: _Asked, release: str) -> None:
        # Its notes about kernels that it falls back on are for its authors, not for ours.
        logging.getLogger("aiconfigurator_core").addHandler(logging.NullHandler())
        databases = import_module("aiconfigurator_core.sdk.perf_database")
        common = import_module("aiconfigurator_core.sdk.common")
        engine = import_module("aiconfigurator_core.sdk.engine")
        have = databases.get_supported_databases()
        if asked.system not in have or asked.backend not in have[asked.system]:
            raise SiliconError(f"{PACKAGE} has no {asked.backend} kernels of {asked.system}")
        versions = have[asked.system][asked.backend]
        if asked.version is not None and asked.version not in versions:
            raise SiliconError(
                f"{PACKAGE} has no {asked.backend} {asked.version} on {asked.system} (it has "
                f"{', '.join(versions)})"
            )
        version = asked.version
        if version is None:
            version = databases.get_version_slots(asked.system, asked.backend)["current"]
        self.name = f"{PACKAGE} {release}, {asked.backend} {version}"
        if asked.path not in common.DefaultHFModels:  # it would look for it on the network
            raise SiliconError(f"{PACKAGE} has no {asked.path}")
        try:
            self._handle = engine.EngineHandle.compile(
                asked.path, asked.system, asked.backend, backend_version=version,
                **dict(asked.options),
            )  # fmt: skip
        except _REFUSALS as error:
            raise _refused(error) from error

    def iteration_s(self, work: Work) -> float:
        """Seconds of an iteration of one group."""
        try:
            return self._milliseconds(work) / 1e3
        except _REFUSALS as error:
            raise _refused(error) from error

    def _milliseconds(self, work: Work) -> float:
        ask = self._handle
        if not work.prompts:
            return float(ask.predict_decode_latency(work.sequences, work.context, 2))
        whole = work.past + work.chunk
        alone = float(ask.predict_prefill_latency(work.prompts, whole, work.past))
        if not work.sequences:
            return alone
        # The package's own mixed step averages the attention of a prompt over its chunks; here it
        # is that of this chunk, and all else that of the tokens of both.
        chunk = work.prompts * work.chunk
        _, rest, _, decode = ask.mixed_step_breakdown(chunk, work.sequences, work.context, 2)
        _, without, _, _ = ask.mixed_step_breakdown(chunk, 0, work.chunk, 2)
        return alone + float(rest - without + decode)


def _refused(error: Exception) -> SiliconError:
    """The package's own words, without places of its files."""
    words = re.sub(r" at /[^;,\s]*", "", " ".join(str(error).split()))
    return SiliconError(f"{PACKAGE}: {words}")
