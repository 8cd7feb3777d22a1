"""Vertices and edges as somebody wrote them, each checked by itself, become a networkx graph.

Files and graphs of Python functions go the same way. What an element says in a file is text
(``rate: 400 Gb/s``) or, in attributes named with their unit, a number (``bytes_per_s``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import networkx as nx

from sim.errors import did_you_mean
from sim.site.fabric.types import DRAWN
from sim.units import UnitError, parse_quantity

#: Between the same two vertices; more is a slip of the keyboard.
MOST_CABLES = 1024
#: The same of a cable's rate (bytes/s, from 8 b/s to 8 Pb/s) and latency (s).
LEAST_RATE, MOST_RATE = 1.0, 1e15
MOST_LATENCY = 10.0
VERTEX_KEYS = ("id", "kind", "ports", "pod")
EDGE_KEYS = (
    "source",
    "target",
    "rate",
    "bytes_per_s",
    "latency",
    "latency_s",
    "cables",
    "together",
)
#: Words of other tools → ours.
_HABITS = {
    "capacity": "rate",
    "bandwidth": "rate",
    "speed": "rate",
    "weight": "rate",
    "from": "source",
    "to": "target",
    "name": "id",
    "type": "kind",
    "role": "kind",
    "delay": "latency",
    "count": "cables",
    "radix": "ports",
}

#: Kinds of vertices of other tools → ours.
_KINDS = {"tor": "leaf", "switch": "leaf", "host": "node", "server": "node"}


@dataclass(frozen=True, order=True)
class Finding:
    """Something wrong with a graph: the line in its file (0: unknown) and the place in it."""

    line: int
    at: str
    message: str


@dataclass(frozen=True)
class Element:
    """A vertex or an edge as written; ``source`` and ``target`` tell an edge."""

    line: int
    at: str
    about: Mapping[str, Any]


def finding(about: Mapping[str, Any], message: str) -> Finding:
    """A finding about a vertex or an edge of a graph that ``assemble`` made."""
    return Finding(about.get("line", 0), about.get("at", ""), message)


def assemble(
    vertices: Iterable[Element], edges: Iterable[Element]
) -> tuple[nx.Graph, list[Finding]]:
    """The graph of sound elements, and what is wrong with the others."""
    graph = nx.Graph()
    found: list[Finding] = []
    for element in vertices:
        problems, sound = _vertex(element)
        name = sound.pop("id", None)
        if not problems and name in graph:
            problems = [Finding(element.line, element.at, f"{name!r} is there twice")]
        found += problems
        if name is not None:
            # A broken vertex keeps its name, so that its edges are not blamed as well.
            graph.add_node(name, kind=sound.get("kind", "leaf"), **_rest(sound), **_place(element))
    for element in edges:
        problems, sound = _edge(element)
        if not problems:
            problems = list(_ends(graph, element, sound))
        if problems:
            found += problems
            continue
        graph.add_edge(sound.pop("source"), sound.pop("target"), **sound, **_place(element))
    return graph, found


def of_graph(graph: nx.Graph) -> tuple[list[Element], list[Element]]:
    """The elements of a graph that somebody made in Python."""
    vertices = [
        Element(0, f"{name}", {**_said(about), "id": name}) for name, about in graph.nodes.items()
    ]
    edges = [
        Element(0, f"{one}/{other}", {**_said(about), "source": one, "target": other})
        for one, other, about in graph.edges(data=True)
    ]
    return vertices, edges


def _said(about: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in about.items() if key not in ("line", "at")}


def _rest(sound: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sound.items() if key != "kind"}


def _place(element: Element) -> dict[str, Any]:
    return {"line": element.line, "at": element.at}


def _vertex(element: Element) -> tuple[list[Finding], dict[str, Any]]:
    about = element.about
    found = list(_unknown(element, VERTEX_KEYS))
    sound: dict[str, Any] = {}
    name, kind = about.get("id"), about.get("kind")
    if not isinstance(name, str) or not name or len(name) > 200 or not name.isprintable():
        what = "is missing" if name is None else f"must be a name, not {_shown(name)}"
        found.append(Finding(element.line, f"{element.at}.id", what))
    else:
        sound["id"] = name
    if kind is None:
        known = ", ".join(DRAWN)
        found.append(Finding(element.line, f"{element.at}.kind", f"is missing: one of {known}"))
    elif kind not in DRAWN:
        ours = _KINDS.get(str(kind).lower())
        hint = f" (did you mean {ours!r}?)" if ours else did_you_mean(str(kind)[:50], DRAWN)
        found.append(
            Finding(element.line, f"{element.at}.kind", f"unknown word {_shown(kind)}{hint}")
        )
    else:
        sound["kind"] = kind
    for key in ("ports", "pod"):
        if key in about:
            value = _whole(about[key])
            if value is None or value < 1:
                message = f"expected a whole number from 1, not {_shown(about[key])}"
                found.append(Finding(element.line, f"{element.at}.{key}", message))
            else:
                sound[key] = value
    return found, sound


def _edge(element: Element) -> tuple[list[Finding], dict[str, Any]]:
    about = element.about
    found = list(_unknown(element, EDGE_KEYS))
    sound: dict[str, Any] = {"latency_s": 0.0, "cables": 1, "together": False}
    for key in ("source", "target"):
        if isinstance(about.get(key), str):
            sound[key] = about[key]
        else:
            message = "is missing" if about.get(key) is None else "must be the id of a vertex"
            found.append(Finding(element.line, f"{element.at}.{key}", message))
    for key, dimension, plain in (
        ("rate", "bytes_per_s", "bytes_per_s"),
        ("latency", "time", "latency_s"),
    ):
        said = [word for word in (key, plain) if word in about]
        try:
            if len(said) == 2:
                raise UnitError(f"write {key!r} or {plain!r}, not both")
            if said:
                sound[plain] = _quantity(about[said[0]], dimension if said[0] == key else "", key)
            elif key == "rate":
                raise UnitError("a link needs its rate, such as '400 Gb/s'")
        except UnitError as error:
            found.append(
                Finding(element.line, f"{element.at}.{said[0] if said else key}", str(error))
            )
    if "cables" in about:
        count = _whole(about["cables"])
        if count is None or not 1 <= count <= MOST_CABLES:
            message = f"expected a number of cables, 1 to {MOST_CABLES:,}, not "
            found.append(
                Finding(element.line, f"{element.at}.cables", message + _shown(about["cables"]))
            )
        else:
            sound["cables"] = count
    if "together" in about:
        if not isinstance(about["together"], bool):
            message = f"expected true or false, not {_shown(about['together'])}"
            found.append(Finding(element.line, f"{element.at}.together", message))
        else:
            sound["together"] = about["together"]
    return found, sound


def _ends(graph: nx.Graph, element: Element, sound: Mapping[str, Any]) -> Iterator[Finding]:
    one, other = sound["source"], sound["target"]
    for key in ("source", "target"):
        name = sound[key]
        if name not in graph:
            hint = did_you_mean(name[:200], graph.nodes, most=8)
            yield Finding(element.line, f"{element.at}.{key}", f"no vertex {_shown(name)}{hint}")
            return
    if one == other:
        yield Finding(element.line, element.at, f"{_shown(one)} is joined to itself")
    elif graph.has_edge(one, other):
        message = f"{one} and {other} are joined twice: write 'cables: 2' for parallel links"
        yield Finding(element.line, element.at, message)


def _unknown(element: Element, known: tuple[str, ...]) -> Iterator[Finding]:
    for key in element.about:
        if key in known or str(key).startswith("x-"):
            continue
        ours = _HABITS.get(str(key).lower())
        hint = f" (did you mean {ours!r}?)" if ours in known else did_you_mean(str(key)[:50], known)
        yield Finding(element.line, element.at, f"unknown key {_shown(key)}{hint}")


def _quantity(value: Any, dimension: str, key: str) -> float:
    """A rate or a latency with its unit, or (no ``dimension``) a number in SI, within bounds."""
    if dimension:
        number = parse_quantity(value, dimension)
    else:
        real = _real(value)
        if real is None:
            raise UnitError(f"expected a number in SI units, not {_shown(value)}")
        number = real
    if key == "latency":
        if not number >= 0.0:
            raise UnitError(f"must be at least 0, not {_shown(value)}")
        if number > MOST_LATENCY:
            raise UnitError(f"must be at most {MOST_LATENCY:g} s, not {_shown(value)}")
    else:
        if not number > 0.0:
            raise UnitError(f"must be above 0, not {_shown(value)}")
        if not LEAST_RATE <= number <= MOST_RATE:
            raise UnitError(f"must be from 1 B/s to 1000 TB/s, not {_shown(value)}")
    return number


def _real(value: Any) -> float | None:
    """A number, also of numpy, as a float, infinite where it is too large; None: no number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf  # or less than all floats: neither is a rate, a time or a number of things


def _whole(value: Any) -> int | None:
    number = _real(value)
    return int(number) if number is not None and number.is_integer() else None


def _shown(value: Any) -> str:
    try:
        text = repr(value) if isinstance(value, str) else str(value)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:59] + "…"
