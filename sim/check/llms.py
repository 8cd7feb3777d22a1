"""The ``llms`` section against the catalog."""

from __future__ import annotations

from sim import catalog
from sim.catalog.types import PRECISION_BYTES, Llm
from sim.check.collector import Collector
from sim.check.scenario import LlmUse
from sim.errors import UnknownName, did_you_mean
from sim.spec.llms import LlmSpec
from sim.spec.nodes import Path, shorten, show


def check_llms(found: Collector) -> dict[str, LlmUse]:
    """The usable entries by the name that pools refer to them by."""
    document = found.document
    found.unique(
        "LLM",
        ((_naming(i, document.tree["llms"][i]), name) for i, name in document.declared("llms")),
    )
    uses: dict[str, LlmUse] = {}
    for i, spec in enumerate(document.spec.llms):
        use = None if spec is None else _use(spec, ("llms", i), found)
        if use is not None:
            uses.setdefault(use.name, use)
    return uses


def _naming(i: int, item: object) -> Path:
    return ("llms", i, "as" if isinstance(item, dict) and "as" in item else "name")


def _use(spec: LlmSpec, path: Path, found: Collector) -> LlmUse | None:
    precision = known_precision(spec.precision, (*path, "precision"), found)
    kv = None
    if spec.kv_precision is not None:
        kv = known_precision(spec.kv_precision, (*path, "kv_precision"), found)
    llm = known_llm(spec.name, (*path, "name"), found)
    if llm is None or precision is None or (kv is None and spec.kv_precision is not None):
        return None
    return LlmUse(spec.alias or spec.name, llm, precision, kv or _kv_default(precision))


def known_llm(name: str, path: Path, found: Collector) -> Llm | None:
    """The catalog's LLM of this name, or None (and a problem)."""
    try:
        return catalog.llm(name)
    except UnknownName as error:
        # A hub's name has its owner in front: meta-llama/Llama-3.1-70B-Instruct.
        hint = did_you_mean(shorten(name.rpartition("/")[2], 100), error.known)
        found.error(path, f"unknown LLM {show(name)}{hint}")
        return None


def known_precision(name: str, path: Path, found: Collector) -> str | None:
    """Our name of this precision, or None (and a problem)."""
    try:
        return catalog.canonical_precision(name)
    except UnknownName as error:
        found.caught(path, error)
        return None


def _kv_default(precision: str) -> str:
    """KV caches are kept in the weights' precision down to 8 bits, not below."""
    return precision if PRECISION_BYTES[precision] >= 1.0 else "fp8"
