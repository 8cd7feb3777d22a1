"""A pool's ``measured``: the table of steps, and whether it is of what the pool runs."""

from __future__ import annotations

from typing import Any

from sim import catalog
from sim.catalog.library import load
from sim.catalog.measured import MeasuredSteps, read_measured
from sim.check.collector import Collector
from sim.check.files import located_file
from sim.check.scenario import LlmUse
from sim.errors import DataError, UnknownName
from sim.spec.nodes import Path, shorten
from sim.spec.pools import MeasuredSpec, PoolSpec
from sim.units import format_si


def known_steps(spec: MeasuredSpec, path: Path, found: Collector) -> MeasuredSteps | None:
    """The table that is named, or None (and a problem)."""
    if (spec.name is None) == (spec.file is None):
        rest = "" if spec.name is None else ", not both"
        message = "name a table of measured steps or give a file, such as {file: steps.yaml}"
        found.error(path, f"{message}{rest}")
        return None
    if spec.file is None:
        try:
            return catalog.measured_steps(spec.name or "")
        except UnknownName as error:
            found.caught(path, error)
            return None
    here = (*path, "file")
    file = located_file(found, here, spec.file, (".yaml", ".yml"))
    if file is None:
        return None
    try:
        return read_measured(file, shorten(spec.file, 100), load().gpus, load().llms)
    except DataError as error:
        found.error(here, " ".join(str(error).split()))
        return None


def fits(
    steps: MeasuredSteps, spec: PoolSpec, use: LlmUse, batching: Any, path: Path, found: Collector
) -> bool:
    """Whether the table is of this pool's LLM and layout; a warning where it is carried on."""
    here = (*path, "measured")
    layout = f"tensor_parallel: {steps.tensor_parallel}"
    if spec.pipeline_parallel != 1:
        layout += ", pipeline_parallel: 1"
    for fine, message in (
        (use.llm.name == steps.llm, f"is of LLM {steps.llm}, not of {use.llm.name}"),
        (
            use.precision == steps.precision,
            f"is of {steps.llm} in {steps.precision}, not in {use.precision}",
        ),
        (
            spec.tensor_parallel == steps.tensor_parallel and spec.pipeline_parallel == 1,
            f"was measured on {steps.tensor_parallel} GPUs that share each layer: write {layout}",
        ),
        (
            spec.expert_parallel == spec.data_parallel_attention == 1,
            "has its own layout: leave expert_parallel and data_parallel_attention out",
        ),
    ):
        if not fine:
            found.error(here, f"{steps.name} {message}")
            return False
    longest = steps.prefill_tokens[-1]
    if batching.max_batch_tokens > longest:
        slope_s = (steps.prefill_s[-1] - steps.prefill_s[-2]) / (longest - steps.prefill_tokens[-2])
        found.warn(
            here,
            f"{steps.name} has no prompts of more than {longest:,} tokens, and one iteration may "
            f"have {batching.max_batch_tokens:,} (max_batch_tokens): beyond, time goes on with "
            f"{format_si(1000 * slope_s, 's')} per 1,000 tokens and the draw stays",
        )
    if batching.mode == "chunked-prefill":
        found.warn(
            here,
            f"{steps.name} has prompts and decoding apart: an iteration that does both takes what "
            "a prompt of all its tokens takes (batching: prefill-first does one at a time)",
        )
    return True
