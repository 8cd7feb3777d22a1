"""Measured steps of one LLM on one group of GPUs: what ``data/measured`` and users' files hold.

A file states seconds and draw of prompts by their tokens and of decoding by its sequences, at the
highest clock, and how both follow the clock; ``sim.perf.measured`` makes a replica of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sim.catalog.read import Block, read_block, read_entries
from sim.catalog.records import Entry, Source
from sim.catalog.schema import MEASURED
from sim.catalog.types import Gpu, Llm
from sim.errors import DataError, did_you_mean


@dataclass(frozen=True)
class MeasuredSteps:
    """Step times and draws of one (LLM, GPU, tensor parallel), shares of the GPU's TDP.

    Attributes:
        idle: draw with the LLM loaded and nothing to do.
        prefill_tokens, prefill_s, prefill_draw: prompts, ascending in tokens.
        decode_sequences, decode_s, decode_draw: iterations of 1, … sequences, ascending.
        prefill_memory_share, decode_memory_share: of the draw above idle that does not follow the
            clock.
        voltage_at_zero: share of the full voltage to which a straight line goes down.
        decode_slowdown, decode_knee: decoding takes max(1 + slowdown·(1/φ − 1), knee/φ) times as
            long at the share φ of the highest clock, prefill 1/φ times.
        clocks_hz: levels from the highest to the brake's; empty: those of every GPU.
        source_ids: of ``data/sources.yaml``; none where the file is a user's own.
    """

    name: str
    llm: str
    gpu: str
    tensor_parallel: int
    precision: str
    idle: float
    prefill_tokens: tuple[int, ...]
    prefill_s: tuple[float, ...]
    prefill_draw: tuple[float, ...]
    decode_sequences: tuple[int, ...]
    decode_s: tuple[float, ...]
    decode_draw: tuple[float, ...]
    prefill_memory_share: float
    decode_memory_share: float
    voltage_at_zero: float
    decode_slowdown: float
    decode_knee: float
    clocks_hz: tuple[float, ...]
    source_ids: tuple[str, ...]


def read_measured(
    path: Path, label: str, gpus: Mapping[str, Gpu], llms: Mapping[str, Llm]
) -> MeasuredSteps:
    """The one entry of a user's file; a ``source`` in it is free text.

    Raises:
        DataError: anything that a file of ``data/measured`` must not be, or several entries.
    """
    texts = set(_texts(read_block(path, label), "source"))
    sources = {text: Source(text, text, label, "the user's own") for text in texts}
    entries = read_entries(path, label, "measured", MEASURED, sources)
    if len(entries) != 1:
        raise DataError(label, f"holds {len(entries)} entries; one file, one table of steps")
    return to_measured(next(iter(entries.values())), gpus, llms, own=True)


def _texts(block: Block, key: str) -> Iterator[str]:
    """Every text at ``key``, however deep."""
    for name, item in block.items.items():
        if isinstance(item, Block):
            yield from _texts(item, key)
        elif name == key and isinstance(item, str):
            yield item


def to_measured(
    entry: Entry, gpus: Mapping[str, Gpu], llms: Mapping[str, Llm], *, own: bool = False
) -> MeasuredSteps:
    """A table of measured steps.

    Raises:
        DataError: an LLM or a GPU that is not in the catalog, or numbers that contradict one
            another; at the line of the key.
    """
    for key, names in (("gpu", gpus), ("llm", llms)):
        name = entry.word(key)
        if name not in names:
            raise _fail(entry, key, f"unknown {key} {name!r}{did_you_mean(name, names)}")
    _check_table(entry)
    _check_shares(entry)
    sources = {field.source.id for field in entry.fields if field.source is not None}
    return MeasuredSteps(
        name=entry.name,
        llm=entry.word("llm"),
        gpu=entry.word("gpu"),
        tensor_parallel=entry.count("tensor_parallel"),
        precision=entry.word("precision"),
        idle=entry.number("idle"),
        prefill_tokens=tuple(map(round, entry.numbers("prefill.tokens"))),
        prefill_s=entry.numbers("prefill.time"),
        prefill_draw=entry.numbers("prefill.draw"),
        decode_sequences=tuple(map(round, entry.numbers("decode.sequences"))),
        decode_s=entry.numbers("decode.time"),
        decode_draw=entry.numbers("decode.draw"),
        prefill_memory_share=entry.number("clock.prefill_memory_share"),
        decode_memory_share=entry.number("clock.decode_memory_share"),
        voltage_at_zero=entry.number("clock.voltage_at_zero"),
        decode_slowdown=entry.number("clock.decode_slowdown"),
        decode_knee=entry.number("clock.decode_knee"),
        clocks_hz=_clocks(entry, gpus[entry.word("gpu")]),
        source_ids=() if own else tuple(sorted(sources)),
    )


def _check_table(entry: Entry) -> None:
    """Prompts and decoding are one curve of time over tokens: it never falls."""
    if entry.count("tensor_parallel") < 1:
        raise _fail(entry, "tensor_parallel", "needs at least one GPU")
    for part, count, fewest in (("prefill", "tokens", 2), ("decode", "sequences", 1)):
        counts = entry.numbers(f"{part}.{count}")
        if len(counts) < fewest:
            raise _fail(entry, f"{part}.{count}", f"needs at least {fewest} points")
        for key in ("time", "draw"):
            values = entry.numbers(f"{part}.{key}")
            if len(values) != len(counts):
                message = f"has {len(values)} values for {len(counts)} {part}.{count}"
                raise _fail(entry, f"{part}.{key}", message)
        if not _ascends(counts):
            raise _fail(entry, f"{part}.{count}", "must ascend")
        times = entry.numbers(f"{part}.time")
        if times[0] <= 0.0 or any(later < earlier for earlier, later in pairwise(times)):
            raise _fail(entry, f"{part}.time", "must be above 0 and never fall from point to point")
        lowest = min(entry.numbers(f"{part}.draw"))
        if lowest <= entry.number("idle"):
            raise _fail(entry, f"{part}.draw", f"{100 * lowest:g} % is not above the idle draw")
    sequences, tokens = entry.numbers("decode.sequences"), entry.numbers("prefill.tokens")
    if sequences[0] != 1:
        raise _fail(entry, "decode.sequences", f"must begin at 1, not {sequences[0]:g}")
    if not sequences[-1] < tokens[0]:
        message = (
            f"begins at {tokens[0]:g} tokens, which must be more than the {sequences[-1]:g} "
            "sequences that decode: both lie on one curve of time over tokens"
        )
        raise _fail(entry, "prefill.tokens", message)
    slowest_s, first_s = entry.numbers("decode.time")[-1], entry.numbers("prefill.time")[0]
    if first_s < slowest_s:
        message = (
            f"{tokens[0]:g} tokens take {1000 * first_s:g} ms, less than {sequences[-1]:g} "
            f"sequences that decode, {1000 * slowest_s:g} ms: leave such batches out"
        )
        raise _fail(entry, "prefill.time", message)


def _check_shares(entry: Entry) -> None:
    """What is a share of something is none above 1."""
    for key in ("prefill_memory_share", "decode_memory_share", "voltage_at_zero",
                "decode_slowdown", "decode_knee"):  # fmt: skip
        value = entry.number(f"clock.{key}")
        if value > 1.0:
            raise _fail(entry, f"clock.{key}", f"is at most 1, not {value:g}")


def _clocks(entry: Entry, gpu: Gpu) -> tuple[float, ...]:
    """The levels from the highest to the lowest, a step apart, and the brake's."""
    if not entry.has("levels.highest"):
        return ()
    highest, lowest, step, brake = (
        entry.number(f"levels.{key}") for key in ("highest", "lowest", "step", "brake")
    )
    if not gpu.min_clock_hz <= brake < lowest <= highest <= gpu.max_clock_hz:
        message = (
            f"needs {gpu.min_clock_hz / 1e6:g} MHz <= brake < lowest <= highest <= "
            f"{gpu.max_clock_hz / 1e6:g} MHz, the clocks of {gpu.name}"
        )
        raise _fail(entry, "levels.highest", message)
    if step <= 0.0 or (steps := (highest - lowest) / step) != round(steps) or steps > 1000:
        message = "must go from the highest to the lowest in whole steps, 1,000 at most"
        raise _fail(entry, "levels.step", message)
    return (*(highest - i * step for i in range(round(steps) + 1)), brake)


def _ascends(values: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise((0.0, *values)))


def _fail(entry: Entry, key: str, message: str) -> DataError:
    text = f"{entry.kind} {entry.name!r}: {key}: {message}"
    return DataError(entry.file, text, entry.field(key).line)
