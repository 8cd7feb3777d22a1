"""Named hardware, LLMs and power gear, each number with its source: the rows of ``data/``.

``gpu``, ``node_type``, ``rack_type`` and ``llm`` return frozen rows in SI units; ``entry`` the same
row as written, with unit, source, licence and mark per number. GPUs and precisions have aliases
(``canonical_gpu``, ``canonical_precision``). An unknown name raises ``UnknownName`` with the
nearest; a broken data file ``DataError`` with its line.
"""

from __future__ import annotations

from sim.catalog.convert import rated
from sim.catalog.library import KINDS, load
from sim.catalog.measured import MeasuredSteps
from sim.catalog.protection import Breaker, UpsProduct
from sim.catalog.records import Entry, Field, Source
from sim.catalog.types import CoolingPlant, Gpu, Link, Llm, Loss, NodeType, RackType, Switch
from sim.errors import UnknownName

__all__ = [
    "KINDS",
    "CoolingPlant",
    "Entry",
    "Field",
    "Link",
    "MeasuredSteps",
    "Source",
    "Switch",
    "breaker",
    "canonical_gpu",
    "canonical_precision",
    "entry",
    "gear_loss",
    "gpu",
    "link",
    "llm",
    "measured_steps",
    "names",
    "node_type",
    "plant",
    "rack_type",
    "source_ids",
    "switch",
    "ups_product",
]


def gpu(name: str) -> Gpu:
    """The GPU of this name; aliases and case are accepted (``"H100"`` is ``h100-sxm``)."""
    return load().gpus[canonical_gpu(name)]


def llm(name: str) -> Llm:
    """The LLM of exactly this name."""
    catalog = load()
    catalog.entry("llm", name)
    return catalog.llms[name]


def node_type(name: str) -> NodeType:
    """The server type of exactly this name."""
    catalog = load()
    catalog.entry("node", name)
    return catalog.nodes[name]


def rack_type(name: str) -> RackType:
    """The rack type of exactly this name."""
    catalog = load()
    catalog.entry("rack", name)
    return catalog.racks[name]


def plant(name: str) -> CoolingPlant:
    """The cooling plant of exactly this name."""
    catalog = load()
    catalog.entry("plant", name)
    return catalog.plants[name]


def measured_steps(name: str) -> MeasuredSteps:
    """The table of measured steps of exactly this name."""
    catalog = load()
    catalog.entry("measured", name)
    return catalog.measured[name]


def gear_loss(name: str, rating_w: float) -> Loss:
    """The loss curve of a kind of power gear (``ups``, ``pdu``, a power supply) at this rating."""
    catalog = load()
    catalog.entry("gear", name)
    return rated(catalog.gear[name], rating_w)


def breaker(name: str) -> Breaker:
    """The breaker preset of exactly this name."""
    catalog = load()
    catalog.entry("breaker", name)
    return catalog.breakers[name]


def ups_product(name: str) -> UpsProduct:
    """The UPS product of exactly this name."""
    catalog = load()
    catalog.entry("ups", name)
    return catalog.ups[name]


def switch(name: str) -> Switch:
    """The network switch of exactly this name."""
    catalog = load()
    catalog.entry("switch", name)
    return catalog.switches[name]


def link(name: str) -> Link:
    """The kind of link of exactly this name."""
    catalog = load()
    catalog.entry("link", name)
    return catalog.links[name]


def names(kind: str) -> tuple[str, ...]:
    """Every name of a kind (one of ``KINDS``), in the order of the data files."""
    catalog = load()
    if kind not in catalog.entries:
        raise UnknownName("catalog kind", kind, KINDS, len(KINDS))
    return tuple(catalog.entries[kind])


def canonical_gpu(name: str) -> str:
    """``"NVIDIA-H100-80GB-HBM3"`` → ``"h100-sxm"``; ``UnknownName`` names the nearest."""
    return load().canonical("gpu", name)


def canonical_precision(name: str) -> str:
    """``"e4m3"`` → ``"fp8"``; raises ``UnknownName`` with the nearest name.

    ``fp16`` counts as ``bf16``: same bytes and same peak, though not the same numbers.
    """
    return load().canonical("precision", name)


def entry(kind: str, name: str) -> Entry:
    """Every field of one entry as written, with unit, source, licence and mark.

    GPUs and precisions accept their aliases here too.
    """
    catalog = load()
    if kind in catalog.aliases:
        name = catalog.canonical(kind, name)
    return catalog.entry(kind, name)


def source_ids(kind: str, name: str) -> tuple[str, ...]:
    """The ids of every source behind an entry, sorted: a node's include its GPU's and its PSU's,
    a rack's its node's."""
    shown = entry(kind, name)
    found = {field.source.id for field in shown.fields if field.source is not None}
    below = {"node": (("gpu", "gpu"), ("gear", "psu")), "rack": (("node", "node"),)}
    for part_kind, key in below.get(kind, ()):
        found.update(source_ids(part_kind, shown.word(key)))
    return tuple(sorted(found))
