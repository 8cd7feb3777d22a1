"""GraphML, read with the line of each element."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from sim.errors import DataError
from sim.site.fabric.elements import Element


class _GraphMl:
    """What GraphML says, gathered while expat goes through it."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.elements: dict[str, list[Element]] = {"node": [], "edge": []}
        self.defaults: dict[str, dict[str, Any]] = {"node": {}, "edge": {}}
        self._keys: dict[str, tuple[str, str]] = {}  # id → (attr.name, attr.type)
        self._of = ""  # what the <key> that is open is for
        self._open = self._graphs = 0
        self._about: dict[str, Any] | None = None
        self._text: list[str] | None = None
        self._key = ""
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.doctype

    def fail(self, message: str) -> DataError:
        return DataError(self.label, message, self.parser.CurrentLineNumber)

    def doctype(self, *_: object) -> None:
        raise self.fail("a document type (<!DOCTYPE>) may not stand in it")

    def start(self, tag: str, said: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        self._whole_graph(tag, said)
        if tag == "key" and "id" in said:
            self._key, self._of = said["id"], said.get("for", "all")
            name = said.get("attr.name", said["id"])
            self._keys[said["id"]] = (name, said.get("attr.type", "string"))
        elif tag in self.elements:
            ends = ("id",) if tag == "node" else ("source", "target")
            self._about = {key: said[key] for key in ends if key in said}
            into = self.elements[tag]
            line = self.parser.CurrentLineNumber
            into.append(Element(line, f"{tag}[{len(into)}]", self._about))
        elif tag == "data" and self._about is not None:
            self._key, self._text = said.get("key", ""), []
        elif tag == "default":
            self._text = []
        elif tag in ("hyperedge", "port"):
            raise self.fail(f"<{tag}> is not a part of a network")

    def _whole_graph(self, tag: str, said: dict[str, str]) -> None:
        """Refuse what is no GraphML, more than one graph, and links with one direction."""
        if self._open == 0 and tag != "graphml":
            raise self.fail(f"is not GraphML: it begins with <{tag[:50]}>, not <graphml>")
        self._open += 1
        if tag == "graph":
            self._graphs += 1
            if self._graphs > 1:
                raise self.fail("a second <graph>: a network is one, with no graph in a node")
            if said.get("edgedefault", "undirected") != "undirected":
                raise self.fail('links have both directions here: edgedefault="undirected"')
        if tag == "edge" and said.get("directed", "false") not in ("false", "0"):
            raise self.fail('links have both directions here: leave out directed="true"')

    def characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "data" and self._text is not None and self._about is not None:
            name, value = self._value(self._text)
            if name in self._about:
                raise self.fail(f"{name[:50]!r} is there twice in one element")
            self._about[name] = value
            self._text = None
        elif tag == "default" and self._text is not None:
            name, value = self._value(self._text)
            for of in self.defaults if self._of == "all" else (self._of,):
                self.defaults.get(of, {})[name] = value
            self._text = None
        elif tag in self.elements:
            self._about = None

    def _value(self, text: list[str]) -> tuple[str, Any]:
        name, kind = self._keys.get(self._key, (self._key, "string"))
        return name, _typed("".join(text).strip(), kind)


def _typed(text: str, kind: str) -> Any:
    """A value of GraphML; one that is not of its type stays text, and is refused as that."""
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if kind in ("int", "long", "float", "double"):
        try:
            return int(text) if kind in ("int", "long") else float(text)
        except ValueError:
            return text
    return text


def read_graphml(data: bytes, label: str) -> tuple[list[Element], list[Element]]:
    """Vertices and edges; ``label`` names the file in messages.

    Raises:
        DataError: it is no GraphML, or says what a network cannot have.
    """
    reader = _GraphMl(label)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        message = expat.ErrorString(error.code)
        raise DataError(label, f"is not GraphML: {message}", error.lineno) from None
    except (ValueError, LookupError):
        raise DataError(label, "is not GraphML: an encoding that is not known") from None
    vertices, edges = (
        [
            Element(one.line, one.at, {**reader.defaults[tag], **one.about})
            for one in reader.elements[tag]
        ]
        for tag in ("node", "edge")
    )
    return vertices, edges
