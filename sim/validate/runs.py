"""Measured serving runs, read from the public tables or from a file of one's own.

Three public tables are known by their columns (``TABLES``): the silicon sample of aiconfigurator,
the input-length sweep of InferenceX, and the offline throughput of TensorRT-LLM. What cannot be
simulated is kept with its reason, so that a report can count it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from statistics import mode

from sim.catalog.library import Catalog, load
from sim.errors import DataError, RackplanError, UnknownName
from sim.perf.operators import UnsupportedPlan, check_parallel
from sim.perf.stacks import POOLED, Protocol, Stack, stack_named, stacks
from sim.validate.models import LLM_PATHS
from sim.validate.tables import Row, lines_of

#: A time to first token beyond this is a queue for KV or a failed run, not a latency.
LONG_TTFT_S = 60.0
#: Mean over stated lengths, and the share about it, of each origin's requests. InferenceX draws
#: from U(0.8, 1) of the stated lengths.
LENGTHS = {
    "inferencex": (0.9, 1 / 9), "nvidia": (1.0, 0.0), "sweep": (1.0, 0.0), "offline": (1.0, 0.0),
}  # fmt: skip
_ORIGINS = {"inferencex_csv": "inferencex", "nvidia_internal": "nvidia"}


@dataclass(frozen=True)
class Layout:
    """How a replica's GPUs share the LLM, as a pool of a scenario states it.

    ``tensor_parallel`` counts all GPUs of a stage, also where attention has groups of them.
    """

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    data_parallel_attention: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of the replica."""
        return self.tensor_parallel * self.pipeline_parallel

    def __str__(self) -> str:
        parts = {
            "TP": self.tensor_parallel, "PP": self.pipeline_parallel, "EP": self.expert_parallel,
            "attention DP": self.data_parallel_attention,
        }  # fmt: skip
        return " ".join(f"{name} {n}" for name, n in parts.items() if n > 1) or "TP 1"


@dataclass(frozen=True)
class Run:
    """One measured run. Times in seconds; None: not measured.

    ``clients`` None: all requests queued at once (offline maximum throughput).
    ``stack``: the full name of what served it, with parameters or without.
    ``not_simulated``: why not, or empty.
    """

    file: str
    line: int
    llm: str
    gpu: str
    precision: str
    layout: Layout
    stack: str
    origin: str
    input_tokens: int  # as stated
    output_tokens: int
    clients: int | None
    ttft_s: float | None
    tpot_s: float | None
    output_tokens_per_s: float | None  # of the replica
    not_simulated: str = ""

    @property
    def configuration(self) -> str:
        """What is fitted or held out as a whole: all but the clients."""
        return (
            f"{self.gpu}/{self.llm}/{self.precision}/{self.stack}/{self.layout}/"
            f"{self.input_tokens}/{self.output_tokens}"
        )

    @property
    def held_out(self) -> bool:
        """Whether its configuration is in the half that the shipped parameters never saw."""
        return bool(sha256(self.configuration.encode()).digest()[0] & 1)

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"

    def throughput(self, output_tokens: float) -> float | None:
        """Tokens per second: measured, else those of a closed loop with these latencies."""
        if self.output_tokens_per_s is not None:
            return self.output_tokens_per_s
        if self.ttft_s is None or self.tpot_s is None or self.clients is None:
            return None
        e2e_s = self.ttft_s + (output_tokens - 1) * self.tpot_s
        return self.clients * output_tokens / e2e_s


def read_runs(path: Path) -> list[Run]:
    """The runs of a table, exact duplicates once.

    Raises:
        DataError: not a table that is known, or a cell that is not what its column says.
    """
    lines = lines_of(path)
    if not lines:
        raise DataError(str(path), "has no rows")
    columns = set(lines[0][1])
    readers = [reader for needed, reader in TABLES.items() if set(needed) <= columns]
    if not readers:
        raise DataError(
            str(path), "is no table that is known: its columns are " + ", ".join(sorted(columns))
        )
    catalog, runs, seen = load(), [], set()
    for line, row in lines:
        key = tuple(row.values())
        if key in seen:
            continue
        seen.add(key)
        try:
            runs.append(readers[0](catalog, path.name, line, row))
        except (RackplanError, ValueError, KeyError) as error:
            raise DataError(str(path), str(error), line) from error
    return runs


def is_runs(columns: set[str]) -> bool:
    """Whether a table with these columns is one of serving runs."""
    return any(set(needed) <= columns for needed in TABLES)


@cache
def refusal(llm: str | None, layout: Layout, name: str) -> str:
    """Why a run of this LLM in this layout cannot be simulated, or empty."""
    if llm is None:
        return f"no LLM {name} in the catalog"
    try:
        check_parallel(
            load().llms[llm], layout.tensor_parallel, layout.pipeline_parallel,
            layout.expert_parallel, layout.data_parallel_attention,
        )  # fmt: skip
    except UnsupportedPlan as error:
        return str(error)
    return ""


def _silicon(catalog: Catalog, file: str, line: int, row: Row) -> Run:
    llm = LLM_PATHS.get(row["model_path"])
    origin = _ORIGINS[row["origin"]]
    # Empty means bf16: half the time would be below what the weights alone take to read.
    precision = stated = row["precision"] or "bf16"
    if llm is not None and catalog.llms[llm].native_precision == "fp4":
        precision = "fp4"  # whatever else the run computes in
    layout = Layout(
        int(row["tp_size"]) * int(row["attention_dp_size"]), int(row["pp_size"]),
        max(1, int(row["moe_ep_size"])), int(row["attention_dp_size"]),
    )  # fmt: skip
    why = refusal(llm, layout, row["model_path"])
    ttft_s = float(row["ttft_ms"]) / 1e3
    if not row["concurrency"]:
        why = why or "no concurrency stated"
    elif ttft_s > LONG_TTFT_S:
        why = why or f"TTFT above {LONG_TTFT_S:g} s"
    elif layout.data_parallel_attention > 1 and int(row["approx_gpus"]) > layout.gpus:
        why = "a run that the table lists again under more GPUs"
    return Run(
        file, line, llm or row["model_path"], catalog.canonical("gpu", row["system"]), precision,
        layout, stack_of(row["backend"], row["backend_version"], origin, stated), origin,
        int(row["isl"]), int(row["osl"]),
        int(float(row["concurrency"])) if row["concurrency"] else None,
        ttft_s, float(row["tpot_ms"]) / 1e3, None, why,
    )  # fmt: skip


def _sweep(catalog: Catalog, file: str, line: int, row: Row) -> Run:
    llm, gpus = LLM_PATHS.get(row["model"]), int(row["gpus"])
    kind = row["parallel"]
    layout = {
        "TP": Layout(gpus), "TEP": Layout(gpus, expert_parallel=gpus),
        "DEP": Layout(gpus, expert_parallel=gpus, data_parallel_attention=gpus),
    }[kind]  # fmt: skip
    precision = row["precision"] if row["precision"] != "unstated" else "fp8"
    return Run(
        file, line, llm or row["model"], "h200-sxm", precision, layout,
        stack_of("vllm", "", "sweep", precision), "sweep",
        int(row["isl"]), int(row["osl"]), int(row["concurrency"]),
        float(row["median_ttft_ms"]) / 1e3, float(row["median_tpot_ms"]) / 1e3,
        float(row["output_tok_s"]), refusal(llm, layout, row["model"]),
    )  # fmt: skip


def _offline(catalog: Catalog, file: str, line: int, row: Row) -> Run:
    llm, gpus = LLM_PATHS.get(row["model"]), int(row["num_gpus"])
    if row["parallel"] == "TP":
        layout = Layout(gpus)
    else:
        layout = Layout(gpus, expert_parallel=gpus, data_parallel_attention=gpus)
    precision = row["precision"].lower()
    if llm is not None and catalog.llms[llm].native_precision == "fp4":
        precision = "fp4"
    version = "1.2" if "v1.2" in row["doc"] else "1.0"
    return Run(
        file, line, llm or row["model"], catalog.canonical("gpu", row["gpu"]), precision, layout,
        stack_of("trtllm", version, "offline", precision), "offline",
        int(row["isl"]), int(row["osl"]), None, None, None,
        float(row["total_output_tok_s"]), refusal(llm, layout, row["model"]),
    )  # fmt: skip


_OWN = ("llm", "gpu", "precision", "tensor_parallel", "input_tokens", "output_tokens",
        "concurrency")  # fmt: skip


def _own(catalog: Catalog, file: str, line: int, row: Row) -> Run:
    """A row of the documented columns (``docs/validation.md``)."""

    def number(name: str) -> float | None:
        text = (row.get(name) or "").strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise RackplanError(f"column {name!r}: expected a number above 0, not {text!r}")
        return value

    def whole(name: str, default: int | None = None) -> int:
        value = number(name)
        if value is None and default is not None:
            return default
        if value is None or value != int(value):
            raise RackplanError(f"column {name!r}: expected a whole number, not {row[name]!r}")
        return int(value)

    layout = Layout(
        whole("tensor_parallel"), whole("pipeline_parallel", 1), whole("expert_parallel", 1),
        whole("data_parallel_attention", 1),
    )  # fmt: skip
    llm = row["llm"]
    if llm not in catalog.llms:
        raise UnknownName("LLM", llm, catalog.llms)
    precision = catalog.canonical("precision", row["precision"])
    stack = stack_named(row.get("stack") or POOLED, precision).name
    return Run(
        file, line, llm, catalog.canonical("gpu", row["gpu"]),
        precision, layout, stack, "own", whole("input_tokens"), whole("output_tokens"),
        whole("concurrency"),
        number("ttft_s"), number("tpot_s"), number("output_tokens_per_s"),
        refusal(llm, layout, llm),
    )  # fmt: skip


Reader = Callable[[Catalog, str, int, Row], Run]
TABLES: dict[tuple[str, ...], Reader] = {
    ("model_path", "backend_version", "attention_dp_size", "ttft_ms"): _silicon,
    ("num_prompts", "median_e2e_s", "parallel", "isl"): _sweep,
    ("doc", "reported_metric", "total_output_tok_s", "num_gpus"): _offline,
    _OWN: _own,
}


def stack_of(backend: str, version: str, origin: str, precision: str) -> str:
    """The name of a measured stack; InferenceX states no version for most of its runs."""
    version = version.replace(".post1", "").replace(".post2", "")
    if version.count(".") == 2 and version.endswith(".0"):
        version = version[:-2]
    parts = (backend, version, "" if origin == "nvidia" else origin, precision)
    return "-".join(part for part in parts if part)


def groups(runs: list[Run]) -> Iterator[tuple[str, list[Run]]]:
    """The runs that cannot be simulated, by reason."""
    reasons = dict.fromkeys(run.not_simulated for run in runs if run.not_simulated)
    for reason in reasons:
        yield reason, [run for run in runs if run.not_simulated == reason]


def stack_for(run: Run) -> Stack:
    """What predicts a run: its stack, else the pooled one under the protocol of its harness."""
    known = stacks()
    if run.origin == "own":
        stack = stack_named(run.stack, run.precision)
        return replace(stack, protocol=replace(stack.protocol, length_share=1.0))
    if run.stack in known:
        return known[run.stack]
    share, spread = LENGTHS.get(run.origin, (1.0, known[POOLED].protocol.length_spread))
    like = [stack for stack in known.values() if stack.origin == run.origin]
    backend = run.stack.split("-")[0]
    like = [stack for stack in like if stack.backend == backend] or like
    protocol = Protocol(length_share=share, length_spread=spread)
    if like:
        protocol = mode([stack.protocol for stack in like])
    return replace(known[POOLED], protocol=protocol)
