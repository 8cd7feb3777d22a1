"""What an answer takes for granted, and how far off it may be: from the manifest of a run of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sim.catalog.library import load
from sim.plan.told import Part, Table
from sim.results.expected import expected_sentences, outside_lengths
from sim.results.result import open_run
from sim.results.wording import span
from sim.units import format_si


def told_of_assumptions(
    run: Path | None, definitions: Mapping[str, str], warnings: tuple[str, ...]
) -> tuple[Part, ...]:
    """Assumptions, definitions, warnings and sources; without a run only what is known without.

    Args:
        run: the folder of any run of the plan.
        definitions: how numbers of the answer were made.
        warnings: of the scenarios.
    """
    parts: list[Part] = []
    warned = list(warnings)
    if run is not None:
        result = open_run(run)
        manifest = result.manifest
        errors = list(expected_sentences(manifest, outside_lengths(result)))
        warned += [text for text, warns in errors if warns]
        warned += [str(text) for text in manifest["warnings"]]
        sentences = (*_window(manifest), *(text for text, warns in errors if not warns))
        parts.append(Part("Assumptions", sentences, (_workloads(manifest), _pools(manifest))))
    if definitions:
        rows = tuple(definitions.items())
        parts.append(
            Part("How to read it", tables=(Table(("word", "meaning"), rows, frozenset({0, 1})),))
        )
    shown = dict.fromkeys(warned)
    parts.append(Part("Validity warnings", tuple(shown) or ("none",)))
    if run is not None:
        parts.append(_sources(open_run(run).manifest))
    return tuple(parts)


def _window(manifest: Mapping[str, Any]) -> Iterator[str]:
    window = manifest["window"]
    yield (
        f"A run simulates {span(window['duration_s'])} and measures what arrives after "
        f"{span(window['warm_up_s'])}; each seed is a run with other arrivals and lengths, and "
        "the same for every value that is compared"
    )
    price = manifest["price_usd_per_j"]
    if price is not None:
        yield f"Energy costs {price * 3.6e9:.4g} $/MWh"


def _workloads(manifest: Mapping[str, Any]) -> Table:
    rows = []
    for one in manifest["resolved"]["workload"]:
        requests = one["trace"]["file"] if one["trace"] else _lengths(one["synthetic"])
        clients = one["clients"]
        rate = f"{one['rate_per_s']:.6g} /s" if one["rate_per_s"] is not None else "as recorded"
        goals = [
            f"{name.removesuffix('_s').upper()} {format_si(limit, 's')}"
            for name, limit in one["objectives"].items()
            if limit is not None
        ]
        rows.append(
            (one["name"], one["pool"], requests,
             f"{clients} clients" if clients is not None else rate,
             ", ".join(goals) or "none stated")
        )  # fmt: skip
    columns = ("workload", "pool", "requests", "load", "objectives of a request")
    return Table(columns, tuple(rows), frozenset(range(5)))


def _lengths(synthetic: Mapping[str, Any]) -> str:
    if synthetic["input_tokens"] is None:
        return str(synthetic["lengths"])
    return f"{synthetic['input_tokens']} tokens in, {synthetic['output_tokens']} out"


def _pools(manifest: Mapping[str, Any]) -> Table:
    rows = tuple(
        (pool["name"], pool["llm"], pool["precision"], str(pool["gpus_per_replica"]),
         str(pool["max_sequences"]), str(pool["max_batch_tokens"]))
        for pool in manifest["pools"]
    )  # fmt: skip
    columns = ("pool", "LLM", "precision", "GPUs a replica", "max sequences", "max batch tokens")
    return Table(columns, rows, frozenset({0, 1, 2}))


def _sources(manifest: Mapping[str, Any]) -> Part:
    known = load().sources
    rows = tuple(
        (known[name].title, known[name].address, known[name].licence)
        for name in manifest["sources"]
        if name in known
    )
    versions = ", ".join(f"{name} {text}" for name, text in manifest["versions"].items())
    return Part(
        "Where the numbers come from",
        (f"Versions: {versions}",),
        (Table(("source", "address", "licence"), rows, frozenset({0, 1, 2})),),
    )
