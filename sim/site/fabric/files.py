"""Networks in files: networkx's node-link JSON and GraphML, read with the line of each element.

A file that names GPUs, hosts or NVSwitches holds the whole network of the site. One with only NICs
and switches holds what is between servers, and the inside of the servers is added. Neither format
is read by networkx itself: its readers keep no lines, and take more than a file of ours may hold.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import networkx as nx

from sim.errors import DataError
from sim.site.fabric.elements import Element, Finding, assemble, finding
from sim.site.fabric.graph import inside
from sim.site.fabric.graphml import read_graphml
from sim.site.types import Site
from sim.units import parse_quantity

SUFFIXES = (".json", ".graphml")
#: A site of 16,384 NICs is about 15 MiB.
MOST_BYTES = 64 << 20
_INSIDE = {"gpu", "node", "nvswitch"}
_SPACE = re.compile(r"[ \t\n\r]*")
#: Keys of node-link data that say what networkx takes for granted here.
_TOP = {"directed": False, "multigraph": False}


class _Repeated(dict[str, Any]):
    """An object of JSON in which a key stands twice."""

    key = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = _Repeated(found)
    repeated.key = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return repeated


def _number(text: str) -> int | float:
    """Integers beyond all floats are infinite, as other numbers are."""
    return int(text) if len(text) < 300 else float(text)


_DECODER = json.JSONDecoder(
    parse_constant=lambda word: word, parse_int=_number, object_pairs_hook=_object
)


def read_graph(file: Path, label: str, site: Site) -> tuple[nx.Graph, list[Finding]]:
    """The graph in ``file`` with what is wrong with its elements; ``label`` names it in messages.

    Raises:
        DataError: it cannot be read at all: too large, no text, neither JSON nor GraphML.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(label, f"cannot be read: {(error.strerror or 'error').lower()}") from None
    if len(data) > MOST_BYTES:
        raise DataError(label, f"is larger than {MOST_BYTES >> 20} MiB, the most a network may be")
    if file.suffix.lower() == ".json":
        vertices, edges = _json(data, label)
    else:
        vertices, edges = read_graphml(data, label)
    if not vertices:
        raise DataError(label, "holds no vertex: 'nodes' is empty or missing")
    graph, found = assemble(vertices, edges)
    full, taken = whole(graph, site)
    return full, [*found, *taken]


def whole(graph: nx.Graph, site: Site) -> tuple[nx.Graph, list[Finding]]:
    """The graph with the inside of the site's servers, where it holds none of it.

    A switch cannot have the name of an NVSwitch that is added: that is found.
    """
    if any(about["kind"] in _INSIDE for about in graph.nodes.values()):
        return graph, []
    full = inside(site)
    taken = []
    for name, about in graph.nodes.items():
        added = full.nodes[name]["kind"] if name in full else ""
        if added == "nvswitch":
            message = f"{name!r} is the name of an nvswitch that is added to the servers"
            taken.append(finding(about, f"{message}: give this {about['kind']} another"))
        if about["kind"] != added:
            full.add_node(name, **about)
    full.add_edges_from(graph.edges(data=True))
    return full, taken


def write_graph(graph: nx.Graph, file: Path) -> None:
    """Write a graph such that ``read_graph`` gives it back.

    Raises:
        DataError: another suffix than .json or .graphml, or the file cannot be written.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise DataError(f"{file}", "write a file that ends in .json or .graphml")
    plain = nx.Graph()
    for name, about in graph.nodes.items():
        plain.add_node(name, **_kept(about))
    for one, other, about in graph.edges(data=True):
        plain.add_edge(one, other, **_kept(about))
    try:
        if file.suffix.lower() == ".graphml":
            nx.write_graphml_xml(plain, file)
        else:
            file.write_text(_node_link(plain), encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise DataError(f"{file}", f"cannot be written: {reason}") from None


def digest(graph: nx.Graph) -> str:
    """SHA-256 of what a graph says, whatever the order of its elements."""
    vertices = [f"{name} {sorted(_kept(about).items())}" for name, about in graph.nodes.items()]
    edges = [
        f"{sorted((one, other))} {sorted(_kept(about).items())}"
        for one, other, about in graph.edges(data=True)
    ]
    text = "\n".join([*sorted(vertices), *sorted(edges)])
    return hashlib.sha256(text.encode()).hexdigest()


def _kept(about: Mapping[str, Any]) -> dict[str, Any]:
    """What an element says, as a person would write it, without what goes without saying."""
    kept = {k: v for k, v in about.items() if k not in ("line", "at") and v is not None}
    for key, word, dimension, scale, unit in (
        ("bytes_per_s", "rate", "bytes_per_s", 8e-9, "Gb/s"),
        ("latency_s", "latency", "time", 1e9, "ns"),
    ):
        if key in kept:
            text = f"{kept[key] * scale:.12g} {unit}"
            if parse_quantity(text, dimension) == kept[key]:
                del kept[key]
                kept[word] = text
    if kept.get("cables") == 1:
        del kept["cables"]
    if kept.get("together") is False:
        del kept["together"]
    return kept


def _node_link(graph: nx.Graph) -> str:
    """Node-link data, an element a line: a file that an editor and ``diff`` can work with."""
    nodes = [json.dumps({"id": name, **about}) for name, about in graph.nodes.items()]
    edges = [
        json.dumps({"source": one, "target": other, **about})
        for one, other, about in graph.edges(data=True)
    ]
    lines = ['{"directed": false, "multigraph": false, "graph": {},', ' "nodes": [']
    lines += [f"  {line}" for line in ",\n  ".join(nodes).split("\n  ")]
    lines += [" ],", ' "edges": [']
    lines += [f"  {line}" for line in ",\n  ".join(edges).split("\n  ")]
    return "\n".join([*lines, " ]", "}"]) + "\n"


def _json(data: bytes, label: str) -> tuple[list[Element], list[Element]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(label, "is not UTF-8 text", line) from None
    vertices: list[Element] = []
    edges: list[Element] = []
    seen: set[str] = set()
    try:
        for key, value, line in _members(text, label):
            if key in seen:
                raise DataError(label, f"{key[:50]!r} is there twice", line)
            seen.add(key)
            if key in ("nodes", "edges", "links"):
                into = vertices if key == "nodes" else edges
                if not isinstance(value, list):
                    raise DataError(label, f"{key}: expected a list", line)
                into += [_element(item, at, key, i, label) for i, (item, at) in enumerate(value)]
            elif key in _TOP:
                if value is not _TOP[key]:
                    hint = "links have both directions here, and parallel ones 'cables'"
                    raise DataError(label, f"{key}: expected false ({hint})", line)
            elif key != "graph":
                raise DataError(
                    label, f"unknown key {key[:50]!r} (known: nodes, edges, graph)", line
                )
    except json.JSONDecodeError as error:
        raise DataError(label, f"is not JSON: {error.msg.lower()}", error.lineno) from None
    except RecursionError:
        raise DataError(label, "is nested too deeply") from None
    return vertices, edges


def _element(item: Any, line: int, key: str, index: int, label: str) -> Element:
    if not isinstance(item, dict):
        raise DataError(label, f"{key}[{index}]: expected a mapping such as {{…}}", line)
    if isinstance(item, _Repeated):
        raise DataError(label, f"{key}[{index}]: {item.key[:50]!r} is there twice", line)
    return Element(line, f"{key}[{index}]", item)


def _members(text: str, label: str) -> Iterator[tuple[str, Any, int]]:
    """(key, value, line) of the object that ``text`` is; a list comes as (item, line) each."""
    lines = _Lines(text)
    at = _after(text, 0)
    if text[at : at + 1] != "{":
        raise DataError(label, 'expected node-link data: {"nodes": […], "edges": […]}', 1)
    at = _after(text, at + 1)
    while text[at : at + 1] != "}":
        line = lines.at(at)
        key, at = _DECODER.raw_decode(text, at)
        at = _mark(text, _after(text, at), ":")
        if text[at : at + 1] == "[":
            value, at = _items(text, at, lines)
        else:
            value, at = _DECODER.raw_decode(text, at)
        yield f"{key}", value, line
        at = _after(text, at)
        if text[at : at + 1] != "}":
            at = _next(text, at, "}")
    at = _after(text, at + 1)
    if at != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _items(text: str, at: int, lines: _Lines) -> tuple[list[tuple[Any, int]], int]:
    items = []
    at = _after(text, at + 1)
    while text[at : at + 1] != "]":
        line = lines.at(at)
        item, at = _DECODER.raw_decode(text, at)
        items.append((item, line))
        at = _after(text, at)
        if text[at : at + 1] != "]":
            at = _next(text, at, "]")
    return items, at + 1


def _after(text: str, at: int) -> int:
    """Where the next character that is no space stands."""
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _mark(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise json.JSONDecodeError(f"Expecting {mark!r}", text, at)
    return _after(text, at + 1)


def _next(text: str, at: int, end: str) -> int:
    """Where the item after a comma begins; there must be one."""
    after = _mark(text, at, ",")
    if text[after : after + 1] == end:
        raise json.JSONDecodeError(f"Nothing after ',' before {end!r}", text, at)
    return after


class _Lines:
    """Line numbers of positions that only grow."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._line = text, 0, 1

    def at(self, position: int) -> int:
        self._line += self._text.count("\n", self._at, position)
        self._at = position
        return self._line
