"""Fits the parameters of serving stacks to measured runs (run by ``fit_stacks.py``).

A run is simulated by ``fast_loop``, which equals the engine's closed loop; its cost is put together
from parts that do not depend on the parameters. So one look at a run takes some 0.4 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from statistics import mode

import numpy as np
from fast_loop import run_loop, scalars
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sim.catalog.arithmetic import default_kv_precision
from sim.catalog.library import load
from sim.engine.predict import MAX_BATCH_TOKENS, MAX_SEQUENCES, MEMORY_UTILISATION, spread_lengths
from sim.perf import BLOCK_TOKENS, DoesNotFit, replica_model
from sim.perf.replica import cost_parts
from sim.perf.stacks import PARAMETERS, Parameters, Parts, Protocol, Stack
from sim.validate.runs import LENGTHS, Run

Floats = NDArray[np.float64]
#: Where a fit begins, and the unit of its steps and of the pull towards the prior.
START = {
    "kernel_scale": (1.0, 0.3), "prefill_scale": (1.0, 0.3), "all_reduce_scale": (1.0, 0.3),
    "layer_s": (30e-6, 10e-6), "moe_layer_s": (15e-6, 10e-6), "iteration_s": (0.5e-3, 0.3e-3),
    "sequence_s": (20e-6, 10e-6), "request_s": (20e-3, 10e-3), "activation_passes": (15.0, 5.0),
}  # fmt: skip
BEGIN = Parameters(**{name: start for name, (start, _) in START.items()})
POOLED_PARAMETERS = ("layer_s", "moe_layer_s", "iteration_s", "sequence_s", "request_s",
                     "activation_passes")  # fmt: skip
#: Scale of the soft L1, and of one unit from the prior, both as errors of a run.
SOFT, PULL = 0.05, 0.015
TTFT_WEIGHT = 0.5
#: Runs looked at to choose a protocol.
LOOK = 30
SHORT_LIST = 8


@dataclass(frozen=True)
class Case:
    """A run, ready to be simulated."""

    run: Run
    parts: Parts
    grid: NDArray[np.int64]
    kv_blocks: int


def cases(runs: Sequence[Run]) -> list[Case]:
    """The runs that can be simulated, with the parts of their costs."""
    return [case for run in runs if not run.not_simulated and (case := _case(run)) is not None]


def _case(run: Run) -> Case | None:
    assert run.clients is not None
    sequences = max(MAX_SEQUENCES, run.clients)
    try:
        parts, blocks = _parts(run.llm, run.gpu, run.precision, run.layout, sequences)
    except DoesNotFit:
        return None
    if run.input_tokens + run.output_tokens > blocks * BLOCK_TOKENS:
        return None
    return Case(run, parts, np.array(parts.cost.grid_tokens), blocks)


@cache
def _parts(llm, gpu, precision, layout, sequences):  # type: ignore[no-untyped-def]
    catalog = load()
    kind = catalog.gpus[gpu]
    plan = {
        "precision": precision, "kv_precision": default_kv_precision(precision),
        "tensor_parallel": layout.tensor_parallel, "max_sequences": sequences,
        "expert_parallel": layout.expert_parallel,
        "data_parallel_attention": layout.data_parallel_attention,
    }  # fmt: skip
    model = replica_model(
        catalog.llms[llm], kind, **plan, pipeline_parallel=1, max_batch_tokens=MAX_BATCH_TOKENS,
        memory_utilisation=MEMORY_UTILISATION, stage_bytes_per_s=kind.link_bytes_per_s,
    )  # fmt: skip
    return cost_parts(catalog.llms[llm], kind, model.cost[0], **plan), model.kv_blocks


_LENGTHS: dict[tuple[int, int, float], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}


def lengths(inputs: int, outputs: int, spread: float, count: int):  # type: ignore[no-untyped-def]
    """Input and output tokens of at least ``count`` requests."""
    key = (inputs, outputs, spread)
    if key not in _LENGTHS or len(_LENGTHS[key][0]) < count:
        drawn = spread_lengths(inputs, outputs, spread)
        pairs = np.array([next(drawn) for _ in range(count)])
        _LENGTHS[key] = pairs[:, 0].copy(), pairs[:, 1].copy()
    return _LENGTHS[key]


def simulate(case: Case, parameters: Parameters, protocol: Protocol) -> Floats:
    """TPOT, throughput and TTFT of a run."""
    run = case.run
    assert run.clients is not None
    cost = case.parts.with_stack(parameters)
    inputs = round(protocol.length_share * run.input_tokens)
    outputs = round(protocol.length_share * run.output_tokens)
    requests = protocol.requests_per_client * run.clients
    prompts, answers = lengths(inputs, outputs, protocol.length_spread, 11 * run.clients + 1)
    sent, first, end, length = run_loop(
        scalars(cost), case.grid, np.array(cost.grid_s), cost.window, case.kv_blocks, prompts,
        answers, run.clients, max(1, run.clients - protocol.idle_slots),
        protocol.batch_tokens(inputs, run.clients), requests, parameters.request_s,
        np.zeros(run.clients),
    )  # fmt: skip
    waits = first - sent
    ttft_s = float(waits.mean() if protocol.ttft == "mean" else np.median(waits))
    each_s = (end - first) / np.maximum(length - 1, 1)
    tpot_s = float(each_s.mean() if protocol.tpot == "mean" else np.median(each_s))
    e2e_s = ttft_s + (outputs - 1) * tpot_s
    return np.array([tpot_s, run.clients * outputs / e2e_s, ttft_s])


def measured(run: Run) -> Floats:
    """TPOT, throughput and TTFT of a run, as measured."""
    share, _ = LENGTHS[run.origin]
    return np.array([run.tpot_s, run.throughput(round(share * run.output_tokens)), run.ttft_s])


def log_errors(some: Sequence[Case], parameters: Parameters, protocols: Mapping[str, Protocol]):  # type: ignore[no-untyped-def]
    """[n, 3] logarithms of predicted over measured."""
    return np.array(
        [
            np.log(simulate(case, parameters, protocols[case.run.stack]) / measured(case.run))
            for case in some
        ]
    )


def fit(
    some: Sequence[Case],
    names: Sequence[str],
    prior: Parameters,
    protocols: Mapping[str, Protocol],
    bounds: Mapping[str, tuple[float, float]],
    evaluations: int,
) -> tuple[Parameters, float]:
    """Parameters ``names`` that fit these runs, pulled towards the prior; and what is left."""
    units = np.array([START[name][1] for name in names])
    middle = np.array([getattr(prior, name) for name in names])
    low, high = (np.array([bounds[name][i] for name in names]) for i in (0, 1))

    def residuals(values: Floats) -> Floats:
        new = replace(prior, **dict(zip(names, values.tolist(), strict=True)))
        off = log_errors(some, new, protocols) * (1.0, 1.0, TTFT_WEIGHT)
        soft = np.sign(off) * SOFT * np.sqrt(2 * (np.sqrt(1 + (off / SOFT) ** 2) - 1))
        return np.concatenate([soft.ravel(), PULL * (values - middle) / units])

    inside = 1e-3 * (high - low)
    found = least_squares(
        residuals, np.clip(middle, low + inside, high - inside), bounds=(low, high), x_scale=units,
        diff_step=0.02, max_nfev=evaluations,
    )  # fmt: skip
    # The search approaches a bound without reaching it.
    near = np.where(found.x - low < 2 * inside, low, found.x)
    near = np.where(high - near < 2 * inside, high, near)
    values = {name: float(f"{v:.4g}") for name, v in zip(names, near.tolist(), strict=True)}
    return replace(prior, **values), float(found.cost)


def candidates(origin: str) -> list[Protocol]:
    """Protocols that a stack's runs may have had: what is known of its harness, and open ends."""
    share, spread = LENGTHS[origin]
    if origin == "inferencex":
        return [
            Protocol(length_share=share, length_spread=spread, max_batch_tokens=tokens)
            for tokens in (2048, 8192, 16384)
        ]
    limits: list[dict[str, float]] = [
        {"prompts_per_batch": 1.0}, {"prompts_per_batch": 2.0}, {"max_batch_tokens": 8192},
    ]  # fmt: skip
    many = [
        Protocol(length_spread=s, idle_slots=idle, **limit)  # type: ignore[arg-type]
        for s in (0.0, 0.003, 0.02)
        for idle in (0, 1)
        for limit in limits
    ]
    once = [
        Protocol(requests_per_client=1, **limit)  # type: ignore[arg-type]
        for limit in ({"prompts_per_batch": 4.0}, {"max_batch_tokens": 8192},
                      {"max_batch_tokens": 16384})
    ]  # fmt: skip
    return [*many, *once, Protocol(ttft="median", prompts_per_batch=1.0)]


def choose(some: Sequence[Case], prior: Parameters, bounds) -> Protocol:  # type: ignore[no-untyped-def]
    """The protocol that leaves least of a stack's runs, after a short fit to some of them."""
    step = max(1, len(some) // LOOK)
    look, name = some[::step], some[0].run.stack
    names = ("kernel_scale", "prefill_scale", "layer_s", "sequence_s", "request_s")

    def left(one: Protocol, evaluations: int) -> float:
        return fit(look, names, prior, {name: one}, bounds, evaluations)[1]

    # A first look without a fit drops what is far off.
    near = sorted(candidates(some[0].run.origin), key=lambda one: left(one, 1))[:SHORT_LIST]
    return min(near, key=lambda one: left(one, 4))


@dataclass(frozen=True)
class Fitted:
    """What a set of runs gave: the pooled parameters and those of stacks with enough runs."""

    pooled: Parameters
    stacks: dict[str, Stack]
    protocols: dict[str, Protocol]  # of every stack in the set

    def of(self, run: Run) -> Stack:
        """What predicts a run: its stack, else the pool under the protocol of its like."""
        if run.stack in self.stacks:
            return self.stacks[run.stack]
        backend, version = maker(run)
        share, spread = LENGTHS[run.origin]
        protocol = self.protocols.get(run.stack)
        if protocol is None:
            like = [n for n in self.protocols if (run.origin in n) == (run.origin in run.stack)]
            like = [n for n in like if n.startswith(backend)] or like
            none = Protocol(length_share=share, length_spread=spread)
            protocol = mode([self.protocols[n] for n in like]) if like else none
        return Stack("pooled", backend, version, run.precision, run.origin, self.pooled, protocol)


def maker(run: Run) -> tuple[str, str]:
    """Backend and version of a run's stack."""
    backend, *rest = run.stack.removesuffix(f"-{run.precision}").split("-")
    return backend, "-".join(word for word in rest if word != run.origin)


def by_stack(some: Sequence[Case]) -> dict[str, list[Case]]:
    """The runs of each stack."""
    parts: dict[str, list[Case]] = {}
    for case in some:
        parts.setdefault(case.run.stack, []).append(case)
    return parts


def fit_all(
    some: Sequence[Case],
    bounds: Mapping[str, tuple[float, float]],
    least: int,
    known: Mapping[str, Protocol],
) -> Fitted:
    """Fits the pooled parameters to all runs, and each stack with ``least`` runs (0: none).

    ``known``: protocols that were chosen on these very runs before.
    """
    parts = by_stack(some)
    protocols = {
        name: known.get(name) or choose(part, BEGIN, bounds) for name, part in parts.items()
    }
    pooled, _ = fit(some, POOLED_PARAMETERS, BEGIN, protocols, bounds, 6)
    if not least:
        return Fitted(pooled, {}, protocols)
    found = {}
    for name, part in parts.items():
        if len(part) < least:
            continue
        own, _ = fit(part, PARAMETERS, pooled, protocols, bounds, 8)
        run = part[0].run
        found[name] = Stack(name, *maker(run), run.precision, run.origin, own, protocols[name])
    return Fitted(pooled, found, protocols)


def as_row(stack: Stack) -> dict[str, object]:
    """A stack as the data file has it."""
    return {
        "backend": stack.backend, "version": stack.version, "precision": stack.precision,
        "origin": stack.origin, "parameters": asdict(stack.parameters),
        "protocol": asdict(stack.protocol),
    }  # fmt: skip
