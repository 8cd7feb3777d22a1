"""The ``fabric`` section against the site: a built-in kind that fits, or a graph that is whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sim import catalog
from sim.catalog.types import Switch
from sim.check.collector import Collector
from sim.check.files import located_file
from sim.errors import BuildError, DataError, Mark, Problem, ScenarioError, UnknownName
from sim.site.fabric.plan import TREES, check_plan, nic_rate
from sim.site.fabric.source import Edit, FabricSource, servers_only
from sim.site.fabric.types import NO_STORAGE, FabricPlan, Storage
from sim.site.types import Site
from sim.spec.fabric import FabricSpec
from sim.spec.nodes import Path, shorten

if TYPE_CHECKING:
    from sim.site.fabric.elements import Finding

_HERE: Path = ("fabric",)
_SUFFIXES = (".json", ".graphml")


def check_fabric(
    found: Collector, site: Site | None, edit: Edit | None, storage: Storage = NO_STORAGE
) -> FabricSource | None:
    """The network and its storage nodes; None where there is none or something of it is wrong."""
    spec = found.document.spec.fabric
    if spec is None:
        broken = _HERE in found.document.failed
        if edit is None or site is None or broken:
            return None
        return _edited(servers_only(storage), edit, site, found)
    source = _source(spec, site, storage, found)
    if source is None or site is None or edit is None:
        return source
    return _edited(source, edit, site, found)


def _source(
    spec: FabricSpec, site: Site | None, storage: Storage, found: Collector
) -> FabricSource | None:
    if (spec.kind is None) == (spec.file is None):
        rest = "" if spec.kind is None else ", not both"
        message = (
            "name a kind of network, such as {kind: rail-optimised}, "
            "or give a file, such as {file: fabric.json}"
        )
        found.error(_HERE, message + rest)
        return None
    if spec.file is not None:
        return _read(spec, spec.file, site, storage, found)
    plan = _plan(spec, site, storage, found)
    if plan is None or site is None:
        return None
    if storage.nodes and plan.kind not in (*TREES, "single-switch"):
        found.error(
            ("storage", "nodes"),
            f"'kind: {plan.kind}' has no switch that storage nodes could be joined to: write "
            "'kind: rail-optimised'",
        )
        return None
    try:
        check_plan(site, plan)
    except BuildError as error:
        found.built(error)
        return None
    return FabricSource(plan.kind, plan, storage=storage)


def _read(
    spec: FabricSpec, name: str, site: Site | None, storage: Storage, found: Collector
) -> FabricSource | None:
    here = (*_HERE, "file")
    fine = True
    for key in sorted(spec.model_fields_set - {"kind", "file"}):
        message = f"belongs to a built-in kind; {shorten(name)!r} states its own links"
        found.error((*_HERE, key), message, key=True)
        fine = False
    file = located_file(found, here, name, _SUFFIXES)
    if file is None or site is None:
        return None
    if file.suffix.lower() not in _SUFFIXES:
        message = f"{shorten(name)!r} is neither .json (node-link) nor .graphml"
        found.error(here, message)
        return None
    from sim.site.fabric.compile import findings_of
    from sim.site.fabric.files import read_graph

    label = shorten(name, 100)
    try:
        graph, findings = read_graph(file, label, site)
    except DataError as error:
        if error.line:
            message = str(error).removeprefix(f"{error.file}:{error.line}: ")
            found.extend(ScenarioError([Problem(Mark(label, error.line, 1), "", message)]))
        else:
            found.error(here, " ".join(str(error).split()))
        return None
    findings = findings or findings_of(graph, site, storage)
    if findings:
        found.extend(ScenarioError(_problems(findings, label)))
        return None
    return FabricSource("file", file=file, given=graph, storage=storage) if fine else None


def _problems(findings: Iterable[Finding], label: str) -> list[Problem]:
    return [Problem(Mark(label, one.line, 1), one.at, one.message) for one in findings][:20]


def _edited(source: FabricSource, edit: Edit, site: Site, found: Collector) -> FabricSource | None:
    import networkx as nx

    from sim.site.fabric.compile import findings_of
    from sim.site.fabric.elements import assemble, of_graph

    name = getattr(edit, "__name__", type(edit).__name__)
    given: Any = edit(source.graph(site))
    if not isinstance(given, nx.Graph) or given.is_directed() or given.is_multigraph():
        what = type(given).__name__
        found.error(
            _HERE,
            f"the function {name!r} returned {what}: it must return an undirected networkx.Graph "
            "(parallel links are one edge with 'cables')",
        )
        return None
    graph, findings = assemble(*of_graph(given))
    findings = findings or findings_of(graph, site, source.storage)
    for one in findings[:20]:
        place = f"{one.at}: " if one.at else ""
        found.error(_HERE, f"the graph of the function {name!r}: {place}{one.message}")
    return None if findings else FabricSource("function", given=graph, storage=source.storage)


def _plan(
    spec: FabricSpec, site: Site | None, storage: Storage, found: Collector
) -> FabricPlan | None:
    """The built-in kind with its switch, or None (and problems)."""
    assert spec.kind is not None
    fine = True
    if spec.kind not in TREES:
        useless = {"cables"} | ({"switch"} if spec.kind != "single-switch" else set())
        useless |= {"oversubscription"} if spec.oversubscription != 1.0 else set()
        for key in sorted(useless & spec.model_fields_set):
            what = f"means nothing with 'kind: {spec.kind}' (it is of {', '.join(TREES)})"
            found.error((*_HERE, key), what, key=True)
            fine = False
    if site is None:
        return None
    fastest = spec.nic if spec.nic is not None else nic_rate(site)
    switch = _switch(spec, fastest, found)
    if switch is None or not fine:
        return None
    return FabricPlan(
        kind=spec.kind,
        nic_bytes_per_s=spec.nic,
        oversubscription=spec.oversubscription,
        radix=None if spec.kind not in TREES and spec.switch is None else switch.radix,
        port_bytes_per_s=switch.port_bytes_per_s,
        switch_latency_s=switch.latency_s,
        cables=spec.cables,
        storage=storage,
    )


def _switch(spec: FabricSpec, fastest: float, found: Collector) -> Switch | None:
    """The switch that is named, else the first of the catalog that is fast enough; changed."""
    own = spec.switch
    base: Switch | None = None
    if own is not None and own.name is not None:
        try:
            base = catalog.switch(own.name)
        except UnknownName as error:
            found.caught((*_HERE, "switch"), error)
            return None
    else:
        every = (catalog.switch(name) for name in catalog.names("switch"))
        base = next((one for one in every if one.port_bytes_per_s >= fastest), None)
    stated = (None, None, None) if own is None else (own.radix, own.port, own.latency)
    if base is None and None in stated and spec.kind in (*TREES, "single-switch"):
        found.error(
            _HERE if own is None else (*_HERE, "switch"),
            f"no switch of the catalog has ports of {fastest * 8 / 1e9:g} Gb/s; state one: "
            "'switch: {radix: 64, port: …, latency: 500 ns}'",
        )
        return None
    known = (2, fastest, 0.0) if base is None else (
        base.radix, base.port_bytes_per_s, base.latency_s
    )  # fmt: skip
    radix, port, latency = (
        told if told is not None else default for told, default in zip(stated, known, strict=True)
    )
    return Switch("", int(radix), port, latency)
