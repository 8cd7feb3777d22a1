"""Reads the catalog's own YAML files strictly: every number with its unit, source and mark.

A file is ``{source?, mark?, entries: {name: {…}}}`` or, for one entry, the entry itself with a
``name``. A value is written bare (``tdp: 700 W``), taking source and mark from its entry, or as
``{value, source, mark, note}``. Every mistake is a ``DataError`` with the file and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from sim.catalog.records import MARKS, Entry, Field, Source
from sim.catalog.schema import FLAG, SI_UNIT, STEPS, WHOLE, WORD, Key
from sim.catalog.steps import parse_steps
from sim.errors import DataError, did_you_mean
from sim.units import UnitError, parse_quantity

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PROVENANCE = ("source", "mark", "note")


@dataclass(frozen=True)
class Block:
    """A YAML mapping with the line of each key; values are text, blocks or lists of text."""

    file: str
    line: int
    items: Mapping[str, Block | str | tuple[str, ...]]
    lines: Mapping[str, int]

    def fail(self, message: str, key: str = "") -> DataError:
        """An error at the line of ``key``, or of the block."""
        return DataError(self.file, message, self.lines.get(key, self.line))

    def text(self, key: str) -> str:
        """The scalar at ``key``."""
        item = self.items.get(key)
        if item is None:
            raise self.fail(f"{key!r} is missing")
        if not isinstance(item, str):
            raise self.fail(f"{key!r} must be a single value", key)
        return item

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of scalars at ``key``."""
        item = self.items.get(key)
        if not isinstance(item, tuple):
            raise self.fail(f"{key!r} must be a list", key)
        return item

    def block(self, key: str) -> Block:
        """The mapping at ``key``."""
        item = self.items.get(key)
        if not isinstance(item, Block):
            raise self.fail(f"{key!r} must be a mapping" if item else f"{key!r} is missing", key)
        return item

    def blocks(self) -> Iterator[tuple[str, Block]]:
        """Every item, each of which must be a mapping."""
        for key in self.items:
            yield key, self.block(key)


def read_block(path: Path, label: str) -> Block:
    """One YAML file as a Block; ``label`` is what messages call it.

    Raises:
        DataError: unreadable, not YAML, not a mapping, a duplicate key, an anchor or a tag.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except OSError as error:
        raise DataError(label, f"cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise DataError(label, f"not YAML: {error.problem}", line) from error
    if not isinstance(root, yaml.MappingNode):
        raise DataError(label, "must be a mapping")
    return _block(root, label)


def _block(node: yaml.MappingNode, label: str) -> Block:
    items: dict[str, Block | str | tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in items:
            raise DataError(label, f"{key!r} is given twice", line)
        lines[key] = line
        if isinstance(value_node, yaml.MappingNode):
            items[key] = _block(value_node, label)
        elif isinstance(value_node, yaml.SequenceNode):
            if not all(isinstance(part, yaml.ScalarNode) for part in value_node.value):
                raise DataError(label, f"{key!r} must list single values", line)
            items[key] = tuple(str(part.value) for part in value_node.value)
        else:
            items[key] = str(value_node.value)
    return Block(label, node.start_mark.line + 1, items, lines)


def read_sources(path: Path, label: str) -> dict[str, Source]:
    """The table of sources: id → title, address, licence, all three required and non-empty."""
    sources: dict[str, Source] = {}
    for name, block in read_block(path, label).blocks():
        _only(block, ("title", "address", "licence"))
        values = {key: block.text(key) for key in ("title", "address", "licence")}
        for key, text in values.items():
            if not text.strip():
                raise block.fail(f"source {name!r} has an empty {key!r}", key)
        sources[name] = Source(name, **values)
    return sources


def read_entries(
    path: Path, label: str, kind: str, schema: Mapping[str, Key], sources: Mapping[str, Source]
) -> dict[str, Entry]:
    """Every entry of one file, checked against its schema.

    Raises:
        DataError: a key missing, unknown or ill-formed; an unknown unit, source or mark.
    """
    root = read_block(path, label)
    if "name" in root.items:
        return {root.text("name"): _entry(root, root.text("name"), kind, schema, sources)}
    entries = {}
    for name, block in root.blocks():
        entries[name] = _entry(block, name, kind, schema, sources)
    return entries


def _only(block: Block, allowed: tuple[str, ...]) -> None:
    for key in block.items:
        if key not in allowed:
            raise block.fail(f"unknown key {key!r}{did_you_mean(key, allowed)}", key)


def _entry(
    block: Block, name: str, kind: str, schema: Mapping[str, Key], sources: Mapping[str, Source]
) -> Entry:
    _only(block, ("name", *_PROVENANCE, *schema))
    reader = _FieldReader(block, sources)
    fields: list[Field] = []
    for key, form in schema.items():
        if key not in block.items:
            if not form.optional:
                raise block.fail(f"{kind} {name!r} lacks {key!r}")
        elif form.members is None:
            fields.append(reader.field(block, key, key, form))
        else:
            inner = block.block(key)
            _only(inner, tuple(form.members))
            for member, member_form in form.members.items():
                if member in inner.items:
                    fields.append(reader.field(inner, member, f"{key}.{member}", member_form))
                elif not form.any_member:
                    raise inner.fail(f"{kind} {name!r} lacks '{key}.{member}'")
            if not inner.items:
                raise inner.fail(f"{kind} {name!r} has an empty {key!r}")
    order = {key: place for place, key in enumerate(block.items)}
    fields.sort(key=lambda field: (order[field.key.split(".")[0]], field.line))
    return Entry(kind, name, block.file, block.line, tuple(fields))


@dataclass(frozen=True)
class _FieldReader:
    entry: Block
    sources: Mapping[str, Source]

    def field(self, block: Block, key: str, path: str, form: Key) -> Field:
        item = block.items[key]
        given = item if isinstance(item, Block) else None
        if given is not None:
            _only(given, ("value", *_PROVENANCE))
        where, at = (given, "value") if given is not None else (block, key)
        if form.many:
            texts = where.texts(at)
            numbers = tuple(_value(each, form, path, where, at) or 0.0 for each in texts)
            text, value = ", ".join(texts), None
        else:
            text = "; ".join(where.texts(at)) if form.form == STEPS else where.text(at)
            value, numbers = _value(text, form, path, where, at), ()
        source, mark = self._provenance(given, path, form, where)
        note = given.text("note") if given is not None and "note" in given.items else ""
        unit = SI_UNIT.get(form.form, "")
        return Field(path, text, value, unit, source, mark, note, block.lines[key], numbers)

    def _provenance(
        self, given: Block | None, path: str, form: Key, where: Block
    ) -> tuple[Source | None, str]:
        found: dict[str, str] = {}
        for key in ("source", "mark"):
            for block in (given, self.entry):
                if block is not None and key in block.items:
                    found.setdefault(key, block.text(key))
        if form.form == WORD and given is None:
            return None, ""
        for key in ("source", "mark"):
            if key not in found:
                raise where.fail(f"{path!r} has no {key}, and its entry gives none")
        if found["source"] not in self.sources:
            hint = did_you_mean(found["source"], self.sources)
            raise where.fail(f"{path!r}: unknown source {found['source']!r}{hint}")
        if found["mark"] not in MARKS:
            raise where.fail(f"{path!r}: mark {found['mark']!r} is neither read nor assumed")
        return self.sources[found["source"]], found["mark"]


def _value(text: str, form: Key, path: str, block: Block, key: str) -> float | None:
    if form.form == WORD:
        if form.choices and text not in form.choices:
            hint = did_you_mean(text, form.choices)
            raise block.fail(f"{path!r}: {text!r} is not allowed{hint}", key)
        return None
    if form.form == STEPS:
        try:
            parse_steps(text.split("; "))
        except UnitError as error:
            raise block.fail(f"{path!r}: {error}", key) from error
        return None
    if form.form == FLAG:
        if text not in ("true", "false"):
            raise block.fail(f"{path!r} must be true or false, not {text!r}", key)
        return float(text == "true")
    try:
        number = parse_quantity(text, "count" if form.form == WHOLE else form.form)
    except UnitError as error:
        raise block.fail(f"{path!r}: {error}", key) from error
    if number < 0:
        raise block.fail(f"{path!r} must not be negative", key)
    if form.form == WHOLE and number != int(number):
        raise block.fail(f"{path!r} must be a whole number, not {text!r}", key)
    return number
