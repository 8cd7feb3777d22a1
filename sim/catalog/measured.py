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
from sim.errors import DataError, ScenarioError, did_you_mean
from sim.spec.loader import MOST_BYTES, compose


@dataclass(frozen=True)
class MeasuredSteps:
    """Step times and draws of one (LLM, GPU, tensor parallel), shares of the GPU's TDP.

    Attributes:
        idle: draw with the LLM loaded and nothing to do.
        prefill_tokens, prefill_s, prefill_draw: prompts, ascending in tokens.
        decode_sequences, decode_s, decode_draw: iterations of 1, … sequences, ascending, each with
            ``reference_context`` tokens of context.
        context_tokens, context_draw: one sequence by its context; empty: it makes no difference.
        context_token_s: seconds that a decoding sequence takes longer for each token of context.
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
    reference_context: int
    context_tokens: tuple[int, ...]
    context_draw: tuple[float, ...]
    context_token_s: float
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
    _refuse_unsound(path, label)
    texts = set(_texts(read_block(path, label), "source"))
    sources = {text: Source(text, text, label, "the user's own") for text in texts}
    entries = read_entries(path, label, "measured", MEASURED, sources)
    if len(entries) != 1:
        raise DataError(label, f"holds {len(entries)} entries; one file, one table of steps")
    return to_measured(next(iter(entries.values())), gpus, llms, own=True)


def _refuse_unsound(path: Path, label: str) -> None:
    """A stranger's file is read within the bounds of scenario files."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(label, f"cannot be read: {(error.strerror or 'error').lower()}") from None
    except UnicodeDecodeError:
        raise DataError(label, "is not UTF-8 text") from None
    if len(data) > MOST_BYTES:
        raise DataError(label, f"is larger than {MOST_BYTES >> 20} MiB")
    try:
        _, problems = compose(text, label)
    except ScenarioError as error:
        problems = list(error.problems)
    if problems:
        first = problems[0]
        message = ": ".join(part for part in (first.path, first.message) if part)
        raise DataError(label, message, first.mark.line)


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
    by_context = entry.has("context.reference")
    if by_context:
        _check_context(entry)
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
        reference_context=entry.count("context.reference") if by_context else 0,
        context_tokens=tuple(map(round, entry.numbers("context.tokens"))) if by_context else (),
        context_draw=entry.numbers("context.draw") if by_context else (),
        context_token_s=entry.number("context.time_per_token") if by_context else 0.0,
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


def _check_context(entry: Entry) -> None:
    """The context of the batches is within the table, and leaves each of them some time."""
    tokens, draws = entry.numbers("context.tokens"), entry.numbers("context.draw")
    reference = entry.number("context.reference")
    if len(draws) != len(tokens):
        message = f"has {len(draws)} values for {len(tokens)} context.tokens"
        raise _fail(entry, "context.draw", message)
    if not _ascends(tokens):
        raise _fail(entry, "context.tokens", "must ascend")
    if not tokens or not tokens[0] <= reference <= tokens[-1]:
        raise _fail(entry, "context.reference", f"{reference:g} is not within context.tokens")
    lowest = min(draws)
    if lowest <= entry.number("idle"):
        raise _fail(entry, "context.draw", f"{100 * lowest:g} % is not above the idle draw")
    per_sequence_s = entry.number("context.time_per_token") * reference
    sequences, times = entry.numbers("decode.sequences"), entry.numbers("decode.time")
    rest_s = [time - n * per_sequence_s for n, time in zip(sequences, times, strict=True)]
    if not _ascends(tuple(rest_s)):
        message = (
            f"{1000 * per_sequence_s:g} ms of context for each sequence leave times that do not "
            f"ascend: {', '.join(f'{1000 * rest:.4g} ms' for rest in rest_s)}"
        )
        raise _fail(entry, "context.time_per_token", message)


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
