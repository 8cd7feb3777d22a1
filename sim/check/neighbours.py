"""The ``neighbours`` section: servers that are there, a network to cross, times in order."""

from __future__ import annotations

import numpy as np

from sim.check.collector import Collector
from sim.check.scenario import Traffic
from sim.errors import UnknownName
from sim.site.types import Site
from sim.spec.neighbours import TrafficSpec
from sim.spec.nodes import Path
from sim.units import format_si


def check_neighbours(found: Collector, site: Site | None, *, network: bool) -> tuple[Traffic, ...]:
    """The usable neighbours in order; ``network``: something joins the servers."""
    document = found.document
    found.unique(
        "neighbour",
        ((("neighbours", i, "name"), name) for i, name in document.declared("neighbours")),
    )
    usable = []
    for i, spec in enumerate(document.spec.neighbours):
        if spec is None:
            continue
        one = _traffic(spec, ("neighbours", i), site, found)
        if not network and ("fabric",) not in document.failed:
            found.error(
                ("neighbours", i),
                "crosses a network: state one, such as 'fabric: {kind: rail-optimised}'",
            )
        elif one is not None:
            usable.append(one)
    fabric = document.spec.fabric
    if usable and fabric is not None and fabric.kind == "none":
        found.error(
            ("fabric", "kind"),
            f"{usable[0].name} sends from server to server, and nothing would join them: write "
            "'kind: rail-optimised' or another network",
        )
    return tuple(usable)


def _traffic(spec: TrafficSpec, path: Path, site: Site | None, found: Collector) -> Traffic | None:
    if site is None:
        return None
    duration_s = found.document.spec.duration or 0.0
    until_s = duration_s if spec.until is None else spec.until
    fine = found.unique("rack", (((*path, "racks", i), name) for i, name in enumerate(spec.racks)))
    for i, name in enumerate(spec.racks):
        if name not in site.rack_names:
            found.caught((*path, "racks", i), UnknownName("rack", name, site.rack_names))
            fine = False
    if spec.begin >= until_s:
        found.error(
            (*path, "begin"),
            f"no round starts: {format_si(spec.begin, 's')} is not before the end, "
            f"{format_si(until_s, 's')}",
        )
        fine = False
    if not fine:
        return None
    racks = [site.rack_names.index(name) for name in spec.racks]
    servers = np.flatnonzero(np.isin(site.node_rack, racks))
    gpus = [tuple(np.flatnonzero(site.gpu_node == server).tolist()) for server in servers.tolist()]
    if len(gpus) < 2:
        found.error((*path, "racks"), "one server has nobody to send to; two or more take part")
        return None
    if len({len(group) for group in gpus}) > 1:
        found.error(
            (*path, "racks"), "servers of different sizes: a GPU sends to those of its own rank"
        )
        return None
    return Traffic(
        name=spec.name,
        kind=spec.kind,
        gpus=tuple(gpus),
        size_bytes=spec.size,
        every_s=spec.every,
        limit_bytes_per_s=spec.limit,
        begin_s=spec.begin,
        until_s=until_s,
    )
