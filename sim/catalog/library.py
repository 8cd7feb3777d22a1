"""The whole catalog as one immutable object: every entry checked, every reference resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from sim import paths
from sim.catalog import schema
from sim.catalog.convert import (
    to_breaker,
    to_gpu,
    to_link,
    to_llm,
    to_loss,
    to_node,
    to_plant,
    to_rack,
    to_switch,
    to_ups,
)
from sim.catalog.measured import MeasuredSteps, to_measured
from sim.catalog.protection import Breaker, UpsProduct
from sim.catalog.read import read_block, read_entries, read_sources
from sim.catalog.records import Entry, Source
from sim.catalog.types import CoolingPlant, Gpu, Link, Llm, Loss, NodeType, RackType, Switch
from sim.errors import DataError, UnknownName, did_you_mean, nearest

KINDS = ("gpu", "node", "rack", "llm", "gear", "breaker", "ups", "precision", "plant", "measured",
         "switch", "link", "superpod", "price", "cost")  # fmt: skip

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Catalog:
    """Rows of ``data/``, by name. ``entries`` keeps the provenance of every number.

    ``gear`` are loss curves per watt of rating (rating 1 W); scale them with ``rated``.
    """

    sources: Mapping[str, Source]
    entries: Mapping[str, Mapping[str, Entry]]  # kind → name → entry
    gpus: Mapping[str, Gpu]
    nodes: Mapping[str, NodeType]
    racks: Mapping[str, RackType]
    llms: Mapping[str, Llm]
    gear: Mapping[str, Loss]
    breakers: Mapping[str, Breaker]
    ups: Mapping[str, UpsProduct]
    plants: Mapping[str, CoolingPlant]
    measured: Mapping[str, MeasuredSteps]
    switches: Mapping[str, Switch]
    links: Mapping[str, Link]
    aliases: Mapping[str, Mapping[str, str]]  # "gpu" or "precision" → folded alias → name

    def entry(self, kind: str, name: str) -> Entry:
        """The entry of this kind and name.

        Raises:
            UnknownName: no such kind, or no such name in it.
        """
        if kind not in self.entries:
            raise UnknownName("catalog kind", kind, KINDS, len(KINDS))
        if name not in self.entries[kind]:
            raise UnknownName(_WORD[kind], name, self.entries[kind])
        return self.entries[kind][name]

    def canonical(self, kind: str, name: str) -> str:
        """The canonical name that ``name``, one of its aliases in any case, stands for."""
        table = self.aliases[kind]
        found = table.get(fold(name))
        if found is None:
            known = tuple(dict.fromkeys([*self.entries[kind], *table]))
            if nearest(name, known) is None:
                known = tuple(self.entries[kind])
            raise UnknownName(_WORD[kind], name, known)
        return found


_WORD = {
    "gpu": "GPU",
    "node": "node type",
    "rack": "rack type",
    "llm": "LLM",
    "gear": "power gear",
    "breaker": "breaker",
    "ups": "UPS product",
    "precision": "precision",
    "plant": "cooling plant",
    "measured": "table of measured steps",
    "switch": "switch",
    "link": "link",
    "superpod": "published cluster",
    "price": "server's price",
    "cost": "table of costs",
}


def fold(name: str) -> str:
    """A name as the alias table is keyed: lower case, spaces, dots and underscores as hyphens."""
    lowered = name.strip().casefold()
    for separator in (" ", "_", "."):
        lowered = lowered.replace(separator, "-")
    return lowered


@lru_cache(maxsize=4)
def load(folder: Path | None = None) -> Catalog:
    """The catalog in ``folder`` (default: the one that rackplan ships), read once and kept.

    Raises:
        DataError: a file is missing, ill-formed, or refers to something that is not there.
    """
    root = paths.share("data") if folder is None else folder
    sources = read_sources(root / "sources.yaml", "data/sources.yaml")

    def entries(kind: str, keys: Mapping[str, schema.Key], *files: str) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for file in files:
            label = f"data/{file}"
            for name, entry in read_entries(root / file, label, kind, keys, sources).items():
                if name in found:
                    raise DataError(label, f"{kind} {name!r} is given twice", entry.line)
                found[name] = entry
        return found

    llm_files = sorted(f"llms/{path.name}" for path in (root / "llms").glob("*.yaml"))
    if not llm_files:
        raise DataError("data/llms", "holds no LLM")
    measured_files = sorted(f"measured/{path.name}" for path in (root / "measured").glob("*.yaml"))
    kinds = {
        "gpu": entries("gpu", schema.GPU, "hardware/gpus.yaml"),
        "node": entries("node", schema.NODE, "hardware/nodes.yaml"),
        "rack": entries("rack", schema.RACK, "hardware/racks.yaml"),
        "llm": entries("llm", schema.LLM, *llm_files),
        "gear": entries("gear", schema.LOSS, "power/gear.yaml"),
        "breaker": entries("breaker", schema.BREAKER, "power/breakers.yaml"),
        "ups": entries("ups", schema.UPS, "power/ups.yaml"),
        "precision": entries("precision", schema.PRECISION, "hardware/precisions.yaml"),
        "plant": entries("plant", schema.PLANT, "cooling/plants.yaml"),
        "measured": entries("measured", schema.MEASURED, *measured_files),
        "switch": entries("switch", schema.SWITCH, "network/switches.yaml"),
        "link": entries("link", schema.LINK, "network/links.yaml"),
        "superpod": entries("superpod", schema.SUPERPOD, "network/superpods.yaml"),
        "price": entries("price", schema.PRICE, "costs/prices.yaml"),
        "cost": entries("cost", schema.COST, "costs/defaults.yaml"),
    }
    gear = _rows(kinds["gear"], to_loss)
    gpus = _rows(kinds["gpu"], to_gpu)
    nodes = _rows(kinds["node"], lambda entry: to_node(entry, gpus, gear))
    _refuse_foreign(kinds["price"], nodes)
    llms = _rows(kinds["llm"], to_llm)
    return Catalog(
        sources=sources,
        entries=kinds,
        gpus=gpus,
        nodes=nodes,
        racks=_rows(kinds["rack"], lambda entry: to_rack(entry, nodes)),
        llms=llms,
        gear=gear,
        breakers=_rows(kinds["breaker"], to_breaker),
        ups=_rows(kinds["ups"], to_ups),
        plants=_rows(kinds["plant"], to_plant),
        measured=_rows(kinds["measured"], lambda entry: to_measured(entry, gpus, llms)),
        switches=_rows(kinds["switch"], to_switch),
        links=_rows(kinds["link"], to_link),
        aliases=_aliases(root / "hardware" / "aliases.yaml", kinds),
    )


def _refuse_foreign(prices: Mapping[str, Entry], nodes: Mapping[str, NodeType]) -> None:
    for name, entry in prices.items():
        if name not in nodes:
            hint = did_you_mean(name, nodes)
            raise DataError(entry.file, f"{name!r} is no server of the catalog{hint}", entry.line)


def _rows(entries: Mapping[str, Entry], convert: Callable[[Entry], _Row]) -> dict[str, _Row]:
    return {name: convert(entry) for name, entry in entries.items()}


def _aliases(path: Path, kinds: Mapping[str, Mapping[str, Entry]]) -> dict[str, dict[str, str]]:
    root = read_block(path, "data/hardware/aliases.yaml")
    tables: dict[str, dict[str, str]] = {}
    for kind in ("gpu", "precision"):
        table = tables[kind] = {fold(name): name for name in kinds[kind]}
        block = root.block(kind)
        for name in block.items:
            if name not in kinds[kind]:
                raise block.fail(f"{name!r} is no {_WORD[kind]} of the catalog", name)
            for alias in block.texts(name):
                taken = table.setdefault(fold(alias), name)
                if taken != name:
                    raise block.fail(f"alias {alias!r} stands for {taken!r} already", name)
    return tables
