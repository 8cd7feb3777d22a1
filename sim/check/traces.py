"""A workload's ``trace``: where the file is, what it is, and whether its first rows read."""

from __future__ import annotations

from sim.check.collector import Collector
from sim.check.files import located_file
from sim.errors import DataError
from sim.perf.step import BLOCK_TOKENS
from sim.spec.nodes import Path, shorten, show
from sim.spec.workload import TraceSourceSpec
from sim.workload import probe_trace
from sim.workload.plan import TraceSpec
from sim.workload.prefixes import FORMAT_BLOCK_TOKENS, not_whole_blocks

_BY_SUFFIX = {".csv": "csv", ".jsonl": "mooncake", ".parquet": "parquet"}
#: Mooncake stamps arrivals in bins of 3 s (see data/README.md); a stamp says no more than its bin.
_SPREAD_S = {"mooncake": 3.0}


def check_trace(
    spec: TraceSourceSpec, path: Path, found: Collector, *, generative: bool
) -> TraceSpec | None:
    """The trace, or None (and problems) where it cannot be replayed as asked."""
    fine = True
    if spec.end is not None and spec.end <= spec.start:
        found.error(
            (*path, "end"), f"ends at {spec.end:g} s, not after its start at {spec.start:g} s"
        )
        fine = False
    given = spec.prefix_block_tokens
    uneven = None if given is None else not_whole_blocks(given)
    if uneven is not None:
        found.error((*path, "prefix_block_tokens"), uneven)
        fine, given = False, BLOCK_TOKENS  # the rest of the trace is looked at all the same
    file = located_file(found, (*path, "file"), spec.file, tuple(_BY_SUFFIX))
    if file is None:
        return None
    kind = spec.format or _BY_SUFFIX.get(file.suffix.lower())
    if kind is None:
        message = f"the suffix of {show(spec.file)} names no format; write format: azure or another"
        found.error((*path, "file"), message)
        return None
    trace = TraceSpec(
        file=file,
        format=kind,
        start_s=spec.start,
        end_s=spec.end,
        time_scale=spec.time_scale,
        loop=spec.loop,
        spread_s=_SPREAD_S.get(kind, 0.0) if spec.spread is None else spec.spread,
        prefix_block_tokens=given or FORMAT_BLOCK_TOKENS.get(kind),
    )
    try:
        table = probe_trace(trace, generative=generative)
    except DataError as error:
        # The reader names the real file; the user wrote a path relative to the scenario.
        message = " ".join(str(error).removeprefix(error.file).split())
        found.error((*path, "file"), f"{shorten(spec.file, 100)}{message}")
        return None
    if given is not None and table.prefix_ids is None:
        found.warn((*path, "prefix_block_tokens"), "has no effect: the trace has no prefix ids")
    return trace if fine else None
